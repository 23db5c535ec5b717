"""The losses that a recipe may name, one line each, and what each of them reads."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg import losses
from mlseg.losses import detection

LossFunction = Callable[..., jax.Array]

# The inputs that a loss may read, and the head of the network that gives them.
HEAD_OF = {
  "pixels": "segmentation",  # logits of the classes, one-hot masks
  "pixels_and_distances": "segmentation",  # also the prepared distances to the boundary
  "labels": "segmentation",  # logits of labels, of which a pixel may have several
  "diagnosis": "classification",  # logits of the diagnoses, one-hot diagnoses
  "findings": "classification",  # logits of the findings, of which a case may have several
  "detections": "detection",  # a detector's outputs, objects and instances
  "embeddings": "embedding",  # embeddings, diagnoses
  "texture": "texture",  # logits of the texture's classes, the statistic of the texture
}


class Loss(NamedTuple):
  """A loss that a recipe may name.

  Attributes:
    function: of the inputs below; returns [B].
    reads: a key of `HEAD_OF`.
    neighbours: whether a pixel's neighbours count, which at the border of a slice belong to
      another slice.
    balanced: whether `class_weights=()` leaves its class weights to the training set.
  """

  function: LossFunction
  reads: str = "pixels"
  neighbours: bool = False
  balanced: bool = False

  @property
  def head(self) -> str:
    """The head of the network that the loss reads."""
    return HEAD_OF[self.reads]


def texture_cross_entropy(logits: jax.Array, textures: jax.Array, *, edges: jax.Array) -> jax.Array:
  """Returns the cross-entropy of the class of a statistic: the number of edges that it reaches.

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
  reached = (textures[:, None] >= jnp.asarray(edges)[None]).sum(-1)
  targets = jax.nn.one_hot(reached, logits.shape[-1])
  return losses.cross_entropy(logits[:, None, None], targets[:, None, None])


LOSSES: dict[str, Loss] = {
  # of pixels
  "cross_entropy": Loss(losses.cross_entropy),
  "weighted_cross_entropy": Loss(losses.weighted_cross_entropy, balanced=True),
  "binary_cross_entropy": Loss(losses.binary_cross_entropy, "labels"),
  "focal": Loss(losses.focal),
  "top_k_cross_entropy": Loss(losses.top_k_cross_entropy),
  "poly_cross_entropy": Loss(losses.poly_cross_entropy),
  # for labels of which some are wrong
  "generalized_cross_entropy": Loss(losses.generalized_cross_entropy),
  "symmetric_cross_entropy": Loss(losses.symmetric_cross_entropy),
  # for calibrated probabilities
  "margin_based_label_smoothing": Loss(losses.margin_based_label_smoothing),
  "neighbor_aware_calibration": Loss(losses.neighbor_aware_calibration, neighbours=True),
  "average_calibration_error": Loss(losses.average_calibration_error),
  # of overlap
  "soft_dice": Loss(losses.soft_dice),
  "soft_iou": Loss(losses.soft_iou),
  "hard_dice": Loss(losses.hard_dice),
  "hard_iou": Loss(losses.hard_iou),
  "tversky": Loss(losses.tversky),
  "focal_tversky": Loss(losses.focal_tversky),
  "generalized_dice": Loss(losses.generalized_dice),
  "class_balanced_dice": Loss(losses.class_balanced_dice),
  "jaccard_metric": Loss(losses.jaccard_metric),
  "dice_semimetric": Loss(losses.dice_semimetric),
  "matthews": Loss(losses.matthews),
  "lovasz_softmax": Loss(losses.lovasz_softmax),
  "lovasz_hinge": Loss(losses.lovasz_hinge),
  # for rare classes
  "dynamic_weighted_cross_entropy": Loss(losses.dynamic_weighted_cross_entropy),
  "dynamically_weighted_balanced": Loss(losses.dynamically_weighted_balanced),
  "ordered_weighted_cross_entropy": Loss(losses.ordered_weighted_cross_entropy),
  "unified_focal": Loss(losses.unified_focal),
  # of boundaries and shape
  "boundary": Loss(losses.boundary, "pixels_and_distances", neighbours=True),
  "hausdorff_distance_transform": Loss(losses.hausdorff_distance_transform, neighbours=True),
  "cl_dice": Loss(losses.cl_dice, neighbours=True),
  "skeleton_recall": Loss(losses.skeleton_recall, neighbours=True),
  # of label vectors
  "topology": Loss(losses.topology, "labels"),
  "geometry": Loss(losses.geometry, "labels", neighbours=True),
  # of the diagnosis: the losses of pixels, on an image of the head's one "pixel"
  "classification_cross_entropy": Loss(losses.cross_entropy, "diagnosis"),
  "classification_focal": Loss(losses.focal, "diagnosis"),
  "classification_weighted_cross_entropy": Loss(
    losses.weighted_cross_entropy, "diagnosis", balanced=True
  ),
  # of findings, of which a case may have several: a logit for each
  "classification_binary_cross_entropy": Loss(losses.binary_cross_entropy, "findings"),
  # of a detector
  "rpn_objectness": Loss(detection.rpn_objectness, "detections"),
  "rpn_box": Loss(detection.rpn_box, "detections"),
  "roi_class": Loss(detection.roi_class, "detections"),
  "roi_box": Loss(detection.roi_box, "detections"),
  "roi_mask": Loss(detection.roi_mask, "detections"),
  # of embeddings
  "supervised_contrastive": Loss(losses.supervised_contrastive, "embeddings"),
  "triplet_hard": Loss(losses.triplet_hard, "embeddings"),
  # of the texture of a lesion
  "texture_cross_entropy": Loss(texture_cross_entropy, "texture"),
}
