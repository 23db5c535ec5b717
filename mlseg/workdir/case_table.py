"""`cases.csv`: how well each model segments each test case, a row per seed, case and class.

`ensemble_cases.csv` has the same of the mean of all models, without the column of the seed.

    seed,id,label,class,tp,fp,fn,tn,dice,iou,precision,...
    0,benign (2),benign,background,15722,30,78,554,0.996577,...
    0,benign (2),benign,lesion,554,78,30,15722,0.911184,...

The counts are of pixels: true and false positives, false and true negatives. The columns after
them are metrics of the case and class; a metric that is not defined is nan.
"""

import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.files import Row, read_csv, reading, to_csv, write_file

NAME, ENSEMBLE_NAME = "cases.csv", "ensemble_cases.csv"
KEYS = ("seed", "id", "label", "class")
COUNTS = ("tp", "fp", "fn", "tn")


class CaseScore(NamedTuple):
  """How well one model segments one test case."""

  label: str  # the diagnosis
  dice: float  # foreground Dice; nan where it is not defined


def make_rows(
  seed: int | None,
  ids: Sequence[str],
  labels: Sequence[str],
  class_names: Sequence[str],
  counts: np.ndarray,
  metrics: Mapping[str, np.ndarray],
) -> list[Row]:
  """Returns the rows of one model.

  Args:
    seed: of the model; None: of the mean of all models.
    ids: [N], of the test cases.
    labels: [N], their diagnoses.
    class_names: [C], the background first.
    counts: [N, C, 4], pixels.
    metrics: by name [N, C].
  """
  return [
    ({} if seed is None else {"seed": seed})
    | dict(zip(KEYS[1:], (ids[n], labels[n], class_name), strict=True))
    | dict(zip(COUNTS, counts[n, c].tolist(), strict=True))
    | {name: float(values[n, c]) for name, values in metrics.items()}
    for n in range(len(ids))
    for c, class_name in enumerate(class_names)
  ]


def write(workdir: pathlib.Path, rows: Sequence[Row], name: str = NAME) -> None:
  """Writes the rows of all models into a run's folder.

  Args:
    workdir: the run's folder.
    rows: from `make_rows`.
    name: of the file: `NAME` or `ENSEMBLE_NAME`.
  """
  write_file(workdir / name, to_csv(rows))


def read(workdir: pathlib.Path, name: str = NAME) -> list[Row]:
  """Returns the rows, with numbers as numbers; without labels, which old runs lack, all are 'all'.

  Args:
    workdir: the run's folder.
    name: of the file: `NAME` or `ENSEMBLE_NAME`.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / name
  rows = read_csv(path, columns=(*KEYS[name == ENSEMBLE_NAME : 2], "class", "dice"))
  with reading(path):
    if not rows:
      raise ValueError("it has no rows")
    return [_typed(row) for row in rows]


def class_names(rows: Iterable[Row]) -> tuple[str, ...]:
  """Returns the classes of the masks, the background first."""
  return tuple(dict.fromkeys(row["class"] for row in rows))


def foreground_scores(rows: Sequence[Row]) -> dict[tuple[int, str], CaseScore]:
  """Returns by seed and id the mean Dice over the classes but the first, the background.

  A class whose Dice is not defined is left out; nan where none is defined. So is a class that is
  neither true nor predicted, unless all are, as far as the rows have counts.

  Example:
    >>> rows = [{"seed": 0, "id": "a", "label": "x", "class": name, "dice": dice}
    ...         for name, dice in (("background", 0.9), ("cyst", 0.5), ("tumour", 0.25))]
    >>> foreground_scores(rows)
    {(0, 'a'): CaseScore(label='x', dice=0.375)}
  """
  background = rows[0]["class"]
  labels = {(row["seed"], row["id"]): row["label"] for row in rows}
  values: dict[tuple[int, str], list[tuple[bool, float]]] = {key: [] for key in labels}
  for row in rows:
    if row["class"] != background and math.isfinite(row["dice"]):
      present = any(row.get(name, 1) for name in COUNTS[:3])
      values[row["seed"], row["id"]].append((present, row["dice"]))
  return {key: CaseScore(labels[key], _mean_of_present(own)) for key, own in values.items()}


def _mean_of_present(scores: Sequence[tuple[bool, float]]) -> float:
  """Returns the mean over the scores of classes that are present, over all where none is."""
  chosen = [dice for present, dice in scores if present] or [dice for _, dice in scores]
  return float(np.mean(chosen)) if chosen else math.nan


def _typed(row: dict[str, str]) -> Row:
  """Returns a row with numbers as numbers."""
  keys: Row = {"seed": int(row["seed"])} if "seed" in row else {}
  keys |= {"id": row["id"], "label": row.get("label") or "all", "class": row["class"]}
  counts = {name: int(row[name]) for name in COUNTS if name in row}
  metrics = {
    name: float(value or "nan") for name, value in row.items() if name not in (*KEYS, *COUNTS)
  }
  return keys | counts | metrics
