"""Chooses the proposals among the anchors, and the objects found among the regions.

The numbers of both are fixed. No gradient goes through the choice or through the chosen boxes.
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

_SMALLEST = 1e-3  # smallest side of a box, pixels: smaller ones were clipped away, or vanished


def proposals(
  anchors: AnchorScores, image_size: tuple[int, int], candidates: int, count: int, threshold: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the proposals: the regions that the box head reads.

  Non-maximum suppression runs once over all levels. Torchvision runs it for each level; with as few
  proposals as here, one object would then take several of them.

  Args:
    anchors: the outputs of the region proposal network.
    image_size: height and width in pixels, to which boxes are clipped.
    candidates: how many anchors, those with the best logits, are considered.
    count: P.
    threshold: highest IoU of two proposals.

  Returns:
    Boxes [B, P, 4], and valid [B, P] float, 0 for the entries beyond the last proposal.
  """
  boxes, logits, deltas = lax.stop_gradient(anchors)
  logits, index = lax.top_k(logits, min(candidates, logits.shape[1]))
  boxes, deltas = (jnp.take_along_axis(x, index[..., None], axis=1) for x in (boxes, deltas))
  boxes = clip(decode(boxes, deltas, ANCHOR_SCALES), image_size)
  scores = jnp.where(_has_size(boxes), logits, -jnp.inf)
  kept = jax.vmap(lambda b, s: non_maximum_suppression(b, s, count, threshold))(boxes, scores)
  best = jnp.take_along_axis(boxes, kept.indices[..., None], axis=1)
  return best, kept.valid.astype(boxes.dtype)


def found(
  regions: RegionScores,
  image_size: tuple[int, int],
  count: int,
  threshold: float,
  min_score: float,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Returns the objects found: the best pairs of a region and a class, suppressed per class.

  Args:
    regions: the outputs of the box head.
    image_size: height and width in pixels, to which boxes are clipped.
    count: D.
    threshold: highest IoU of two objects of one class.
    min_score: lowest probability of the class of an object.

  Returns:
    Boxes [B, D, 4]; valid, scores and classes [B, D] float, 0 for the entries beyond the last
    object.
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
  best = jnp.take_along_axis(boxes, kept.indices[..., None], axis=1)
  best_scores = jnp.take_along_axis(scores.reshape(batch, -1), kept.indices, axis=1)
  present = kept.valid.astype(boxes.dtype)
  return best * present[..., None], present, best_scores * present, classes[kept.indices] * present


def _has_size(boxes: jax.Array) -> jax.Array:
  """Returns which boxes [..., 4] have a height and a width of at least `_SMALLEST`."""
  return (boxes[..., 2:] - boxes[..., :2] >= _SMALLEST).all(axis=-1)
