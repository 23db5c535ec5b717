"""The tables of a study, from `study.json`, `rows.csv` and `comparisons.csv` in its folder."""

import csv
import json
import math
import pathlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from mlseg.report.tables import Cell, Table

Row = dict[str, str]

# As the paper counts: heading, the name in `rows.csv`, the paper's name.
PUBLISHED = (
  ("Dice", "dice_with_background_pooled", "dice"),
  ("IoU", "iou_with_background_pooled", "iou"),
  ("F1", "f1_with_background_pooled", "f1"),
  ("precision", "precision_with_background_pooled", "precision"),
  ("recall", "recall_with_background_pooled", "recall"),
  ("class-balanced Dice", "class_balanced_dice_pooled", "cb_dice"),
)
# Heading, the name in `rows.csv`, factor, and whether less is better.
FOREGROUND = (
  ("Dice", "dice", 100.0, False),
  ("IoU", "iou", 100.0, False),
  ("precision", "precision", 100.0, False),
  ("recall", "recall", 100.0, False),
  ("HD95, pixels", "hausdorff95", 1.0, True),
)


def tables(folder: pathlib.Path) -> list[Table]:
  """Returns two tables for each combination of the labels of all axes but the last.

  One of the foreground, with the comparisons; one as the paper counts, with its numbers.
  """
  study = json.loads((folder / "study.json").read_text())
  return make_tables(study, _read(folder / "rows.csv"), _read(folder / "comparisons.csv"))


def make_tables(
  study: dict[str, Any], rows: Sequence[Row], comparisons: Sequence[Row]
) -> list[Table]:
  """Returns the tables of what `study.json`, `rows.csv` and `comparisons.csv` hold."""
  *outer, last = study["axes"]
  made = []
  nothing = ""  # of combinations of which no cell is complete
  for key in dict.fromkeys(
    tuple(cell["labels"][axis] for axis in outer) for cell in study["cells"]
  ):
    own = [cell for cell in study["cells"] if tuple(cell["labels"][a] for a in outer) == key]
    labels = [cell["labels"][last] for cell in own]

    def chosen(several: Sequence[Row], label: str, key: tuple[str, ...] = key) -> list[Row]:
      return [r for r in several if tuple(r[a] for a in outer) == key and r[last] == label]

    by_label = {label: found for label in labels if (found := chosen(rows, label))}
    if not by_label:
      nothing += _gaps(own)
      continue
    tests = {label: found[0] for label in by_label if (found := chosen(comparisons, label))}
    title = ", ".join([study["name"], *key])
    gaps = _gaps(own)
    made.append(
      _foreground(f"{title}: the foreground", last, by_label, tests, study["reference"], gaps)
    )
    made.append(_as_published(f"{title}: as the paper counts", last, by_label, study["published"]))
  return [table._replace(note=table.note + nothing) for table in made[:1]] + made[1:]


def _foreground(
  title: str,
  axis: str,
  rows: dict[str, list[Row]],
  tests: dict[str, Row],
  reference: str | None,
  gaps: str,
) -> Table:
  columns = [c for c in FOREGROUND if all(c[1] in row for found in rows.values() for row in found)]
  best = {name: _best(rows, name, less) for _, name, _, less in columns}
  header = [axis, "seeds", *(heading for heading, *_ in columns)]
  with_seeds = any(test.get("p_seeds_holm") for test in tests.values())
  if tests:
    header += [f"Δ Dice to {reference} [95 %]", "p, cases"]
    header += ["p, seeds"] if with_seeds else []
  body = []
  for label, found in rows.items():
    cells = [Cell(label), Cell(str(len(found)))]
    for _, name, factor, _ in columns:
      cells.append(Cell(_mean(found, name, factor), best[name] == label))
    if tests:
      cells += _test_cells(tests.get(label), with_seeds)
    body.append(tuple(cells))
  note = (
    "Mean over the foreground's classes, then over the test pictures; mean ± standard deviation"
    " over seeds, in percent."
  )
  if tests:
    note += (
      " Δ with its interval is over groups of near-duplicate pictures, each the mean over the seeds"
      " that test it; p, cases: Wilcoxon's signed-rank test over these groups; p, seeds: paired"
      " t-test over seeds; both after Holm."
    )
  return Table(title, tuple(header), tuple(body), note + gaps)


def _test_cells(test: Row | None, with_seeds: bool) -> list[Cell]:
  if test is None:
    return [Cell("")] * (3 if with_seeds else 2)
  difference, low, high = (100 * float(test[name]) for name in ("difference", "low", "high"))
  cells = [Cell(f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]"), Cell(p_text(test["p_cases_holm"]))]
  return [*cells, Cell(p_text(test["p_seeds_holm"]))] if with_seeds else cells


def _as_published(
  title: str, axis: str, rows: dict[str, list[Row]], published: dict[str, Any] | None
) -> Table:
  theirs = {} if published is None else published["rows"]
  best = {name: _best(rows, name, False) for _, name, _ in PUBLISHED}
  suffix = " (paper)" if theirs else ""
  body = []
  for label, found in rows.items():
    cells = [Cell(label)]
    for _, name, key in PUBLISHED:
      entry = theirs.get(label, {}).get(key)
      text = _mean(found, name, 100.0) + (f" ({entry['mean']:.2f})" if entry else "")
      cells.append(Cell(text, best[name] == label))
    body.append(tuple(cells))
  header = (axis, *(heading + suffix for heading, *_ in PUBLISHED))
  note = (
    "Mean over all classes, the background too, from counts summed over the test pictures; mean ±"
    " standard deviation over seeds, in percent."
  )
  if published is not None:
    note += f" In brackets: {published['source']}."
  return Table(title, header, tuple(body), note)


def _gaps(cells: Sequence[dict[str, Any]]) -> str:
  """Returns what is to be said of cells that have no results."""
  failed = [f"{cell['name']} ({cell['failed']})" for cell in cells if "failed" in cell]
  open_ = [c["name"] for c in cells if not c["complete"] and "failed" not in c]
  text = f" Failed: {'; '.join(failed)}." if failed else ""
  return text + (f" Not complete: {', '.join(open_)}." if open_ else "")


def _values(rows: Sequence[Row], name: str) -> list[float]:
  return [float(row[name]) if row[name] else math.nan for row in rows]


def _best(rows: dict[str, list[Row]], name: str, less: bool) -> str:
  """Returns the label with the best mean."""
  choose: Callable = min if less else max
  worst = math.inf if less else -math.inf
  means = {label: statistics.fmean(_values(found, name)) for label, found in rows.items()}
  return choose(means, key=lambda label: worst if math.isnan(means[label]) else means[label])


def _mean(rows: Sequence[Row], name: str, factor: float) -> str:
  """Returns mean ± sample standard deviation, the latter where there are several seeds."""
  values = [factor * value for value in _values(rows, name)]
  text = f"{statistics.fmean(values):.2f}"
  return f"{text} ± {statistics.stdev(values):.2f}" if len(values) > 1 else text


def p_text(value: str) -> str:
  """Returns a p-value as tables have it.

  Example:
    >>> p_text("0.0421"), p_text("1.3e-7"), p_text("")
    ('0.042', '< 0.001', '')
  """
  if not value:
    return ""
  p = float(value)
  return "< 0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"


def _read(path: pathlib.Path) -> list[Row]:
  with path.open(newline="") as file:
    return list(csv.DictReader(file))
