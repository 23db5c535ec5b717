"""What is in an image, and what a detector says of it, in arrays whose shapes do not depend on it.

What a detector says is all floats, since losses are differentiated with respect to all of it; what
says where a box is has the gradient 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.models.mask_rcnn.boxes import intersection_over_union


class Objects(NamedTuple):
  """The true objects of a batch in G places each, from `objects_of`."""

  boxes: jax.Array  # [B, G, 4] float32 (top, left, bottom, right), bottom = last row + 1
  classes: jax.Array  # [B, G] int32, 1 to C - 1; 0 where there is none
  present: jax.Array  # [B, G] bool


class AnchorScores(NamedTuple):
  """What the region proposal network says of each anchor."""

  boxes: jax.Array  # [B, A, 4], the anchors, the same for every image
  logits: jax.Array  # [B, A], of an object being there
  deltas: jax.Array  # [B, A, 4], with boxes.ANCHOR_SCALES


class RegionScores(NamedTuple):
  """What the box head says of each region: the proposals, in training the true boxes too."""

  boxes: jax.Array  # [B, R, 4]
  valid: jax.Array  # [B, R], 1, or 0 where a place holds no region
  logits: jax.Array  # [B, R, C]
  deltas: jax.Array  # [B, R, C - 1, 4], with boxes.REGION_SCALES


class MaskScores(NamedTuple):
  """What the mask head says, in training of regions on objects, in evaluation of what was found."""

  boxes: jax.Array  # [B, K, 4]
  valid: jax.Array  # [B, K], 1, or 0 where a place holds no box
  scores: jax.Array  # [B, K], probability of the class; in training 0
  classes: jax.Array  # [B, K], 1 to C - 1 as a float; in training 0
  logits: jax.Array  # [B, K, M, M, C - 1]


class Detections(NamedTuple):
  """All that the five losses and the predictions are made of, float32."""

  anchors: AnchorScores
  regions: RegionScores
  masks: MaskScores


class Predictions(NamedTuple):
  """The objects found in a batch, in D places each, best first."""

  boxes: jax.Array  # [B, D, 4] float32, as in Objects
  classes: jax.Array  # [B, D] int32, 0 where there is none
  scores: jax.Array  # [B, D] float32, 0 where there is none
  present: jax.Array  # [B, D] bool


def objects_of(instances: jax.Array, masks: jax.Array, max_objects: int) -> Objects:
  """Returns the box and class of every object that has a pixel.

  An object that an augmentation moved out of the image is not present. An object has the largest
  class of its pixels, which are meant to have one; with the background's it is not present.

  Args:
    instances: [B, H, W] integer, 1 to G at the pixels of the objects, 0 elsewhere; higher numbers
      are no objects here.
    masks: [B, H, W] integer, the classes of the pixels.
    max_objects: G.

  Example:
    >>> instances = jnp.array([[[0, 2, 2], [0, 0, 2]]])
    >>> objects = objects_of(instances, 3 * (instances > 0), 2)
    >>> objects.boxes[0, 1].tolist(), objects.classes.tolist(), objects.present.tolist()
    ([0.0, 1.0, 2.0, 3.0], [[0, 3]], [[False, True]])
  """
  ids = jnp.arange(1, max_objects + 1)
  inside = instances[:, None] == ids[:, None, None]  # [B, G, H, W]
  classes = jnp.where(inside, masks[:, None], 0).max(axis=(2, 3)).astype(jnp.int32)
  top, bottom = _ends(inside.any(axis=3))
  left, right = _ends(inside.any(axis=2))
  present = classes > 0
  boxes = jnp.stack([top, left, bottom, right], axis=-1).astype(jnp.float32)
  return Objects(jnp.where(present[..., None], boxes, 0), classes, present)


def _ends(line: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the first true place of [..., N] and the one after the last."""
  return line.argmax(axis=-1), line.shape[-1] - line[..., ::-1].argmax(axis=-1)


def best_overlaps(boxes: jax.Array, valid: jax.Array, objects: Objects) -> jax.Array:
  """Returns each box's highest IoU with an object, -1 where the box is not valid.

  Args:
    boxes: [B, R, 4].
    valid: [B, R].
    objects: of the same images.

  Returns:
    [B, R].
  """
  overlaps = intersection_over_union(boxes, objects.boxes)
  best = jnp.where(objects.present[:, None], overlaps, 0).max(axis=-1)
  return jnp.where(valid > 0, best, -1)


def predictions_of(detections: Detections) -> Predictions:
  """Returns the objects found, from what a network gives in evaluation."""
  masks = detections.masks
  classes = jnp.round(masks.classes).astype(jnp.int32)
  return Predictions(masks.boxes, classes, masks.scores, masks.valid > 0)
