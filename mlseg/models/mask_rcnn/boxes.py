"""Boxes (top, left, bottom, right) at the edges of pixels: overlap, shifts, and the border.

An edge is a line between pixels: a box of one pixel in row 3 has top 3 and bottom 4.

Source: Ren et al., "Faster R-CNN", NeurIPS 2015, section 3.1.2.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Scales = tuple[float, float, float, float]

ANCHOR_SCALES: Scales = (1.0, 1.0, 1.0, 1.0)
REGION_SCALES: Scales = (10.0, 10.0, 5.0, 5.0)
_LARGEST_LOG = math.log(1000 / 16)  # of a change of size, so that no exponential overflows


def area(boxes: jax.Array) -> jax.Array:
  """Returns the areas [...] of boxes [..., 4] in squared pixels, 0 where an edge is past its pair.

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
    deltas: [..., 4]: of the centre along rows and columns, then of the logarithms of height and
      width.
    scales: of the deltas, which divide them.

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
  """Returns the parts of the boxes [..., 4] inside an image of a height and width in pixels.

  Example:
    >>> clip(jnp.array([-1.0, 2.0, 30.0, 9.0]), (16, 8)).tolist()
    [0.0, 2.0, 16.0, 8.0]
  """
  height, width = size
  return jnp.clip(boxes, 0.0, jnp.array([height, width, height, width], boxes.dtype))


class Kept(NamedTuple):
  """Which boxes stay, best first; the places after the last one are not valid."""

  places: jax.Array  # [K] int32, where they stand among the N
  valid: jax.Array  # [K] bool


def non_maximum_suppression(
  boxes: jax.Array, scores: jax.Array, count: int, threshold: float, groups: jax.Array | None = None
) -> Kept:
  """Returns the boxes that remain where each in turn removes those that overlap it.

  The box with the best score is kept, those with a higher IoU with it than the threshold are
  removed, and so on, `count` times: O(count N) instead of the IoU of all pairs. Of equal scores the
  first box is kept.

  Args:
    boxes: [N, 4].
    scores: [N]; -inf: never kept.
    count: K, at most how many stay.
    threshold: the highest IoU that two boxes that stay may have.
    groups: [N]; only boxes of one group remove each other. None: all are of one.

  Example:
    >>> boxes = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [8.0, 8.0, 9.0, 9.0]])
    >>> kept = non_maximum_suppression(boxes, jnp.array([0.5, 0.9, 0.1]), 3, 0.5)
    >>> kept.places[kept.valid].tolist()
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
