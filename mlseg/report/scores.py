"""The table of scores of runs that belong to no study."""

from collections.abc import Sequence
from typing import NamedTuple

from mlseg.report import leader
from mlseg.report.leader import Leader
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.diagnosis_table import label_names
from mlseg.workdir.results_file import Metric
from mlseg.workdir.run_files import RunFiles


class _Column(NamedTuple):
  """A metric of `results.json`."""

  name: str
  heading: str
  factor: float = 100.0  # of the value
  less: bool = False  # whether less is better


_COLUMNS = (
  _Column("dice", "Dice"),
  _Column("dice_with_background", "Dice, all classes"),
  _Column("dice_pooled", "Dice, pooled"),
  _Column("iou", "IoU"),
  _Column("precision", "precision"),
  _Column("recall", "recall"),
  _Column("class_balanced_dice", "class-balanced Dice"),
  _Column("hausdorff95", "HD95, pixels", 1.0, less=True),
  _Column("classification_accuracy", "accuracy"),
  _Column("balanced_accuracy", "balanced accuracy"),
  _Column("classification_f1", "F1"),
  _Column("average_precision", "average precision"),
  _Column("sensitivity_at_specificity", "sensitivity at 90 % specificity"),
  _Column("roc_auc", "AUC"),
)
# Metrics of one diagnosis, the positive one, where there are two diagnoses.
OF_POSITIVE = ("classification_f1", "average_precision", "sensitivity_at_specificity")


def table(runs: Sequence[RunFiles]) -> Table:
  """Returns a row per run, with the best of each column marked where an interval tells it.

  Where runs were tested on different cases, a column tells these apart by a letter, and the best is
  marked among runs of one letter: scores on different cases cannot be compared.
  """
  columns = [c for c in _COLUMNS if any(_mean(run, c.name) is not None for run in runs)]
  sets = _test_sets(runs)
  several = len(set(sets)) > 1
  best = {column: _leaders(runs, sets, column) for column in columns}
  rows = []
  for n, run in enumerate(runs):
    cells = [TableCell(run.name), TableCell(str(len(run.seeds)))]
    if several:
      cells.append(TableCell(sets[n]))
    for column in columns:
      ahead = next((one for one in best[column] if one.name == run.name), None)
      why = "" if ahead is None else leader.in_words(ahead, column.factor)
      cells.append(TableCell(_text(run, column), ahead is not None, why))
    rows.append(tuple(cells))
  positive = _positive(runs)
  over = "findings" if any(run.findings for run in runs) else "diagnoses"
  headings = [c.heading + of_positive(c.name, positive, over) for c in columns]
  header = ("run", "seeds", *(["test cases"] if several else []), *headings)
  return Table("Scores", header, tuple(rows), _note(runs, columns, best, several))


def of_positive(name: str, positive: str, several: str = "diagnoses") -> str:
  """Returns what a heading says of the diagnosis that a metric is of.

  Args:
    name: of the metric.
    positive: the diagnosis; '' where a metric is a mean over several.
    several: what it is a mean over.

  Example:
    >>> of_positive("classification_f1", "malignant"), of_positive("dice", "malignant")
    (' of malignant', '')
    >>> of_positive("classification_f1", "")
    ', mean over diagnoses'
  """
  if name not in OF_POSITIVE:
    return ""
  return f" of {positive}" if positive else f", mean over {several}"


def _positive(runs: Sequence[RunFiles]) -> str:
  """Returns the second of two diagnoses, or of several runs both; '' where there are more."""
  names = [label_names(run.tested) for run in runs if run.tested]
  if not names or any(len(own) != 2 for own in names):
    return ""
  return " or ".join(dict.fromkeys(own[1] for own in names))


def _note(
  runs: Sequence[RunFiles],
  columns: Sequence[_Column],
  best: dict[_Column, list[Leader]],
  several: bool,
) -> str:
  with_seeds = any(_shows_deviation(run, column.name) for run in runs for column in columns)
  mean = "Mean ± standard deviation over seeds, on" if with_seeds else "On"
  note = (
    f"{mean} the test cases, in percent. Scores are means over the foreground classes, which are"
    " all but the first, unless the heading says all classes. They are computed for each image,"
    " then averaged; pooled ones are computed from all pixels at once. HD95 is a distance: less is"
    " better. Accuracy and AUC are of the diagnosis."
  )
  if several:
    note += (
      " Runs of different letters were tested on different cases and cannot be compared: the best"
      " is marked among runs of one letter."
    )
  return note + marks({column.heading: (best[column], column.factor) for column in columns})


def marks(best: dict[str, tuple[list[Leader], float]]) -> str:
  """Returns in words the interval behind each mark of a table; `leader.RULE` is their rule.

  Args:
    best: by heading, the leaders of a column, and the factor of its values.
  """
  intervals = [
    f"{heading}, {leader.in_words(one, factor)}"
    for heading, (leaders, factor) in best.items()
    for one in leaders
  ]
  return f" Marked: {'; '.join(intervals)}." if intervals else " No best is marked."


def _test_sets(runs: Sequence[RunFiles]) -> list[str]:
  """Returns a letter or number for the test cases of each run."""
  known: list[object] = []
  for run in runs:
    if (cases := _cases(run)) not in known:
      known.append(cases)
  names = [chr(ord("A") + n) if n < 26 else str(n + 1) for n in range(len(known))]
  return [names[known.index(_cases(run))] for run in runs]


def _cases(run: RunFiles) -> object:
  """Returns the data set and the test cases of the first seed, which stand for all seeds."""
  if run.split is None:
    return None
  name = (run.config.get("data") or {}).get("name")
  return name, next(iter(run.split.parts.values()), {}).get("test")


def _leaders(runs: Sequence[RunFiles], sets: Sequence[str], column: _Column) -> list[Leader]:
  """Returns the leader of each test set that several runs share, where there is one."""
  found = []
  for name in sorted(set(sets)):
    values = {
      run.name: _by_seed(run, run.metrics[column.name])
      for run, own in zip(runs, sets, strict=True)
      if own == name and column.name in run.metrics
    }
    found.append(leader.leader(values, column.less))
  return [one for one in found if one is not None]


def _by_seed(run: RunFiles, metric: Metric) -> dict[int, float]:
  values = (float("nan") if value is None else value for value in metric.per_seed)
  return dict(zip(run.seeds, values, strict=False))


def _mean(run: RunFiles, name: str) -> float | None:
  return run.metrics[name].mean if name in run.metrics else None


def _shows_deviation(run: RunFiles, name: str) -> bool:
  """Returns whether a metric has a standard deviation: that of several seeds."""
  metric = run.metrics.get(name)
  return metric is not None and metric.std is not None and len(run.seeds) > 1


def _text(run: RunFiles, column: _Column) -> str:
  if (mean := _mean(run, column.name)) is None:
    return "–"
  text = f"{column.factor * mean:.2f}"
  std = run.metrics[column.name].std
  if std is None or not _shows_deviation(run, column.name):
    return text
  return f"{text} ± {column.factor * std:.2f}"
