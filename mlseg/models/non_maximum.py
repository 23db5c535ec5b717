"""Non-maximum suppression that gives a fixed number of boxes, so that it compiles once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.boxes import intersection_over_union


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
