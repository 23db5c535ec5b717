"""Surface metrics of many cases, and their summary for a table, on the host."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlseg import process_pool
from mlseg.metrics.class_means import mean_over_present
from mlseg.metrics.surface import (
  SurfaceDistances,
  average_symmetric_surface_distance,
  hausdorff,
  hausdorff95,
  normalized_surface_dice,
  pooled_distances,
  surface_distances,
)

_METRICS: dict[str, Callable[[SurfaceDistances, float], float]] = {
  "hausdorff": lambda distances, _: hausdorff(distances),
  "hausdorff95": lambda distances, _: hausdorff95(distances),
  "average_symmetric_surface_distance": lambda distances, _: average_symmetric_surface_distance(
    distances
  ),
  "normalized_surface_dice": normalized_surface_dice,
}
_SERIAL_BELOW = 20_000_000  # pixels times classes, which take about as long as starting processes


class SurfaceTable(NamedTuple):
  """Surface metrics of every case and class, and the distances from which they are computed."""

  metrics: dict[str, np.ndarray]  # from name to [N, C] float64
  distances: list[list[SurfaceDistances]]  # [N][C]
  tolerance: float  # of normalized_surface_dice, in units of spacing


def per_case_surface(
  predictions: Sequence[np.ndarray] | np.ndarray,
  masks: Sequence[np.ndarray] | np.ndarray,
  num_classes: int,
  *,
  spacing: Sequence[float] | np.ndarray | None = None,
  tolerance: float = 1.0,
  missing: float | None = None,
  num_processes: int | None = None,
  progress: process_pool.Progress | None = None,
) -> SurfaceTable:
  """Measures the surfaces of every class, also of the background, in every case.

  The names are hausdorff, hausdorff95, average_symmetric_surface_distance and
  normalized_surface_dice.

  Args:
    predictions: N label maps [H, W] or [D, H, W] of integer classes, one array or a sequence.
    masks: N label maps, each with the shape of its prediction.
    num_classes: C >= 2; a label outside 0..C-1 belongs to no class.
    spacing: [ndim], or [N, ndim] with one per case; None: 1.
    tolerance: of `normalized_surface_dice`, in units of spacing.
    missing: the distance to the surface of an empty region; None: the diagonal of the image.
    num_processes: as in `process_pool.run`, with the same conditions on scripts; None: one per
      usable CPU, or only this process for few pixels.
    progress: called as progress(number of cases done, N).

  Returns:
    The metrics of N cases and C classes, and their distances for pooling. For empty regions see
    each metric.

  Raises:
    ValueError: where the numbers of cases differ, or an argument breaks its rule.

  Example:
    >>> masks = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 1]]])
    >>> table = per_case_surface(masks[:, :, ::-1], masks, 2)
    >>> table.metrics["hausdorff"].tolist()
    [[0.0, 0.0], [1.0, 3.0]]
  """
  if num_classes < 2:
    raise ValueError(f"num_classes: must be at least 2, got {num_classes}")
  pairs = pair_cases(predictions, masks, spacing)
  tasks = [(*pair, num_classes, missing, tolerance) for pair in pairs]
  work = num_classes * sum(mask.size for _, mask, _ in pairs)
  if num_processes is None and work < _SERIAL_BELOW:
    num_processes = 1
  cases = process_pool.run(_measure, tasks, num_processes=num_processes, progress=progress)
  values = np.array([values for values, _ in cases]).reshape(len(cases), num_classes, len(_METRICS))
  metrics = {name: values[:, :, column] for column, name in enumerate(_METRICS)}
  return SurfaceTable(metrics, [distances for _, distances in cases], tolerance)


def summarize_surface(table: SurfaceTable) -> dict[str, float]:
  """Returns all surface metrics under each convention that is used in tables.

  For a metric `m` of `per_case_surface`, with class 0 as the background:

  - `m`: mean over the foreground classes, then over cases;
  - `m_with_background`: mean over all classes, then over cases;
  - `m_pooled`: from the distances of all cases together, mean over the foreground classes;
  - `m_with_background_pooled`: from the same distances, mean over all classes.

  A mean over classes leaves out those that are neither true nor predicted, as in `summarize`.

  Args:
    table: of N >= 1 cases.

  Returns:
    A dict from name to value: distances in units of spacing, normalized_surface_dice in [0, 1]. For
    empty regions see each metric.

  Raises:
    ValueError: where the table has no case.

  Example:
    >>> masks = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 1]]])
    >>> summary = summarize_surface(per_case_surface(masks[:, :, ::-1], masks, 2))
    >>> [summary[name] for name in ("hausdorff", "hausdorff_with_background", "hausdorff_pooled")]
    [1.5, 1.0, 3.0]
  """
  if not table.distances:
    raise ValueError("table: must have at least one case, got none")
  by_class = [pooled_distances(cases) for cases in zip(*table.distances, strict=True)]
  present, present_anywhere = _present(table.distances), _present([by_class])
  summary = {}
  for column, (name, values) in enumerate(table.metrics.items()):
    all_cases = np.array([[_values(one, table.tolerance)[column] for one in by_class]])
    kinds = (("", values, present), ("_pooled", all_cases, present_anywhere))
    for pooling, per_case, there in kinds:
      for classes, first in (("", 1), ("_with_background", 0)):
        means = mean_over_present(per_case[:, first:], there[:, first:])
        summary[name + classes + pooling] = float(means.mean())
  return summary


def pair_cases(
  predictions: Sequence[np.ndarray] | np.ndarray,
  masks: Sequence[np.ndarray] | np.ndarray,
  spacing: Sequence[float] | np.ndarray | None,
) -> list[tuple[np.ndarray, np.ndarray, Sequence[float] | None]]:
  """Returns prediction, mask and spacing of each case.

  Args:
    predictions: N arrays.
    masks: N arrays.
    spacing: [ndim] for all cases, [N, ndim] with one per case, or None.

  Raises:
    ValueError: where their numbers differ.

  Example:
    >>> [one[2] for one in pair_cases([0, 0], [0, 0], (1.0, 0.5))]
    [(1.0, 0.5), (1.0, 0.5)]
  """
  if len(predictions) != len(masks):
    raise ValueError(
      f"predictions and masks: must be equally many, got {len(predictions)} and {len(masks)}"
    )
  spacings: Sequence[Any] | np.ndarray
  spacings = [spacing] * len(masks) if spacing is None or np.ndim(spacing) < 2 else spacing
  if len(spacings) != len(masks):
    raise ValueError(f"spacing: must be one for each of {len(masks)} cases, got {len(spacings)}")
  return list(zip(map(np.asarray, predictions), map(np.asarray, masks), spacings, strict=True))


def _measure(task: tuple) -> tuple[list[list[float]], list[SurfaceDistances]]:
  """Returns values [C][metrics] and distances [C] of one case."""
  prediction, mask, spacing, num_classes, missing, tolerance = task
  distances = [
    surface_distances(prediction == label, mask == label, spacing=spacing, missing=missing)
    for label in range(num_classes)
  ]
  return [_values(one, tolerance) for one in distances], distances


def _present(distances: Sequence[Sequence[SurfaceDistances]]) -> np.ndarray:
  """Returns [N, C] bool, whether a class is true or predicted: every region has a surface."""
  return np.array([[one.to_true.size + one.to_prediction.size > 0 for one in c] for c in distances])


def _values(distances: SurfaceDistances, tolerance: float) -> list[float]:
  return [metric(distances, tolerance) for metric in _METRICS.values()]
