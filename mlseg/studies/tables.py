"""The tables of a study: rows by cell and seed, scores by case, and comparisons of methods."""

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.files import Row, to_csv, to_json, write_file
from mlseg.metrics.statistics import Comparison, compare
from mlseg.studies.grid import Cell, Grid
from mlseg.workdir import (
  case_table,
  data_table,
  diagnosis_table,
  metrics_log,
  results_file,
  split_file,
)


class Score(NamedTuple):
  """A score of a single test case."""

  name: str
  file: str  # of a run, that has it
  read: Callable[[pathlib.Path], dict[tuple[int, str], float]]  # of a run's folder: by seed and id
  prefix: str  # of the name of the comparisons' file


def write(grid: Grid, complete: Sequence[Cell], workdir: pathlib.Path, failures: Mapping) -> None:
  """Writes `study.json`, `rows.csv`, and the scores of single test cases with their comparisons.

  These are `dice.csv` and `comparisons.csv`, and where cells diagnose, `accuracy.csv` and
  `accuracy_comparisons.csv`.

  Args:
    grid: the study, with all its cells.
    complete: the cells that have results.
    workdir: the study's folder, in which each cell has a folder of its name.
    failures: by the name of a cell that failed, the reason.
  """
  axes = list(grid.cells[0].labels)
  done = {cell.name for cell in complete}
  content = {
    "name": grid.name,
    "axes": axes,
    "reference": grid.reference,
    "published": grid.published,
    **_described(complete, workdir),
    "cells": [
      {"name": cell.name, "labels": cell.labels, "complete": cell.name in done}
      | ({"failed": failures[cell.name]} if cell.name in failures else {})
      for cell in grid.cells
    ],
  }
  write_file(workdir / "study.json", to_json(content, indent=1) + "\n")
  write_file(workdir / "rows.csv", to_csv(seed_rows(complete, workdir)))
  for score in SCORES:
    rows = score_rows(complete, workdir, score)
    if rows or score.name == "dice":
      write_file(workdir / f"{score.name}.csv", to_csv(rows))
      tests = comparison_rows(rows, axes, grid.reference)
      write_file(workdir / f"{score.prefix}comparisons.csv", to_csv(tests))


def _described(cells: Sequence[Cell], workdir: pathlib.Path) -> Row:
  """Returns what tables say of scores.

  'selection' is the validation score by which epochs are kept, '' where cells differ in it.
  'positive' is the second of two diagnoses, which some scores are of; '' where there are more.
  """
  selections = {str(cell.recipe.get("selection", "")) for cell in cells}
  names = {diagnosis_table.read_label_names(workdir / cell.name) for cell in cells} - {()}
  (labels,) = names if len(names) == 1 else ((),)
  return {
    "selection": selections.pop() if len(selections) == 1 else "",
    "positive": labels[1] if len(labels) == 2 else "",
  }


def seed_rows(cells: Iterable[Cell], workdir: pathlib.Path) -> list[Row]:
  """Returns a row per cell and seed: labels, seed, and every metric of `results.json`.

  'validation' and 'kept_epoch' are the validation score of the model and its epoch, and 'late_rise'
  is by how much this score rose in the last third of the epochs; empty where that is not known.
  """
  rows = []
  for cell in cells:
    folder = workdir / cell.name
    results = results_file.read(folder)
    kept = kept_epochs(folder, str(cell.recipe.get("selection", "dice")))
    for n, seed in enumerate(results.seeds):
      scores = {name: metric.per_seed[n] for name, metric in results.metrics.items()}
      own = kept.get(seed, Kept(None, None, None))
      rows.append({**cell.labels, "seed": seed, **own._asdict(), **scores})
  return rows


class Kept(NamedTuple):
  """What the validation of a model shows."""

  validation: float | None  # the best score
  kept_epoch: float | None  # its epoch, the first of equal ones
  late_rise: float | None  # the best score minus that of the first two thirds of the epochs


def kept_epochs(folder: pathlib.Path, selection: str) -> dict[int, Kept]:
  """Returns by seed what the validation of its model shows.

  Args:
    folder: of a run; without `metrics.jsonl` nothing is known.
    selection: as `config.selection`.
  """
  if not (folder / metrics_log.NAME).exists():
    return {}
  curves: dict[int, list[tuple[float, float]]] = {}  # score and epoch
  for record in metrics_log.read(folder):
    known = record.get("validation", {})
    names = ("dice", "accuracy") if selection == "mean" else (selection,)
    scores = [known[name] for name in names if known.get(name) is not None]
    if scores:
      curves.setdefault(record["seed"], []).append((float(np.mean(scores)), record["epoch"]))
  return {seed: _kept(curve) for seed, curve in curves.items()}


def _kept(curve: Sequence[tuple[float, float]]) -> Kept:
  """Returns what a curve shows; of fewer than three epochs there is no last third."""
  scores = [score for score, _ in curve]
  score, epoch = curve[scores.index(max(scores))]
  late = len(curve) // 3
  return Kept(score, epoch, score - max(scores[:-late]) if late else None)


def score_rows(cells: Sequence[Cell], workdir: pathlib.Path, score: Score) -> list[Row]:
  """Returns a row per test case and seed, with the score of each label of the last axis.

  'leak' is 1 where the seed was trained on a near-duplicate of the case. Cells whose other labels
  differ have rows of their own; cells without the score's file have none.
  """
  table: dict[tuple[str, ...], Row] = {}
  for cell in cells:
    *outer, last = cell.labels
    folder = workdir / cell.name
    if not (folder / score.file).exists():
      continue
    data = data_table.read(folder)
    groups = range(len(data.ids)) if data.groups is None else data.groups
    group_of = dict(zip(data.ids, groups, strict=True))
    leaks = _leaks(split_file.read(folder))
    for (seed, name), value in score.read(folder).items():
      key = (*(cell.labels[axis] for axis in outer), str(seed), name)
      start: Row = {axis: cell.labels[axis] for axis in outer}
      start |= {
        "seed": seed,
        "id": name,
        "group": group_of[name],
        "leak": int((seed, name) in leaks),
      }
      table.setdefault(key, start)[cell.labels[last]] = value
  return list(table.values())


def _leaks(split: split_file.SavedSplit) -> set[tuple[int, str]]:
  """Returns seed and id of the test cases that have a near-duplicate in the training part."""
  twins: dict[str, set[str]] = {}
  for first, second, _ in split.near_duplicates:
    twins.setdefault(first, set()).add(second)
    twins.setdefault(second, set()).add(first)
  return {
    (seed, name)
    for seed, parts in split.parts.items()
    for name in parts["test"]
    if not twins.get(name, set()).isdisjoint(parts["train"])
  }


def _foreground_dice(folder: pathlib.Path) -> dict[tuple[int, str], float]:
  """Returns by seed and id the mean Dice over the classes but the background."""
  scores = case_table.foreground_scores(case_table.read(folder))
  return {key: score.dice for key, score in scores.items()}


def _correct(folder: pathlib.Path) -> dict[tuple[int, str], float]:
  """Returns by seed and id 1 where the predicted diagnosis is the true one, else 0."""
  diagnoses = diagnosis_table.predictions(diagnosis_table.read(folder))
  return {key: float(true == predicted) for key, (true, predicted) in diagnoses.items()}


SCORES = (
  Score("dice", case_table.NAME, _foreground_dice, ""),
  Score("accuracy", diagnosis_table.NAME, _correct, "accuracy_"),
)


def comparison_rows(scores: Sequence[Row], axes: Sequence[str], reference: str | None) -> list[Row]:
  """Returns a row per label of the last axis, compared with the reference on the same cases.

  There are two comparisons:
  - Over cases: would the trained models differ on other images? A unit is a group of
    near-duplicates, with the mean of its cases over the seeds that test them; the test is
    Wilcoxon's signed-rank test.
  - Over seeds: would the methods differ under other initial values, orders and splits? A unit is
    the mean over a seed's test cases; the test is the paired t-test.
  Holm's correction is over the labels.

  Args:
    scores: from `score_rows`, numbers as text or not.
    axes: names of the grid's axes.
    reference: a label of the last axis; None: there is no comparison.
  """
  outer, fixed = list(axes[:-1]), {*axes, "seed", "id", "group", "leak"}
  tables: dict[tuple[str, ...], list[Row]] = {}
  for row in scores:
    tables.setdefault(tuple(row[axis] for axis in outer), []).append(row)
  rows = []
  for key, table in tables.items():
    names = dict.fromkeys(name for row in table for name in row if name not in fixed)
    labels = [name for name in names if all(row.get(name, "") != "" for row in table)]
    if reference not in labels or len(labels) < 2:
      continue
    by_case = _compare(table, labels, "group", reference)
    by_seed = _compare(table, labels, "seed", reference)
    over_seeds = {test.first: _seed_part(test) for test in by_seed}  # empty for a single seed
    for test in by_case:
      cell = dict(zip(outer, key, strict=True)) | {axes[-1]: test.first}
      rows.append(cell | _case_part(test) | over_seeds.get(test.first, {}))
  return rows


def _compare(
  table: Sequence[Row], labels: Sequence[str], unit: str, reference: str | None
) -> list[Comparison]:
  """Returns the comparisons with the mean score of each unit; none where there is one unit."""
  units: dict[str, list[Row]] = {}
  for row in table:
    units.setdefault(str(row[unit]), []).append(row)
  if len(units) < 2:
    return []
  means = {
    label: [float(np.mean([float(row[label]) for row in rows])) for rows in units.values()]
    for label in labels
  }
  return compare(means, reference=reference)


def _case_part(comparison: Comparison) -> Row:
  tests = comparison.tests
  return {
    "num_groups": tests.num_cases,
    "difference": tests.mean_difference,
    "low": tests.low,
    "high": tests.high,
    "rank_biserial": tests.rank_biserial,
    "p_cases": tests.p_wilcoxon,
    "p_cases_holm": comparison.p_wilcoxon_holm,
  }


def _seed_part(comparison: Comparison) -> Row:
  tests = comparison.tests
  return {
    "num_seeds": tests.num_cases,
    "difference_seeds": tests.mean_difference,
    "low_seeds": tests.low,
    "high_seeds": tests.high,
    "p_seeds": tests.p_t,
    "p_seeds_holm": comparison.p_t_holm,
  }
