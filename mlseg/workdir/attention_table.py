"""`attention.csv`: how much each slice of a volume counts, a row per seed, case and slice.

    seed,id,slice,attention
    0,patient_003,1,0.0412
    0,patient_003,2,0.3307

Slices are numbered from 1; those that a volume has not, which only fill it up, have no row. The
attention of a volume sums to 1.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from mlseg.files import Row, read_csv, reading, to_csv, write_file

NAME = "attention.csv"
COLUMNS = ("seed", "id", "slice", "attention")


def make_rows(seed: int, ids: Sequence[str], attention: np.ndarray) -> list[Row]:
  """Returns the rows of one model.

  Args:
    seed: of the model.
    ids: [N], of the test cases.
    attention: [N, S], 0 for slices that a volume has not.
  """
  return [
    {"seed": seed, "id": case} | row
    for case, own in zip(ids, attention, strict=True)
    for row in slice_rows(own)
  ]


def slice_rows(attention: np.ndarray) -> list[Row]:
  """Returns number and attention of the slices of one volume.

  Args:
    attention: [S].

  Example:
    >>> slice_rows(np.array([0.25, 0.75, 0.0]))
    [{'slice': 1, 'attention': 0.25}, {'slice': 2, 'attention': 0.75}]
  """
  return [
    dict(zip(COLUMNS[2:], (number, float(weight)), strict=True))
    for number, weight in enumerate(attention, start=1)
    if weight > 0
  ]


def write(workdir: pathlib.Path, rows: Sequence[Row]) -> None:
  """Writes the rows of all models into a run's folder."""
  write_file(workdir / NAME, to_csv(rows))


def read(workdir: pathlib.Path) -> list[Row]:
  """Returns the rows, with numbers as numbers.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  rows = read_csv(path, columns=COLUMNS)
  with reading(path):
    if not rows:
      raise ValueError("it has no rows")
    return [
      row
      | {"seed": int(row["seed"]), "slice": int(row["slice"]), "attention": float(row["attention"])}
      for row in rows
    ]
