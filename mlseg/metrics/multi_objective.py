"""Several tasks or objectives at once: the mean relative change, Pareto fronts, hypervolumes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_OBJECTIVES = 4


def delta_m(scores: Any, baseline: Any, higher_is_better: Sequence[bool]) -> np.ndarray:
  """Returns Δm, the mean relative change of the tasks' scores to those of a baseline.

  Δm = 1/K sum_k s_k (M_k - B_k) / B_k, with s_k = 1 where a higher score is better and -1 where a
  lower one is. More is better, and 0 is the baseline. The baselines are usually models that are
  trained on one task each. Some papers give -100 Δm, of which less is better.

  Source: Maninis, Radosavovic, Kokkinos, Attentive single-tasking of multiple tasks, CVPR 2019,
    equation 4.

  Args:
    scores: [..., K], M, a score of each of K tasks.
    baseline: [K], B.
    higher_is_better: K directions.

  Returns:
    [...] float64, a share: 0.01 is one percent.

  Raises:
    ValueError: where numbers of tasks differ, there is none, or a baseline is 0 or not finite.

  Example:
    >>> f"{delta_m([0.84, 12.0], [0.80, 10.0], [True, False]):.3f}"
    '-0.075'
  """
  values, reference = np.asarray(scores, np.float64), np.asarray(baseline, np.float64)
  count = len(higher_is_better)
  if reference.shape != (count,) or values.shape[-1:] != (count,) or not count:
    raise ValueError(
      f"scores [..., K], baseline [K] and K directions must fit, got the shapes {values.shape} and"
      f" {reference.shape}, and {count} directions"
    )
  if not (np.isfinite(reference) & (reference != 0)).all():
    raise ValueError(f"baseline: must be finite and not 0, got {reference.tolist()}")
  signs = np.where(list(higher_is_better), 1.0, -1.0)
  return (signs * (values - reference) / reference).mean(-1)


def pareto_front(points: Any) -> np.ndarray:
  """Returns which points are not dominated, where less of each objective is better.

  A point is dominated where another one is at most as large in all objectives and smaller in one.
  Of equal points, none dominates the other. Scores of which more is better are given as -score.

  Args:
    points: [N, K].

  Returns:
    [N] bool.

  Raises:
    ValueError: where the points are not [N, K], or one is nan.

  Example:
    >>> pareto_front([[1, 3], [2, 2], [3, 3], [3, 1]]).tolist()
    [True, True, False, True]
  """
  values = _checked(points)
  at_most = (values[:, None] <= values).all(-1)  # whether row i is at most column j
  smaller = (values[:, None] < values).any(-1)
  return np.asarray(~(at_most & smaller).any(0))


def hypervolume(points: Any, reference: Any) -> float:
  """Returns the volume that points dominate, up to a reference point; less of each is better.

  It is the volume of the union of the boxes between each point and the reference. A point that
  reaches the reference in any objective adds nothing. A larger volume is a better front.

  Source: Zitzler, Thiele, Multiobjective evolutionary algorithms, IEEE Trans. Evolutionary
    Computation 3 (1999). The volume is added up in slabs along the last objective, which takes
    N^(K-1) log N steps.

  Args:
    points: [N, K], K <= 4; N may be 0.
    reference: [K], the largest values that count.

  Raises:
    ValueError: where shapes do not fit, there are more than 4 objectives, a point is nan, or the
      reference is not finite.

  Example:
    >>> hypervolume([[1, 3], [2, 2], [3, 1]], [4, 4])
    6.0
  """
  limits = np.asarray(reference, np.float64)
  if limits.ndim != 1 or not 1 <= len(limits) <= MOST_OBJECTIVES:
    raise ValueError(f"reference: must be [K] with 1 <= K <= 4, got the shape {limits.shape}")
  if not np.isfinite(limits).all():
    raise ValueError(f"reference: must be finite, got {limits.tolist()}")
  values = _checked(points) if np.size(points) else np.zeros((0, len(limits)))
  if values.shape[1] != len(limits):
    raise ValueError(f"points have {values.shape[1]} objectives, and reference has {len(limits)}")
  return _volume(values[(values < limits).all(1)], limits)


def _checked(points: Any) -> np.ndarray:
  values = np.asarray(points, np.float64)
  if values.ndim != 2 or np.isnan(values).any():
    raise ValueError(f"points: must be [N, K] without nan, got the shape {values.shape}")
  return values


def _volume(points: np.ndarray, limits: np.ndarray) -> float:
  """Returns the volume of points [n, K] that are all below the limits."""
  if not len(points):
    return 0.0
  if len(limits) == 1:
    return float(limits[0] - points.min())
  points = points[np.argsort(points[:, -1], kind="stable")]
  ends = np.append(points[1:, -1], limits[-1])
  total = 0.0
  for count, (start, end) in enumerate(zip(points[:, -1], ends, strict=True), start=1):
    if end > start:  # in this slab, the first points count
      total += float(end - start) * _volume(points[:count, :-1], limits[:-1])
  return total
