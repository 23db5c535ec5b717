"""Operations on boxes: area, overlap, deltas, clipping, and non-maximum suppression.

A box is (top, left, bottom, right), measured at the edges of pixels: a box of one pixel in row 3
has top 3 and bottom 4.

Reference: Ren et al., "Faster R-CNN", NeurIPS 2015, section 3.1.2.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Scales = tuple[float, float, float, float]

ANCHOR_SCALES: Scales = (1.0, 1.0, 1.0, 1.0)
REGION_SCALES: Scales = (10.0, 10.0, 5.0, 5.0)
_LARGEST_LOG = math.log(1000 / 16)  # largest log of a change of size, so that exp cannot overflow


def area(boxes: jax.Array) -> jax.Array:
  """Returns the areas [...] of boxes [..., 4] in squared pixels, 0 if top > bottom or left > right.

  Example:
    >>> area(jnp.array([[1.0, 1.0, 3.0, 5.0], [3.0, 1.0, 1.0, 5.0]])).tolist()
    [8.0, 0.0]
  """
  height, width = (jnp.maximum(boxes[..., i + 2] - boxes[..., i], 0) for i in (0, 1))
  return height * width


def intersection_over_union(boxes: jax.Array, others: jax.Array) -> jax.Array:
  """Returns the IoU of every pair, 0 where both boxes are empty.

  Args:
    boxes: [..., N, 4].
    others: [..., M, 4].

  Returns:
    [..., N, M], in [0, 1].

  Example:
    >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0]])
    >>> intersection_over_union(boxes, jnp.array([[0.0, 0.0, 2.0, 4.0], [5.0, 5.0, 6.0, 6.0]]))
    Array([[0.5, 0. ]], dtype=float32)
  """
  one, other = boxes[..., :, None, :], others[..., None, :, :]
  lower = jnp.maximum(one[..., :2], other[..., :2])
  upper = jnp.minimum(one[..., 2:], other[..., 2:])
  overlap = area(jnp.concatenate([lower, upper], axis=-1))
  union = area(one) + area(other) - overlap
  return overlap / jnp.maximum(union, jnp.finfo(union.dtype).tiny)


def decode(boxes: jax.Array, deltas: jax.Array, scales: Scales) -> jax.Array:
  """Returns the boxes moved and stretched by deltas.

    centre' = centre + size delta_centre / scale,  size' = size exp(delta_size / scale)

  Args:
    boxes: [..., 4].
    deltas: [..., 4], changes of the centre along rows and columns, then of the logarithms of height
      and width.
    scales: divisors of the deltas.

  Returns:
    [..., 4].

  Example:
    >>> box = jnp.array([10.0, 10.0, 20.0, 30.0])
    >>> decode(box, jnp.array([0.1, 0.0, 0.0, jnp.log(2.0)]), ANCHOR_SCALES).tolist()
    [11.0, 0.0, 21.0, 40.0]
  """
  deltas = deltas / jnp.asarray(scales)
  size = boxes[..., 2:] - boxes[..., :2]
  centre = boxes[..., :2] + size / 2 + size * deltas[..., :2]
  half = size / 2 * jnp.exp(jnp.minimum(deltas[..., 2:], _LARGEST_LOG))
  return jnp.concatenate([centre - half, centre + half], axis=-1)


def clip(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns the parts of the boxes [..., 4] inside an image of size (height, width) in pixels.

  Example:
    >>> clip(jnp.array([-1.0, 2.0, 30.0, 9.0]), (16, 8)).tolist()
    [0.0, 2.0, 16.0, 8.0]
  """
  height, width = size
  return jnp.clip(boxes, 0.0, jnp.array([height, width, height, width], boxes.dtype))


class Kept(NamedTuple):
  """The boxes that non-maximum suppression keeps, best first; unused entries are not valid."""

  indices: jax.Array  # [K] int32, indices into the N boxes
  valid: jax.Array  # [K] bool


def non_maximum_suppression(
  boxes: jax.Array, scores: jax.Array, count: int, threshold: float, groups: jax.Array | None = None
) -> Kept:
  """Returns the boxes that greedy non-maximum suppression keeps.

  The box with the best score is kept, and those whose IoU with it is above the threshold are
  removed; this is repeated `count` times. It takes O(count N) instead of the IoU of all pairs. Of
  boxes with equal scores the first is kept.

  Args:
    boxes: [N, 4].
    scores: [N]; boxes with -inf are never kept.
    count: K, the largest number of boxes to keep.
    threshold: the highest IoU that two kept boxes may have.
    groups: [N]; a box removes only boxes of its group. None: all boxes are in one group.

  Example:
    >>> boxes = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [8.0, 8.0, 9.0, 9.0]])
    >>> kept = non_maximum_suppression(boxes, jnp.array([0.5, 0.9, 0.1]), 3, 0.5)
    >>> kept.indices[kept.valid].tolist()
    [1, 2]
  """

  def keep_best(remaining: jax.Array, _: None) -> tuple[jax.Array, Kept]:
    best = jnp.argmax(remaining)
    valid = remaining[best] > -jnp.inf
    removed = intersection_over_union(boxes[best][None], boxes)[0] > threshold
    if groups is not None:
      removed &= groups == groups[best]
    removed = removed.at[best].set(True)
    return jnp.where(removed, -jnp.inf, remaining), Kept(best.astype(jnp.int32), valid)

  return lax.scan(keep_best, scores, None, length=count)[1]
