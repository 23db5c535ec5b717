"""Matching of anchors and regions to true objects, and the weight of each in a loss.

Sources: Ren et al., "Faster R-CNN", NeurIPS 2015, section 3.1.2; torchvision's `Matcher`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Matches(NamedTuple):
  """The targets of the N boxes of one image; a box neither positive nor negative does not count."""

  objects: jax.Array  # [N] int32, the index of the object with the highest IoU
  positive: jax.Array  # [N] bool, that object is the target of the box
  negative: jax.Array  # [N] bool, the target of the box is the background


def intersection_over_union(boxes: jax.Array, others: jax.Array) -> jax.Array:
  """Returns the IoU [N, M] of every pair of boxes [N, 4] and [M, 4], 0 where both are empty.

  Example:
    >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0]])
    >>> intersection_over_union(boxes, jnp.array([[0.0, 0.0, 2.0, 4.0]])).tolist()
    [[0.5]]
  """
  one, other = boxes[:, None], others[None]
  lower, upper = (
    jnp.maximum(one[..., :2], other[..., :2]),
    jnp.minimum(one[..., 2:], other[..., 2:]),
  )
  overlap, *areas = (
    jnp.maximum(end - start, 0).prod(axis=-1)
    for start, end in (
      (lower, upper),
      (one[..., :2], one[..., 2:]),
      (other[..., :2], other[..., 2:]),
    )
  )
  union = areas[0] + areas[1] - overlap
  return overlap / jnp.maximum(union, jnp.finfo(union.dtype).tiny)


def match(
  boxes: jax.Array,
  valid: jax.Array,
  objects: jax.Array,
  present: jax.Array,
  high: float,
  low: float,
  *,
  keep_best: bool = False,
) -> Matches:
  """Returns the target of each box: the object with which it has the highest IoU, or background.

  A box is positive if its highest IoU is at least `high`, and negative below `low`. In between it
  does not count.

  Args:
    boxes: [N, 4].
    valid: [N], nonzero where there is a box; the others do not count.
    objects: [G, 4], the boxes of the objects.
    present: [G] bool.
    high: as above.
    low: as above, at most high.
    keep_best: whether the boxes with the highest IoU of each object are positive, however low it
      is. The target of such a box is still the object with which it has the highest IoU itself,
      which may be another one, as in torchvision.

  Example:
    >>> boxes = jnp.array([[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])
    >>> objects, all_of = jnp.array([[0.0, 0.0, 4.0, 5.0]]), jnp.ones(2, bool)
    >>> matches = match(boxes, all_of, objects, all_of[:1], 0.7, 0.3)
    >>> matches.positive.tolist(), matches.negative.tolist()
    ([True, False], [False, True])
  """
  counted = (valid > 0)[:, None] & present[None]
  overlaps = jnp.where(counted, intersection_over_union(boxes, objects), 0)
  best = overlaps.max(axis=1)
  positive = best >= high
  if keep_best:
    highest = overlaps.max(axis=0)
    positive |= ((overlaps == highest[None]) & (highest > 0)[None]).any(axis=1)
  negative = (best < low) & ~positive & (valid > 0)
  return Matches(overlaps.argmax(axis=1).astype(jnp.int32), positive, negative)


def expected_weights(matches: Matches, num_sampled: int, positive_share: float) -> jax.Array:
  """Returns the weights of the expected mean over a random sample of boxes.

  The papers draw at most S boxes of an image, at most S f of them positive. With P positive and N
  negative boxes, p = min(P, floor(S f)) and n = min(N, S - p) are drawn. The loss is the mean over
  the boxes drawn. Its expected value can be computed without drawing:

    E = sum_i w_i loss_i,  w_i = p / (P (p + n)) where positive, n / (N (p + n)) where negative

  Args:
    matches: of one image.
    num_sampled: S.
    positive_share: f.

  Returns:
    [boxes] float32, with sum 1, or 0 where no box counts.

  Example:
    >>> matches = Matches(jnp.zeros(5, int), jnp.arange(5) < 1, jnp.arange(5) > 0)
    >>> expected_weights(matches, 2, 0.5).tolist()
    [0.5, 0.125, 0.125, 0.125, 0.125]
  """
  num_positive = matches.positive.sum()
  num_negative = matches.negative.sum()
  positive = jnp.minimum(num_positive, int(num_sampled * positive_share))
  negative = jnp.minimum(num_negative, num_sampled - positive)
  total = jnp.maximum(positive + negative, 1).astype(jnp.float32)
  each_positive = positive / (jnp.maximum(num_positive, 1) * total)
  each_negative = negative / (jnp.maximum(num_negative, 1) * total)
  return matches.positive * each_positive + matches.negative * each_negative


def encode(boxes: jax.Array, objects: jax.Array, scales: tuple[float, ...]) -> jax.Array:
  """Returns the deltas that move and stretch each box to its object.

    delta_centre = scale (centre' - centre) / size,  delta_size = scale log(size' / size)

  Args:
    boxes: [..., 4] (top, left, bottom, right).
    objects: [..., 4]; where a box or an object has no extent, the deltas are finite but have no
      meaning.
    scales: [4], factors of the deltas.

  Returns:
    [..., 4]: centre along rows and columns, then height and width.

  Example:
    >>> box, other = jnp.array([0.0, 0.0, 10.0, 10.0]), jnp.array([1.0, 0.0, 11.0, 10.0])
    >>> [round(x, 3) for x in encode(box, other, (10.0, 10.0, 5.0, 5.0)).tolist()]
    [1.0, 0.0, 0.0, 0.0]
  """
  size, wanted = (jnp.maximum(b[..., 2:] - b[..., :2], 1e-3) for b in (boxes, objects))
  shift = (objects[..., :2] + objects[..., 2:] - boxes[..., :2] - boxes[..., 2:]) / 2
  deltas = jnp.concatenate([shift / size, jnp.log(wanted / size)], axis=-1)
  factors = jnp.asarray(scales).reshape((1,) * (deltas.ndim - 1) + (4,))
  return lax.stop_gradient(deltas * factors)


def covered_shares(inside: jax.Array, boxes: jax.Array, size: int) -> jax.Array:
  """Returns the share of each cell of a box that the pixels of an object cover.

  The box is divided into size × size cells. The share is exact: pixels are squares, and a cell may
  contain parts of them. (torchvision interpolates at some points of a cell, as ROIAlign does.)

  Args:
    inside: [K, H, W] float, 1 at the pixels of the object, 0 elsewhere.
    boxes: [K, 4], one for each.
    size: M, cells along each side.

  Returns:
    [K, M, M], in [0, 1].

  Example:
    >>> inside = jnp.array([[[0.0, 1.0], [0.0, 1.0]]])
    >>> covered_shares(inside, jnp.array([[0.0, 0.0, 2.0, 1.5]]), 1).tolist()
    [[[0.3333333432674408]]]
  """
  rows = _shares(boxes[:, 0], boxes[:, 2], inside.shape[1], size)
  columns = _shares(boxes[:, 1], boxes[:, 3], inside.shape[2], size)
  return jnp.einsum("kmh,khw,knw->kmn", rows, inside, columns)


def _shares(start: jax.Array, end: jax.Array, length: int, size: int) -> jax.Array:
  """Returns the share of each cell along an axis that lies in each pixel, [K, size, length]."""
  extent = jnp.maximum(end - start, 1e-3)[:, None] / size
  lower = (start[:, None] + jnp.arange(size)[None] * extent)[..., None]
  upper = lower + extent[..., None]
  pixels = jnp.arange(length, dtype=start.dtype)[None, None]
  common = jnp.minimum(upper, pixels + 1) - jnp.maximum(lower, pixels)
  return jnp.maximum(common, 0) / extent[..., None]
