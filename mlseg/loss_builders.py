"""From a config to losses, and to the batches that they read; sees the config, as `builders`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import losses, models, sharding
from mlseg.data import augmentation, pipeline
from mlseg.errors import require, unknown, user_errors
from mlseg.losses import reduction
from mlseg.train_step import Scalars
from mlseg.weighting import SplitLoss

PyTree = Any
Loss = Callable[..., jax.Array]

NAMES = (
  "binary_cross_entropy",
  "boundary",
  "cl_dice",
  "class_balanced_dice",
  "cross_entropy",
  "dynamic_weighted_cross_entropy",
  "dynamically_weighted_balanced",
  "focal",
  "focal_tversky",
  "generalized_dice",
  "geometry",
  "hard_dice",
  "hard_iou",
  "hausdorff_distance_transform",
  "lovasz_hinge",
  "lovasz_softmax",
  "ordered_weighted_cross_entropy",
  "soft_dice",
  "soft_iou",
  "topology",
  "tversky",
  "weighted_cross_entropy",
)
_WEIGHTED = "weighted_cross_entropy"
LOSSES: dict[str, Loss] = {name: getattr(losses, name) for name in NAMES}


class Data(NamedTuple):
  """What the compiled program reads: the whole data set, arrays of the host or the device."""

  images: Any  # [N, H, W, I] uint8
  masks: Any  # [N, H, W] uint8, classes
  train: Any = None  # [n] int32, which cases to train on
  distances: Any = None  # [N, H, W, C] float32, where a loss reads them


class Batch(NamedTuple):
  """What the losses of a step read."""

  images: jax.Array  # [B, H, W, I] float32 in [0, 1]
  masks: jax.Array  # [B, H, W] uint8, classes
  distances: jax.Array | None = None  # [B, H, W, C] float32, where a loss reads them


def loss_names(config: ConfigDict) -> list[str]:
  """Returns the names of the losses in the config's order, the auxiliary one last."""
  extra = config.auxiliary.name
  return [*config.losses, *([] if extra == "none" else [extra])]


def uses_distances(config: ConfigDict) -> bool:
  """Returns whether distance maps are made before training.

  They are flipped with the masks, but a warped map is not the map of a warped mask: under rotation,
  shear and scaling the boundary loss computes its own, in every step.
  """
  options = config.augmentation
  warped = options.rotation or options.shear or options.scale
  return "boundary" in loss_names(config) and not warped


def open_class_weights(
  config: ConfigDict, masks: np.ndarray, num_classes: int, names: Sequence[str]
) -> np.ndarray | None:
  """Returns the class weights that a config leaves to the training set, [C] float32.

  None where no loss asks for them.

  Args:
    config: the recipe.
    masks: [n, H, W] of the training set, classes.
    num_classes: C.
    names: of the losses.

  Raises:
    UserError: a class has no pixel.
  """
  if _WEIGHTED not in names or config.loss_options.get(_WEIGHTED, {}).get("class_weights") != ():
    return None
  pixels = np.bincount(masks.ravel(), minlength=num_classes)
  with user_errors(f"config.loss_options.{_WEIGHTED}"):
    return np.array(losses.balanced_class_weights(pixels.tolist()), np.float32)


def make_losses(
  config: ConfigDict,
  num_classes: int,
  class_weights: jax.Array | None = None,
  names: Sequence[str] | None = None,
) -> dict[str, Loss]:
  """Returns the losses by name, the auxiliary one last: functions of (logits, one-hot masks).

  Args:
    config: the recipe.
    num_classes: C.
    class_weights: [C], from `open_class_weights`; a model's own, so they may be traced.
    names: of the losses, where other configs of the same program have more than this one.
  """
  names = list(names or loss_names(config))
  require(len(set(names)) == len(names) > 0, "the losses must be different and at least one", names)
  for name in names:
    if name not in LOSSES:
      raise unknown("loss", name, LOSSES)
  for name in config.loss_options:
    if name not in LOSSES:
      raise unknown("loss in config.loss_options", name, LOSSES)
  functions: dict[str, Loss] = {}
  shape = jax.ShapeDtypeStruct((1, 8, 8, num_classes), jnp.float32)
  for name in names:
    options = dict(config.loss_options.get(name, {}))
    with user_errors(f"config.loss_options.{name}"):
      if name == _WEIGHTED and options.get("class_weights") == () and class_weights is not None:
        options["class_weights"] = class_weights
      functions[name] = functools.partial(LOSSES[name], **options)
      jax.eval_shape(functions[name], shape, shape)  # checks the options' names and values
  return functions


def make_loss_fn(
  model: models.Model, loss_functions: dict[str, Loss], num_classes: int
) -> SplitLoss:
  """Returns the losses of (params, model_state, batch) for `make_step`, split at the logits."""

  def forward(params: PyTree, model_state: PyTree, batch: Batch) -> tuple[PyTree, PyTree]:
    params = sharding.gather(params)  # from wherever their parts lie
    outputs, model_state = model.apply({**model_state, "params": params}, batch.images, True)
    return outputs.logits, model_state

  def values(logits: PyTree, model_state: PyTree, batch: Batch) -> Scalars:
    del model_state
    targets = jax.nn.one_hot(batch.masks, num_classes)
    given = {} if batch.distances is None else {"boundary": {"distances": batch.distances}}
    return {
      name: reduction.reduce(loss(logits, targets, **given.get(name, {})))
      for name, loss in loss_functions.items()
    }

  return SplitLoss(forward, values)


class Chunk(NamedTuple):
  """The batches of some steps, brought from the host; what `Data` is where that does not fit."""

  images: Any  # [S, B, H, W, I] uint8
  masks: Any  # [S, B, H, W] uint8, classes
  distances: Any  # [S, B, H, W, C] float32, where a loss reads them, or None
  start: Any  # [] int32, the step of the first batch


def order_key(key: jax.Array) -> jax.Array:
  """Returns the key of the order of the cases, from the one that `batch_at` gets."""
  return jax.random.split(key)[0]


def make_batch_at(
  config: ConfigDict,
) -> Callable[[Data | Chunk, jax.Array, jax.Array], Batch]:
  """Returns `batch_at(data, key, step) -> Batch`, augmented, for the compiled step.

  A data set on the device and chunks from the host give the same batches.
  """
  options: dict[str, Any] = dict(config.augmentation)
  flips = {name: options[name] for name in ("flip_horizontal", "flip_vertical")}

  def batch_at(data: Data | Chunk, key: jax.Array, step: jax.Array) -> Batch:
    if isinstance(data, Chunk):
      index = step - data.start
    else:
      index = pipeline.batch_indices(data.train, order_key(key), step, config.batch_size)
    images, masks = pipeline.to_float(data.images[index]), data.masks[index]
    key = jax.random.fold_in(jax.random.split(key)[1], step)
    images, masks = augmentation.augment(key, images, masks, **options)
    if data.distances is None:
      return sharding.split_batch(Batch(images, masks))
    (maps,) = augmentation.flip(key, data.distances[index], **flips)
    return sharding.split_batch(Batch(images, masks, maps))

  return batch_at
