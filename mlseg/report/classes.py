"""The tables of the metrics of each class, for runs of several classes beside the background."""

from collections.abc import Sequence

from mlseg.report.tables import Table, TableCell
from mlseg.workdir.results_file import Metric
from mlseg.workdir.run_files import RunFiles

_COLUMNS = (
  ("dice", "Dice"),
  ("dice_pooled", "Dice, pooled"),
  ("iou", "IoU"),
  ("precision", "precision"),
  ("recall", "recall"),
)
_NOTE = (
  "In percent. The mean over the test images in which the class is true or predicted; pooled scores"
  " are computed from the pixels of all images at once. Images: in which the class is true, and in"
  " which it is predicted, mean over seeds."
)


def tables(runs: Sequence[RunFiles]) -> list[Table]:
  """Returns a table for each run that has several classes beside the background."""
  return [_table(run) for run in runs if len(run.classes) > 2]


def _table(run: RunFiles) -> Table:
  rows = []
  for name, metrics in run.classes.items():
    counts = (in_words(metrics.get(count), 1.0, 1) for count in ("num_true", "num_predicted"))
    scores = (in_words(metrics.get(column)) for column, _ in _COLUMNS)
    rows.append(tuple(map(TableCell, (name, *counts, *scores))))
  header = ("class", "images, true", "images, predicted", *(title for _, title in _COLUMNS))
  return Table(f"Classes, {run.name}", header, tuple(rows), _NOTE)


def in_words(metric: Metric | None, factor: float = 100.0, digits: int = 2) -> str:
  """Returns a metric as mean ± standard deviation; a dash where the class is in no image.

  Example:
    >>> in_words(Metric(0.5, 0.01, (0.51, 0.49))), in_words(Metric(4.0, None, (4.0,)), 1.0, 1)
    ('50.00 ± 1.00', '4')
  """
  if metric is None or metric.mean is None:
    return "–"
  if factor == 1.0:
    return f"{round(metric.mean, digits):g}"
  spread = "" if metric.std is None else f" ± {factor * metric.std:.{digits}f}"
  return f"{factor * metric.mean:.{digits}f}{spread}"
