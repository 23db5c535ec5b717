"""What a study leaves beside its cells: rows by cell and seed, scores by case, and tests."""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.files import Row, read_csv, to_csv, to_json, write_file
from mlseg.metrics import foreground_dice_per_case
from mlseg.metrics.statistics import Comparison, compare
from mlseg.studies.grid import Cell, Grid


class Score(NamedTuple):
  """What a case scores."""

  name: str
  file: str  # of a run, that says it
  read: Callable[[pathlib.Path], dict[tuple[str, str], float]]  # by seed and case
  prefix: str  # of the name of the comparisons' file


def write(grid: Grid, complete: Sequence[Cell], workdir: pathlib.Path, failures: Mapping) -> None:
  """Writes `study.json`, `rows.csv`, and of what is scored in cases their scores and comparisons.

  These are `dice.csv` and `comparisons.csv`, and where cells diagnose, `accuracy.csv` and
  `accuracy_comparisons.csv`.

  Args:
    grid: all cells.
    complete: those that have results.
    workdir: the folder of all.
    failures: by the name of a cell that failed, why.
  """
  axes = list(grid.cells[0].labels)
  done = {cell.name for cell in complete}
  content = {
    "name": grid.name,
    "axes": axes,
    "reference": grid.reference,
    "published": grid.published,
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


def seed_rows(cells: Iterable[Cell], workdir: pathlib.Path) -> list[Row]:
  """Returns a row per cell and seed: labels, seed, and every metric of `results.json`."""
  rows = []
  for cell in cells:
    content = json.loads((workdir / cell.name / "results.json").read_text())
    for place, seed in enumerate(content["seeds"]):
      scores = {name: entry["per_seed"][place] for name, entry in content["metrics"].items()}
      rows.append({**cell.labels, "seed": seed, **scores})
  return rows


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
    group_of = {row["id"]: row["group"] for row in read_csv(folder / "data.csv")}
    leaks = _leaks(folder / "split.json")
    for (seed, name), value in score.read(folder / score.file).items():
      key = (*(cell.labels[axis] for axis in outer), seed, name)
      start: Row = {axis: cell.labels[axis] for axis in outer}
      start |= {
        "seed": int(seed),
        "id": name,
        "group": group_of[name],
        "leak": int((seed, name) in leaks),
      }
      table.setdefault(key, start)[cell.labels[last]] = value
  return list(table.values())


def _leaks(path: pathlib.Path) -> set[tuple[str, str]]:
  """Returns seed and name of the test cases that have a near-duplicate in the training part."""
  content = json.loads(path.read_text())
  twins: dict[str, set[str]] = {}
  for first, second, _ in content["near_duplicates"]:
    twins.setdefault(first, set()).add(second)
    twins.setdefault(second, set()).add(first)
  return {
    (seed, name)
    for seed, parts in content["seeds"].items()
    for name in parts["test"]
    if not twins.get(name, set()).isdisjoint(parts["train"])
  }


def _foreground_dice(path: pathlib.Path) -> dict[tuple[str, str], float]:
  """Returns by seed and case the mean Dice over classes without the first, the background."""
  values: dict[tuple[str, str], list[float]] = {}
  for row in read_csv(path):
    values.setdefault((row["seed"], row["id"]), []).append(float(row["dice"]))
  return {key: float(foreground_dice_per_case(dice)) for key, dice in values.items()}


def _correct(path: pathlib.Path) -> dict[tuple[str, str], float]:
  """Returns by seed and case 1 where the predicted diagnosis is the true one, else 0."""
  return {
    (row["seed"], row["id"]): float(row["label"] == row["predicted"]) for row in read_csv(path)
  }


SCORES = (
  Score("dice", "cases.csv", _foreground_dice, ""),
  Score("accuracy", "diagnoses.csv", _correct, "accuracy_"),
)


def comparison_rows(scores: Sequence[Row], axes: Sequence[str], reference: str | None) -> list[Row]:
  """Returns a row per label of the last axis, compared with the reference in the same cases.

  Two ways to see it. Over cases: the models as they are, on other pictures; a unit is a group of
  near-duplicates, with the mean of its cases over the seeds that test them; Wilcoxon's signed-rank
  test. Over seeds: other starts, orders and splits too; a unit is the mean of a seed's test cases;
  the paired t-test. Holm's correction is over the labels.

  Args:
    scores: from `score_rows`, numbers as text or not.
    axes: of the grid.
    reference: a label of the last axis; None: no comparison.
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
    over_seeds = {test.first: _seed_part(test) for test in by_seed}  # none of a single seed
    for test in by_case:
      place = dict(zip(outer, key, strict=True)) | {axes[-1]: test.first}
      rows.append(place | _case_part(test) | over_seeds.get(test.first, {}))
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
