"""The tables of a study, from `study.json`, `rows.csv` and `comparisons.csv` in its folder."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from mlseg.files import read_csv, read_json
from mlseg.report.scores import marks, of_positive
from mlseg.report.study_cells import (
  Row,
  deviation_words,
  gaps_in_words,
  leader_of,
  mean_of,
  mean_text,
  p_text,
  score_cell,
)
from mlseg.report.tables import Table, TableCell

# Columns of `rows.csv`: the score by which a model's epoch was kept, and by how much it rose in the
# last third of the epochs, which tells whether the training had converged.
VALIDATION, LATE_RISE = "validation", "late_rise"
CONVERGED = 0.005  # largest such rise, a mean over seeds, of trainings that count as converged


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
  "Mean over all classes, with the background, from counts summed over the test images, in percent."
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
_OF_PIXELS = "Mean over the foreground classes, then over the test images, in percent."
_OF_CASES = "On the test images, in percent."


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

  Each combination has up to three tables: the foreground, with the comparisons; all classes from
  pooled counts, which is the convention of the published table where there is one, with its
  numbers; the diagnosis, with the comparisons. A table for which no cell has scores is left out.

  Rows are in the order of the validation score, where all of them have it, so that the order is
  not chosen by the test cases; a table with published numbers keeps the order of the study.

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
      incomplete += gaps_in_words(cells)
      continue
    title = ", ".join([study["name"], *key])
    tables = _combination(title, study, [c["labels"][study["axes"][-1]] for c in cells], own)
    made += _noted(tables, gaps_in_words(cells))
  return _noted(made, incomplete)


def _noted(tables: list[Table], words: str) -> list[Table]:
  """Returns tables with more words below the first."""
  return [table._replace(note=table.note + words) for table in tables[:1]] + tables[1:]


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
  axis = study["axes"][-1]
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
      heading = f"{title}: {words}"
      made.append(_scores(heading, study, scored, of_label, form))
  published = study["published"] or {}
  columns = [PublishedColumn(*column) for column in published.get("columns", PUBLISHED)]
  scored = {
    label: found
    for label, found in by_label.items()
    if any(found[0].get(column.name) for column in columns)
  }
  if scored:
    words = "as the paper counts" if published else "all classes, pooled"
    made.insert(1, _as_published(f"{title}: {words}", axis, scored, columns, published))
  return made


def _scores(
  title: str,
  study: dict[str, Any],
  rows: dict[str, list[Row]],
  tests: dict[str, Row],
  form: _Form,
) -> Table:
  """Returns a table of scores, in the order of validation where that is known, with the tests."""
  columns = [c for c in form.columns if all(row.get(c[1]) for rs in rows.values() for row in rs)]
  best = {name: leader_of(rows, name, less) for _, name, _, less in columns}
  ranked = all(row.get(VALIDATION) for own in rows.values() for row in own)
  if ranked:
    rows = dict(sorted(rows.items(), key=lambda pair: -mean_of(pair[1], VALIDATION)))
  with_seeds = any(test.get("p_seeds_holm") for test in tests.values())
  with_rise = ranked and all(row.get(LATE_RISE) for own in rows.values() for row in own)
  headings = _headings(study, columns)
  body = []
  for label, found in rows.items():
    cells = [TableCell(label), TableCell(str(len(found)))]
    cells += [TableCell(mean_text(found, VALIDATION, 100.0))] if ranked else []
    cells += [_late_rise(found)] if with_rise else []
    cells += [score_cell(label, found, name, factor, best[name]) for _, name, factor, _ in columns]
    if tests:
      cells += _test_cells(tests.get(label), with_seeds)
    body.append(tuple(cells))
  leaders = {
    heading: ([one] if (one := best[name]) else [], factor)
    for heading, (_, name, factor, _) in zip(headings, columns, strict=True)
  }
  note = form.note + deviation_words(rows) + (_RANKED if ranked else "")
  note += (_RISE if with_rise else "") + marks(leaders)
  rise = ["rise in the last third"] if with_rise else []
  header = [study["axes"][-1], "seeds", *_validation_heading(study, ranked), *rise, *headings]
  if tests:
    header += [f"Δ {form.compared} to {study['reference']} [95 %]", "p, cases"]
    header += ["p, seeds"] if with_seeds else []
    note += _TESTS
  return Table(title, tuple(header), tuple(body), note)


def _headings(study: dict[str, Any], columns: Sequence[tuple[str, str, float, bool]]) -> list[str]:
  """Returns the headings of scores, with the positive diagnosis where a score is of it."""
  positive = study.get("positive")  # studies of older versions do not tell it
  return [
    heading + ("" if positive is None else of_positive(name, positive))
    for heading, name, *_ in columns
  ]


def _validation_heading(study: dict[str, Any], ranked: bool) -> list[str]:
  """Returns the heading of the validation score, where there is such a column."""
  return [f"validation {study.get('selection') or 'score'}"] if ranked else []


_RANKED = (
  " Rows are in the order of their validation score, that of the epochs that were kept; all other"
  " scores are of the test cases."
)
_RISE = (
  " Rise: by how many points the best validation score of a model rose in the last third of its"
  f" epochs, the mean over seeds; above {100 * CONVERGED:g} the trainings had not converged."
)
_TESTS = (
  " Δ and its interval are over the groups of cases that a split keeps together, those of a patient"
  " and near-duplicates, each averaged over the seeds that test it; p, cases: Wilcoxon's"
  " signed-rank test over these groups; p, seeds: paired t-test over seeds; both after Holm's"
  " correction."
)


def _late_rise(rows: Sequence[Row]) -> TableCell:
  """Returns the mean late rise of the seeds, with a mark where the trainings had not converged."""
  rise = mean_of(rows, LATE_RISE)
  return TableCell(f"{100 * rise:.2f}" + ("" if rise <= CONVERGED else ", not converged"))


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
  best = {
    c: leader_of({k: v for k, v in rows.items() if v[0].get(c.name)}, c.name, c.less)
    for c in columns
  }
  body = []
  for label, found in rows.items():
    cells = [TableCell(label)]
    for column in columns:
      if not found[0].get(column.name):
        cell = TableCell("–")
      else:
        cell = score_cell(label, found, column.name, column.factor, best[column])
      if entry := theirs.get(label, {}).get(column.key):
        cell = cell._replace(text=f"{cell.text} ({entry['mean']:.2f})")
      cells.append(cell)
    body.append(tuple(cells))
  suffix = " (paper)" if theirs else ""
  header = (axis, *(column.heading + suffix for column in columns))
  note = published.get("note", _POOLED) + deviation_words(rows)
  note += marks({c.heading: ([one] if (one := best[c]) else [], c.factor) for c in columns})
  if theirs:
    note += f" In brackets: {published['source']}."
  return Table(title, header, tuple(body), note)
