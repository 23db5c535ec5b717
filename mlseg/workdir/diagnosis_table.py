"""`diagnoses.csv`, of the test cases, and `validation_diagnoses.csv`: a row per seed and case.

    seed,id,label,predicted,probability_benign,probability_malignant
    0,benign (2),benign,benign,0.83411,0.16589

The label is the true diagnosis; the predicted one has the greatest probability.
`ensemble_diagnoses.csv` has the same of the mean of all models, without the column of the seed.
"""

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mlseg.files import Row, read_csv, read_header, reading, to_csv, write_file

NAME, VALIDATION_NAME = "diagnoses.csv", "validation_diagnoses.csv"
ENSEMBLE_NAME = "ensemble_diagnoses.csv"
KEYS = ("seed", "id", "label", "predicted")
PROBABILITY = "probability_"  # before the name of a diagnosis


def make_rows(
  seed: int | None,
  ids: Sequence[str],
  labels: Sequence[str],
  names: Sequence[str],
  probabilities: np.ndarray,
) -> list[Row]:
  """Returns the rows of one model.

  Args:
    seed: of the model; None: of the mean of all models.
    ids: [N], of the cases.
    labels: [N], their true diagnoses.
    names: [L], of all diagnoses.
    probabilities: [N, L].
  """
  return [
    ({} if seed is None else {"seed": seed})
    | dict(zip(KEYS[1:], (case, label, names[int(own.argmax())]), strict=True))
    | {f"{PROBABILITY}{name}": float(p) for name, p in zip(names, own, strict=True)}
    for case, label, own in zip(ids, labels, probabilities, strict=True)
  ]


def write(workdir: pathlib.Path, rows: Sequence[Row], name: str = NAME) -> None:
  """Writes the rows of all models into a run's folder.

  Args:
    workdir: the run's folder.
    rows: from `make_rows`.
    name: of the file: `NAME`, `VALIDATION_NAME` or `ENSEMBLE_NAME`.
  """
  write_file(workdir / name, to_csv(rows))


def read(workdir: pathlib.Path, name: str = NAME) -> list[Row]:
  """Returns the rows, with numbers as numbers.

  Args:
    workdir: the run's folder.
    name: of the file, as in `write`.

  Raises:
    UserError: the file is missing or damaged.
  """
  return read_rows(workdir / name, KEYS[name == ENSEMBLE_NAME :], {PROBABILITY: probability})


def read_rows(
  path: pathlib.Path, keys: Sequence[str], numbers: Mapping[str, Callable[[str], float]]
) -> list[Row]:
  """Returns the rows of a table with a row per case, as this one and `finding_table` are.

  Args:
    path: the file.
    keys: columns that must be there, of which 'seed' is a whole number.
    numbers: what reads the columns of numbers, by the first letters of their names.

  Raises:
    UserError: the file is missing or damaged.
  """
  rows = read_csv(path, columns=keys)
  with reading(path):
    if not rows:
      raise ValueError("it has no rows")
    return [
      {key: int(row[key]) if key == "seed" else row[key] for key in keys}
      | {
        key: number(row[key])
        for key in row
        for start, number in numbers.items()
        if key.startswith(start)
      }
      for row in rows
    ]


def predictions(rows: Iterable[Row]) -> dict[tuple[int, str], tuple[str, str]]:
  """Returns by seed and id the true and the predicted diagnosis."""
  return {(row["seed"], row["id"]): (row["label"], row["predicted"]) for row in rows}


def label_names(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
  """Returns the diagnoses that rows have probabilities of, in their order.

  Example:
    >>> label_names([{"id": "a", "probability_well": 0.3, "probability_ill": 0.7}])
    ('well', 'ill')
  """
  columns = next(iter(rows), {})
  return tuple(name.removeprefix(PROBABILITY) for name in columns if name.startswith(PROBABILITY))


def read_label_names(workdir: pathlib.Path) -> tuple[str, ...]:
  """Returns the diagnoses of a run in their order; () where it gives none.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / NAME
  return label_names([dict.fromkeys(read_header(path))]) if path.exists() else ()


def probability(text: str) -> float:
  """Returns a number of 0 to 1, or raises a ValueError."""
  if not 0 <= (value := float(text)) <= 1:
    raise ValueError(f"a probability must be in [0, 1], not {text}")
  return value
