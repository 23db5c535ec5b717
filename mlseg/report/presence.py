"""The table of images with and without a foreground, for runs that were tested on both."""

from collections.abc import Sequence

from mlseg.report.tables import Table, TableCell
from mlseg.workdir.run_files import RunFiles

_NOTE = (
  "In percent, mean ± standard deviation over seeds. An image counts as positive in which any pixel"
  " of the foreground is predicted. Found: the images with a foreground that are positive, of all"
  " that have one; empty: the images without one that are not positive, of all that have none;"
  " means over seeds. The Dice is that of the images with a foreground alone: that of the table of"
  " scores also has the images without, which score 1 where nothing is predicted, else 0."
)


def table(runs: Sequence[RunFiles]) -> Table | None:
  """Returns a row for each run that was tested on images without a foreground; None without any."""
  rows = [_row(run) for run in runs if "image_specificity" in run.metrics]
  if not rows:
    return None
  header = ("run", "Dice where present", "found", "sensitivity", "empty", "specificity")
  return Table("Images with and without a foreground", header, tuple(rows), _NOTE)


def _row(run: RunFiles) -> tuple[TableCell, ...]:
  found, missed, false, empty = (
    _mean(run, f"images_{name}")
    for name in ("true_positive", "false_negative", "false_positive", "true_negative")
  )
  texts = (
    run.name,
    _percent(run, "dice_where_present"),
    _share(found, missed),
    _percent(run, "image_sensitivity"),
    _share(empty, false),
    _percent(run, "image_specificity"),
  )
  return tuple(map(TableCell, texts))


def _mean(run: RunFiles, name: str) -> float:
  metric = run.metrics.get(name)
  return float("nan") if metric is None or metric.mean is None else metric.mean


def _share(right: float, wrong: float) -> str:
  """Returns a number of images of all of their kind.

  Example:
    >>> _share(18.5, 1.5), _share(float("nan"), 1.0)
    ('18.5 of 20', '–')
  """
  total = right + wrong
  return "–" if total != total else f"{round(right, 1):g} of {round(total, 1):g}"


def _percent(run: RunFiles, name: str) -> str:
  metric = run.metrics.get(name)
  if metric is None or metric.mean is None:
    return "–"
  spread = "" if metric.std is None else f" ± {100 * metric.std:.2f}"
  return f"{100 * metric.mean:.2f}{spread}"
