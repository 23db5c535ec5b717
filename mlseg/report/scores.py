"""The table of scores of runs that belong to no study."""

from collections.abc import Sequence

from mlseg.report.tables import Table, TableCell
from mlseg.workdir.run_files import RunFiles

# Name in `results.json`, heading, factor of the value, and whether less is better.
_COLUMNS = (
  ("dice", "Dice", 100.0, False),
  ("dice_with_background", "Dice, all classes", 100.0, False),
  ("dice_pooled", "Dice, pooled", 100.0, False),
  ("iou", "IoU", 100.0, False),
  ("precision", "precision", 100.0, False),
  ("recall", "recall", 100.0, False),
  ("class_balanced_dice", "class-balanced Dice", 100.0, False),
  ("hausdorff95", "HD95, pixels", 1.0, True),
  ("classification_accuracy", "accuracy", 100.0, False),
  ("balanced_accuracy", "balanced accuracy", 100.0, False),
  ("roc_auc", "AUC", 100.0, False),
)


def table(runs: Sequence[RunFiles]) -> Table:
  """Returns a row per run, with the best of each column marked.

  Where runs were tested on different cases, a column tells these apart by a letter, and the best is
  marked among runs of one letter: scores on different cases cannot be compared.
  """
  columns = [c for c in _COLUMNS if any(_mean(run, c[0]) is not None for run in runs)]
  sets = _test_sets(runs)
  several = len(set(sets)) > 1
  best = {key: _best(runs, sets, key, less) for key, _, _, less in columns}
  rows = []
  for n, run in enumerate(runs):
    cells = [TableCell(run.name), TableCell(str(len(run.seeds)))]
    if several:
      cells.append(TableCell(sets[n]))
    for key, _, factor, _ in columns:
      cells.append(TableCell(_text(run, key, factor), best=n in best[key]))
    rows.append(tuple(cells))
  header = ("run", "seeds", *(["test cases"] if several else []), *(c[1] for c in columns))
  note = (
    "Mean ± standard deviation over seeds, on the test cases, in percent. Scores are means over the"
    " foreground classes, which are all but the first, unless the heading says all classes. They"
    " are computed for each image, then averaged; pooled ones are computed from all pixels at once."
    " HD95 is a distance: less is better. Accuracy and AUC are of the diagnosis."
  )
  if several:
    note += (
      " Runs of different letters were tested on different cases and cannot be compared: the best"
      " is marked among runs of one letter."
    )
  return Table("Scores", header, tuple(rows), note)


def _test_sets(runs: Sequence[RunFiles]) -> list[str]:
  """Returns a letter or number for the test cases of each run."""
  known: list[object] = []
  for run in runs:
    if (cases := _cases(run)) not in known:
      known.append(cases)
  names = [chr(ord("A") + n) if n < 26 else str(n + 1) for n in range(len(known))]
  return [names[known.index(_cases(run))] for run in runs]


def _cases(run: RunFiles) -> object:
  """Returns the test cases of the first seed, which stand for those of all seeds."""
  if run.split is None:
    return None
  return next(iter(run.split.parts.values()), {}).get("test")


def _best(runs: Sequence[RunFiles], sets: Sequence[str], key: str, less: bool) -> set[int]:
  """Returns the indices of the best runs for each test set that several runs share."""
  best = set()
  for name in set(sets):
    scored = [
      (value, n)
      for n, run in enumerate(runs)
      if sets[n] == name and (value := _mean(run, key)) is not None
    ]
    if len(scored) > 1:
      top = (min if less else max)(value for value, _ in scored)
      best |= {n for value, n in scored if value == top}
  return best


def _mean(run: RunFiles, key: str) -> float | None:
  return run.metrics[key].mean if key in run.metrics else None


def _text(run: RunFiles, key: str, factor: float) -> str:
  if (mean := _mean(run, key)) is None:
    return "–"
  std = run.metrics[key].std
  return f"{factor * mean:.2f}" + ("" if std is None else f" ± {factor * std:.2f}")
