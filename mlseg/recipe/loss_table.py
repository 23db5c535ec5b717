"""The losses that a config may name, and the head of a network that each reads."""

from collections.abc import Callable

import jax

from mlseg import losses
from mlseg.losses import detection
from mlseg.recipe.properties import TEXTURE

Loss = Callable[..., jax.Array]

_NAMES = (
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
# Losses of the diagnosis: those of pixels, on an image of the head's one "pixel".
CLASSIFICATION = {
  "classification_cross_entropy": losses.cross_entropy,
  "classification_focal": losses.focal,
  "classification_weighted_cross_entropy": losses.weighted_cross_entropy,
}
# Losses of a detector: functions of (detections, objects, instances).
DETECTION = {
  name: getattr(detection, name)
  for name in ("rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask")
}
# Losses of embeddings, of which those of one diagnosis belong together.
EMBEDDING = {name: getattr(losses, name) for name in ("supervised_contrastive", "triplet_hard")}
SEGMENTATION: dict[str, Loss] = {name: getattr(losses, name) for name in _NAMES}
# Losses for which the neighbours of a pixel count, of another slice where slices touch.
OF_NEIGHBOURS = ("boundary", "cl_dice", "geometry", "hausdorff_distance_transform")
# Losses of pixels that may have several labels.
MULTI_LABEL = ("binary_cross_entropy", "geometry", "topology")


def texture_cross_entropy(logits: jax.Array, textures: jax.Array, *, edges: jax.Array) -> jax.Array:
  """Returns the cross-entropy of the class of a statistic: as many edges as it reaches.

  Args:
    logits: [B, T].
    textures: [B], the statistic.
    edges: [T - 1], ascending.

  Returns:
    [B], in nats.

  Example:
    >>> import jax.numpy as jnp
    >>> logits = jnp.log(jnp.array([[0.25, 0.75], [0.25, 0.75]]))
    >>> values = texture_cross_entropy(logits, jnp.array([1.0, 3.0]), edges=jnp.array([2.0]))
    >>> jnp.exp(-values).round(4).tolist()
    [0.25, 0.75]
  """
  reached = (textures[:, None] >= edges).sum(-1)
  targets = jax.nn.one_hot(reached, logits.shape[-1])
  return losses.cross_entropy(logits[:, None, None], targets[:, None, None])


LOSSES: dict[str, Loss] = {
  **SEGMENTATION,
  **CLASSIFICATION,
  **DETECTION,
  **EMBEDDING,
  TEXTURE: texture_cross_entropy,
}


def kind_of(name: str) -> str:
  """Returns the head that a loss reads, one of `model_builders.has_head`."""
  others = {"detection": DETECTION, "classification": CLASSIFICATION, "embedding": EMBEDDING}
  if name == TEXTURE:
    return "texture"
  return next((kind for kind, names in others.items() if name in names), "segmentation")
