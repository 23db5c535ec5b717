"""`boxes.csv`: the objects that a detector finds in the test cases, one row each.

    seed,id,class,score,top,left,bottom,right
    0,benign (2),lesion,0.981,20.5,31,64.25,90

Boxes are in pixels, from the upper left corner of the image.
"""

import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from mlseg.files import Row, read_csv, reading, to_csv, write_file

NAME = "boxes.csv"
KEYS = ("seed", "id", "class")
NUMBERS = ("score", "top", "left", "bottom", "right")


def make_rows(
  seed: int, case: str, classes: Iterable[str], scores: np.ndarray, boxes: np.ndarray
) -> list[Row]:
  """Returns the rows of one case under one model.

  Args:
    seed: of the model.
    case: its id.
    classes: n, names of the objects' classes.
    scores: [n].
    boxes: [n, 4], top, left, bottom and right.
  """
  return [
    dict(zip(KEYS, (seed, case, name), strict=True))
    | dict(zip(NUMBERS, map(float, (score, *box)), strict=True))
    for name, score, box in zip(classes, scores, boxes, strict=True)
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
  rows = read_csv(path, columns=(*KEYS, *NUMBERS))
  with reading(path):
    if not rows:
      raise ValueError("it has no rows")
    return [
      row | {"seed": int(row["seed"])} | {name: float(row[name]) for name in NUMBERS}
      for row in rows
    ]
