"""The tables of a study, from `study.json`, `rows.csv` and `comparisons.csv` in its folder."""

import math
import pathlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mlseg.files import read_csv, read_json
from mlseg.report.tables import Table, TableCell

Row = dict[str, str]


class PublishedColumn(NamedTuple):
  """A score in `rows.csv`, and the same score in a published table."""

  heading: str
  name: str  # in `rows.csv`
  key: str  # in the published table
  factor: float = 100.0  # by which ours has the unit of the published one
  less: bool = False  # whether less is better


# Columns in the paper's convention, for a published table that does not name its columns.
PUBLISHED = (
  PublishedColumn("Dice", "dice_with_background_pooled", "dice"),
  PublishedColumn("IoU", "iou_with_background_pooled", "iou"),
  PublishedColumn("F1", "f1_with_background_pooled", "f1"),
  PublishedColumn("precision", "precision_with_background_pooled", "precision"),
  PublishedColumn("recall", "recall_with_background_pooled", "recall"),
  PublishedColumn("class-balanced Dice", "class_balanced_dice_pooled", "cb_dice"),
)
_POOLED = (
  "Mean over all classes, with the background, from counts summed over the test images; mean ±"
  " standard deviation over seeds, in percent."
)
# Heading, the name in `rows.csv`, factor, and whether less is better.
FOREGROUND = (
  ("Dice", "dice", 100.0, False),
  ("IoU", "iou", 100.0, False),
  ("precision", "precision", 100.0, False),
  ("recall", "recall", 100.0, False),
  ("HD95, pixels", "hausdorff95", 1.0, True),
  ("object F1", "object_f1", 100.0, False),
  ("object Dice", "object_dice", 100.0, False),
  ("object Hausdorff, pixels", "object_hausdorff", 1.0, True),
)

DIAGNOSIS = (
  ("accuracy", "classification_accuracy", 100.0, False),
  ("balanced accuracy", "balanced_accuracy", 100.0, False),
  ("F1", "classification_f1", 100.0, False),
  ("AUC", "roc_auc", 100.0, False),
)
_OF_PIXELS = (
  "Mean over the foreground classes, then over the test images; mean ± standard deviation over"
  " seeds, in percent."
)
_OF_CASES = "On the test images; mean ± standard deviation over seeds, in percent."


class _Form(NamedTuple):
  """The columns of a table of scores, and its texts."""

  columns: tuple[tuple[str, str, float, bool], ...]
  compared: str  # the score that is compared
  note: str


def tables(folder: pathlib.Path) -> list[Table]:
  """Returns the tables of the study in a folder, as `make_tables` does.

  Raises:
    UserError: a file is missing or damaged.
  """
  study = read_json(folder / "study.json")
  diagnosis = folder / "accuracy_comparisons.csv"
  return make_tables(
    study,
    read_csv(folder / "rows.csv"),
    read_csv(folder / "comparisons.csv"),
    read_csv(diagnosis) if diagnosis.exists() else (),
  )


def make_tables(
  study: dict[str, Any],
  rows: Sequence[Row],
  comparisons: Sequence[Row],
  of_diagnosis: Sequence[Row] = (),
) -> list[Table]:
  """Returns the tables for each combination of the labels of all axes but the last.

  Each combination has up to three tables: the foreground, with the comparisons; the paper's
  convention, with the paper's numbers; the diagnosis, with the comparisons. A table for which no
  cell has scores is left out.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    comparisons: of `comparisons.csv`.
    of_diagnosis: of `accuracy_comparisons.csv`.
  """
  outer = study["axes"][:-1]
  made: list[Table] = []
  incomplete = ""  # words on combinations of which no cell is complete
  for key in dict.fromkeys(tuple(c["labels"][axis] for axis in outer) for c in study["cells"]):
    labels = dict(zip(outer, key, strict=True))
    cells = [cell for cell in study["cells"] if labels.items() <= cell["labels"].items()]
    own = [_at(labels, several) for several in (rows, comparisons, of_diagnosis)]
    if not own[0]:
      incomplete += _gaps(cells)
      continue
    title = ", ".join([study["name"], *key])
    tables = _combination(title, study, [c["labels"][study["axes"][-1]] for c in cells], own)
    made += [table._replace(note=table.note + _gaps(cells)) for table in tables[:1]] + tables[1:]
  return [table._replace(note=table.note + incomplete) for table in made[:1]] + made[1:]


def _at(labels: dict[str, str], rows: Sequence[Row]) -> list[Row]:
  """Returns the rows with these labels."""
  return [row for row in rows if labels.items() <= row.items()]


def _combination(
  title: str, study: dict[str, Any], labels: Sequence[str], files: Sequence[Sequence[Row]]
) -> list[Table]:
  """Returns the tables of the cells that differ in the label of the last axis only.

  Args:
    title: of the tables.
    study: what `study.json` holds.
    labels: of the last axis, in their order.
    files: rows, comparisons and comparisons of the diagnosis, of these cells.
  """
  axis, reference = study["axes"][-1], study["reference"]
  by_label = {label: found for label in labels if (found := _at({axis: label}, files[0]))}

  def known(name: str) -> dict[str, list[Row]]:
    return {label: found for label, found in by_label.items() if found[0].get(name)}

  made = []
  for words, form, tests in (
    ("the foreground", _Form(FOREGROUND, "Dice", _OF_PIXELS), files[1]),
    ("the diagnosis", _Form(DIAGNOSIS, "accuracy", _OF_CASES), files[2]),
  ):
    if scored := known(form.columns[0][1]):
      of_label = {label: own[0] for label in scored if (own := _at({axis: label}, tests))}
      made.append(_scores(f"{title}: {words}", axis, scored, of_label, reference, form))
  published = study["published"] or {}
  columns = [PublishedColumn(*column) for column in published.get("columns", PUBLISHED)]
  scored = {
    label: found
    for label, found in by_label.items()
    if any(found[0].get(column.name) for column in columns)
  }
  if scored:
    table = _as_published(f"{title}: as the paper counts", axis, scored, columns, published)
    made.insert(1, table)
  return made


def _scores(
  title: str,
  axis: str,
  rows: dict[str, list[Row]],
  tests: dict[str, Row],
  reference: str | None,
  form: _Form,
) -> Table:
  columns = [c for c in form.columns if all(row.get(c[1]) for rs in rows.values() for row in rs)]
  best = {name: _best(rows, name, less) for _, name, _, less in columns}
  header = [axis, "seeds", *(heading for heading, *_ in columns)]
  with_seeds = any(test.get("p_seeds_holm") for test in tests.values())
  if tests:
    header += [f"Δ {form.compared} to {reference} [95 %]", "p, cases"]
    header += ["p, seeds"] if with_seeds else []
  body = []
  for label, found in rows.items():
    cells = [TableCell(label), TableCell(str(len(found)))]
    for _, name, factor, _ in columns:
      cells.append(TableCell(_mean(found, name, factor), best[name] == label))
    if tests:
      cells += _test_cells(tests.get(label), with_seeds)
    body.append(tuple(cells))
  note = form.note
  if tests:
    note += (
      " Δ and its interval are over groups of near-duplicate images, each averaged over the seeds"
      " that test it; p, cases: Wilcoxon's signed-rank test over these groups; p, seeds: paired"
      " t-test over seeds; both after Holm's correction."
    )
  return Table(title, tuple(header), tuple(body), note)


def _test_cells(test: Row | None, with_seeds: bool) -> list[TableCell]:
  if test is None:
    return [TableCell("")] * (3 if with_seeds else 2)
  difference, low, high = (100 * float(test[name]) for name in ("difference", "low", "high"))
  cells = [
    TableCell(f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]"),
    TableCell(p_text(test["p_cases_holm"])),
  ]
  return [*cells, TableCell(p_text(test["p_seeds_holm"]))] if with_seeds else cells


def _as_published(
  title: str,
  axis: str,
  rows: dict[str, list[Row]],
  columns: Sequence[PublishedColumn],
  published: dict[str, Any],
) -> Table:
  theirs = published.get("rows", {})
  with_score = {
    column: {label: found for label, found in rows.items() if found[0].get(column.name)}
    for column in columns
  }
  best = {
    column: _best(scored, column.name, column.less)
    for column, scored in with_score.items()
    if scored
  }
  body = []
  for label, found in rows.items():
    cells = [TableCell(label)]
    for column in columns:
      is_there = label in with_score[column]
      text = _mean(found, column.name, column.factor) if is_there else "–"
      if entry := theirs.get(label, {}).get(column.key):
        text += f" ({entry['mean']:.2f})"
      cells.append(TableCell(text, best.get(column) == label))
    body.append(tuple(cells))
  suffix = " (paper)" if theirs else ""
  header = (axis, *(column.heading + suffix for column in columns))
  note = published.get("note", _POOLED)
  if theirs:
    note += f" In brackets: {published['source']}."
  return Table(title, header, tuple(body), note)


def _gaps(cells: Sequence[dict[str, Any]]) -> str:
  """Returns in words which cells have no results."""
  failed = [f"{cell['name']} ({cell['failed']})" for cell in cells if "failed" in cell]
  unfinished = [c["name"] for c in cells if not c["complete"] and "failed" not in c]
  text = f" Failed: {'; '.join(failed)}." if failed else ""
  return text + (f" Not complete: {', '.join(unfinished)}." if unfinished else "")


def _values(rows: Sequence[Row], name: str) -> list[float]:
  return [float(row[name]) if row[name] else math.nan for row in rows]


def _best(rows: dict[str, list[Row]], name: str, less: bool) -> str:
  """Returns the label with the best mean."""
  choose: Callable = min if less else max
  worst = math.inf if less else -math.inf
  means = {label: statistics.fmean(_values(found, name)) for label, found in rows.items()}
  return choose(means, key=lambda label: worst if math.isnan(means[label]) else means[label])


def _mean(rows: Sequence[Row], name: str, factor: float) -> str:
  """Returns mean ± sample standard deviation; of a single seed the value alone."""
  values = [factor * value for value in _values(rows, name)]
  text = f"{statistics.fmean(values):.2f}"
  return f"{text} ± {statistics.stdev(values):.2f}" if len(values) > 1 else text


def p_text(value: str) -> str:
  """Returns a p-value as tables show it.

  Example:
    >>> p_text("0.0421"), p_text("1.3e-7"), p_text("")
    ('0.042', '< 0.001', '')
  """
  if not value:
    return ""
  p = float(value)
  return "< 0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"
