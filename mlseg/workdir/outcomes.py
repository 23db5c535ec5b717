"""What the files of a run say of outcomes: the probabilities of cases, and their patients."""

import csv
import math
import pathlib
from typing import Any, NamedTuple

from mlseg.workdir.columns import PROBABILITY

Row = dict[str, Any]

_COVARIATE = "covariate_"  # before the name of a covariate, in the header of data.csv


class Cohort(NamedTuple):
  """Whose the cases are, and what else is known of them."""

  groups: dict[str, str] | None  # by id, the same for cases of one patient; None: not known
  covariates: dict[str, dict[str, float]]  # by name, by id; without those that are not known


def diagnosis_rows(path: pathlib.Path) -> tuple[Row, ...]:
  """Returns the lines of a table of diagnoses, their probabilities as numbers.

  Raises:
    ValueError, KeyError or IndexError: it is damaged.
  """
  rows = _lines(path)
  columns = [name for name in rows[0] if name.startswith(PROBABILITY)]
  return tuple(
    {name: row[name] for name in ("seed", "id", "label")}
    | {name: _probability(row[name]) for name in columns}
    for row in rows
  )


def cohort(path: pathlib.Path) -> Cohort:
  """Returns what `data.csv` says of patients.

  Raises:
    ValueError, KeyError or TypeError: it is damaged.
  """
  rows = _lines(path)
  names = [name for name in rows[0] if name.startswith(_COVARIATE)]
  return Cohort(
    groups={row["id"]: row["group"] for row in rows} if "group" in rows[0] else None,
    covariates={name.removeprefix(_COVARIATE): _known(rows, name) for name in names},
  )


def _lines(path: pathlib.Path) -> list[dict[str, str]]:
  with path.open(newline="") as file:
    return list(csv.DictReader(file, strict=True))


def _probability(text: str) -> float:
  if not 0 <= (value := float(text)) <= 1:
    raise ValueError(f"a probability must be in [0, 1], not {text}")
  return value


def _known(rows: list[dict[str, str]], name: str) -> dict[str, float]:
  """Returns a covariate by id, where its cell is neither empty nor nan."""
  values = {row["id"]: float(row[name] or "nan") for row in rows}
  if wrong := [value for value in values.values() if math.isinf(value)]:
    raise ValueError(f"{name} must be finite, not {wrong[0]}")
  return {case: value for case, value in values.items() if not math.isnan(value)}
