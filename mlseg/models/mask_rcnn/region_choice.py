"""Which boxes go on: from anchors to proposals, from regions to what is found; fixed numbers.

No gradient goes through the choice, nor through the boxes chosen.
"""

import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.mask_rcnn.boxes import (
  ANCHOR_SCALES,
  REGION_SCALES,
  clip,
  decode,
  non_maximum_suppression,
)
from mlseg.models.mask_rcnn.detections import AnchorScores, RegionScores

_SMALLEST = 1e-3  # pixels along a side; what is smaller was clipped away, or shrank to nothing


def proposals(
  anchors: AnchorScores, image_size: tuple[int, int], candidates: int, count: int, threshold: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the regions that are to be looked at.

  One suppression for all levels: one for each, as in torchvision, would give one object several of
  the few places.

  Args:
    anchors: what the network says of each.
    image_size: height and width in pixels, to which boxes are clipped.
    candidates: anchors with the best logits that take part.
    count: P.
    threshold: highest IoU of two proposals.

  Returns:
    Boxes [B, P, 4], and valid [B, P] float, 0 where fewer remained.
  """
  boxes, logits, deltas = lax.stop_gradient(anchors)
  logits, index = lax.top_k(logits, min(candidates, logits.shape[1]))
  boxes, deltas = (jnp.take_along_axis(x, index[..., None], axis=1) for x in (boxes, deltas))
  boxes = clip(decode(boxes, deltas, ANCHOR_SCALES), image_size)
  scores = jnp.where(_has_size(boxes), logits, -jnp.inf)
  kept = jax.vmap(lambda b, s: non_maximum_suppression(b, s, count, threshold))(boxes, scores)
  return jnp.take_along_axis(boxes, kept.places[..., None], axis=1), kept.valid.astype(boxes.dtype)


def found(
  regions: RegionScores,
  image_size: tuple[int, int],
  count: int,
  threshold: float,
  min_score: float,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Returns the objects found: the best pairs of a region and a class, each class by itself.

  Args:
    regions: what the network says of each.
    image_size: height and width in pixels, to which boxes are clipped.
    count: D.
    threshold: highest IoU of two objects of one class.
    min_score: probability of the class below which nothing is found.

  Returns:
    Boxes [B, D, 4]; valid, scores and classes [B, D] float, 0 where fewer remained.
  """
  boxes, valid, logits, deltas = lax.stop_gradient(regions)
  batch, num_regions, num_classes = logits.shape
  boxes = clip(decode(boxes[:, :, None], deltas, REGION_SCALES), image_size)
  scores = jax.nn.softmax(logits)[..., 1:]
  eligible = (scores > min_score) & (valid > 0)[..., None] & _has_size(boxes)
  ranking = jnp.where(eligible, scores, -jnp.inf).reshape(batch, -1)
  classes = jnp.tile(jnp.arange(1, num_classes, dtype=boxes.dtype), num_regions)
  boxes = boxes.reshape(batch, -1, 4)
  kept = jax.vmap(lambda b, s: non_maximum_suppression(b, s, count, threshold, classes))(
    boxes, ranking
  )
  best = jnp.take_along_axis(boxes, kept.places[..., None], axis=1)
  best_scores = jnp.take_along_axis(scores.reshape(batch, -1), kept.places, axis=1)
  present = kept.valid.astype(boxes.dtype)
  return best * present[..., None], present, best_scores * present, classes[kept.places] * present


def _has_size(boxes: jax.Array) -> jax.Array:
  """Returns which boxes [..., 4] are neither flat nor thin."""
  return (boxes[..., 2:] - boxes[..., :2] >= _SMALLEST).all(axis=-1)
