"""The true objects of a batch and the outputs of a detector, in arrays of fixed shapes.

The shapes do not depend on how many objects an image has; unused entries are marked as not valid.
All outputs of a detector are floats, since losses are differentiated with respect to all of them;
the gradients of boxes and of `valid` are 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.models.mask_rcnn.boxes import intersection_over_union


class Objects(NamedTuple):
  """The true objects of a batch, up to G in each image, from `objects_of`."""

  boxes: jax.Array  # [B, G, 4] float32 (top, left, bottom, right), bottom = last row + 1
  classes: jax.Array  # [B, G] int32, 1 to C - 1; 0 for an unused entry
  present: jax.Array  # [B, G] bool, whether the entry is an object


class AnchorScores(NamedTuple):
  """The outputs of the region proposal network for each anchor."""

  boxes: jax.Array  # [B, A, 4], the anchors, the same for every image
  logits: jax.Array  # [B, A], of the probability that the anchor shows an object
  deltas: jax.Array  # [B, A, 4], with boxes.ANCHOR_SCALES


class RegionScores(NamedTuple):
  """The outputs of the box head for each region: the proposals, and in training the true boxes."""

  boxes: jax.Array  # [B, R, 4]
  valid: jax.Array  # [B, R], 1, or 0 for an unused entry
  logits: jax.Array  # [B, R, C]
  deltas: jax.Array  # [B, R, C - 1, 4], with boxes.REGION_SCALES


class MaskScores(NamedTuple):
  """The outputs of the mask head: for regions on objects in training, else for objects found."""

  boxes: jax.Array  # [B, K, 4]
  valid: jax.Array  # [B, K], 1, or 0 for an unused entry
  scores: jax.Array  # [B, K], probability of the class; in training 0
  classes: jax.Array  # [B, K], 1 to C - 1 as a float; in training 0
  logits: jax.Array  # [B, K, M, M, C - 1]


class Detections(NamedTuple):
  """The outputs of Mask R-CNN, from which the five losses and the predictions are computed."""

  anchors: AnchorScores
  regions: RegionScores
  masks: MaskScores


class Predictions(NamedTuple):
  """The objects found in a batch, up to D in each image, best first."""

  boxes: jax.Array  # [B, D, 4] float32, as in Objects
  classes: jax.Array  # [B, D] int32, 0 for an unused entry
  scores: jax.Array  # [B, D] float32, 0 for an unused entry
  present: jax.Array  # [B, D] bool, whether the entry is an object


def objects_of(instances: jax.Array, masks: jax.Array, max_objects: int) -> Objects:
  """Returns the box and class of every object that has a pixel.

  An object that an augmentation moved out of the image is not present. The pixels of an object are
  expected to have one class; if they have several, the object has the largest. An object of class
  0, the background, is not present.

  Args:
    instances: [B, H, W] integers, n at the pixels of object n, from 1 to G, and 0 elsewhere;
      numbers above G are ignored.
    masks: [B, H, W] integers, the classes of the pixels.
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
  """Returns the index of the first true entry of [..., N], and that of the last plus 1."""
  return line.argmax(axis=-1), line.shape[-1] - line[..., ::-1].argmax(axis=-1)


def best_overlaps(boxes: jax.Array, valid: jax.Array, objects: Objects) -> jax.Array:
  """Returns each box's highest IoU with an object, or -1 for a box that is not valid.

  Args:
    boxes: [B, R, 4].
    valid: [B, R].
    objects: the true objects of the same images.

  Returns:
    [B, R].
  """
  overlaps = intersection_over_union(boxes, objects.boxes)
  best = jnp.where(objects.present[:, None], overlaps, 0).max(axis=-1)
  return jnp.where(valid > 0, best, -1)


def predictions_of(detections: Detections) -> Predictions:
  """Returns the objects found, from the outputs of the network in evaluation."""
  masks = detections.masks
  classes = jnp.round(masks.classes).astype(jnp.int32)
  return Predictions(masks.boxes, classes, masks.scores, masks.valid > 0)
