"""TODO mlseg.recipe.properties."""

from ml_collections import ConfigDict

from mlseg.data.datasets import cohort


def has_volumes(config: ConfigDict) -> bool:
  """Returns whether a picture is a volume: slices, one below the other."""
  return config.data.name == cohort.NAME


def num_slices(config: ConfigDict) -> int:
  """Returns how many slices a picture has, at least 1."""
  return config.data.cohort.slices if has_volumes(config) else 1


def loss_names(config: ConfigDict) -> list[str]:
  """Returns the names of the losses in the config's order, the auxiliary one last."""
  extra = config.auxiliary.name
  return [*config.losses, *([] if extra == "none" else [extra])]


def uses_distances(config: ConfigDict) -> bool:
  """Returns whether distance maps are made before training.

  They are flipped with the masks, but a warped map is not the map of a warped mask: under rotation,
  shear, scaling and elastic maps, and on patches, the boundary loss computes its own in every step.
  """
  options = config.augmentation
  warped = options.rotation or options.shear or options.scale or options.elastic
  warped = warped or config.data.patch_size
  return "boundary" in loss_names(config) and not warped


def uses_textures(config: ConfigDict) -> bool:
  """Returns whether a loss reads how rough a lesion is."""
  return TEXTURE in loss_names(config)


def max_objects(config: ConfigDict) -> int:
  """Returns how many objects of an image a detector is trained on; 0: the network is none."""
  return config.model.max_objects if has_head(config, "detection") else 0


TEXTURE = "texture_cross_entropy"  # of how rough a lesion is, in classes of the training set


HEADS = ("segmentation", "classification")


SLICE_ATTENTION = "slice_attention"


DETECTION = "detection"  # the head of a network that finds objects, and masks by them


def input_size(config: ConfigDict) -> int:
  """Returns the side of the pictures, or of the slices, that the network is trained on."""
  return config.data.patch_size or config.data.image_size


def input_shape(config: ConfigDict) -> tuple[int, int]:
  """Returns height and width of the pictures that the network is trained on; see `num_slices`."""
  side = input_size(config)
  return side * num_slices(config), side


def has_head(config: ConfigDict, head: str) -> bool:
  """Returns whether the network of a config has a head for a loss to read.

  Args:
    config: the recipe.
    head: one of HEADS, DETECTION, 'embedding' or 'texture'.
  """
  options = config.model
  numbers = {"embedding": "embedding", "texture": "num_textures"}
  if head in numbers:
    return options.get(numbers[head], 0) > 0
  own = {"classifier": ("classification",), "mask_rcnn": (DETECTION,)}
  return head in own.get(options.name, options.get("heads", ("segmentation",)))


def segments(config: ConfigDict) -> bool:
  """Returns whether the network of a config gives masks."""
  return has_head(config, "segmentation") or has_head(config, DETECTION)
