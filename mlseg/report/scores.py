"""The table of scores of runs that belong to no study."""

from collections.abc import Sequence

from mlseg.report.tables import Cell, Table
from mlseg.workdir.run_files import Run

# Name in `results.json`, heading, what the value is multiplied by, and whether less is better.
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


def table(runs: Sequence[Run]) -> Table:
  """Returns a row per run, the best of each column marked.

  Runs that were tested on different cases say so in a column of their own, and the best is marked
  among those of the same cases: scores of different cases say little about which run is better.
  """
  columns = [c for c in _COLUMNS if any(_mean(run, c[0]) is not None for run in runs)]
  sets = _test_sets(runs)
  several = len(set(sets)) > 1
  best = {key: _best(runs, sets, key, less) for key, _, _, less in columns}
  rows = []
  for place, run in enumerate(runs):
    cells = [Cell(run.name), Cell(str(len(run.seeds)))]
    if several:
      cells.append(Cell(sets[place]))
    for key, _, factor, _ in columns:
      cells.append(Cell(_text(run, key, factor), best=place in best[key]))
    rows.append(tuple(cells))
  header = ("run", "seeds", *(["test cases"] if several else []), *(c[1] for c in columns))
  note = (
    "Mean ± standard deviation over seeds, of the test cases, in percent. Scores are of the"
    " foreground, which is every class but the first, unless of all classes; of each picture, then"
    " averaged, unless pooled: of all pixels at once. HD95 is a distance: less is better. Accuracy"
    " and AUC are of the diagnosis."
  )
  if several:
    note += (
      " Rows of different letters were tested on different cases, and are not to be compared: the"
      " best is marked among rows of one letter."
    )
  return Table("Scores", header, tuple(rows), note)


def _test_sets(runs: Sequence[Run]) -> list[str]:
  """Returns a letter or number for the test cases of each run."""
  known: list[object] = []
  for run in runs:
    if (cases := _cases(run)) not in known:
      known.append(cases)
  names = [chr(ord("A") + n) if n < 26 else str(n + 1) for n in range(len(known))]
  return [names[known.index(_cases(run))] for run in runs]


def _cases(run: Run) -> object:
  """Returns the test cases by seed, which for other numbers of seeds are told by the first."""
  if run.split is None:
    return None
  return next(iter(run.split.parts.values()), {}).get("test")


def _best(runs: Sequence[Run], sets: Sequence[str], key: str, less: bool) -> set[int]:
  """Returns the places of the best runs, one of each test set of more than one run."""
  best = set()
  for name in set(sets):
    scored = [
      (value, place)
      for place, run in enumerate(runs)
      if sets[place] == name and (value := _mean(run, key)) is not None
    ]
    if len(scored) > 1:
      top = (min if less else max)(value for value, _ in scored)
      best |= {place for value, place in scored if value == top}
  return best


def _mean(run: Run, key: str) -> float | None:
  return run.metrics.get(key, {}).get("mean")


def _text(run: Run, key: str, factor: float) -> str:
  if (mean := _mean(run, key)) is None:
    return "–"
  std = run.metrics[key]["std"]
  return f"{factor * mean:.2f}" + ("" if std is None else f" ± {factor * std:.2f}")
