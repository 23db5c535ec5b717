"""A published division: a table of the fold, or of the part, of each case or patient.

    id,fold                     patient,part
    benign (1),0                TCGA_CS_4941,train
    benign (2),3                TCGA_CS_4942,test

A fold may have any name. A part is train, validation or test; where no case is for validation, a
share of the training part is drawn for it. Rows of cases that are not there are passed over.
"""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data.datasets import csv_table
from mlseg.data.splits import cross_validation
from mlseg.data.splits.grouped import Split
from mlseg.errors import UserError, printable
from mlseg.files import read_header

PARTS = ("train", "validation", "test")
_MOST_NAMED = 3  # cases that a message names


class Division(NamedTuple):
  """What a table says of N cases."""

  column: str  # 'fold' or 'part'
  values: np.ndarray  # [N] str

  @property
  def folds(self) -> list[str]:
    """The names of the folds in their order: 2 before 10."""

    def key(name: str) -> list[tuple[int, str]]:
      return [(int(x), "") if x.isdecimal() else (-1, x) for x in re.findall(r"\d+|\D+", name)]

    return sorted(set(self.values.tolist()), key=key)


def read(path: pathlib.Path, ids: Sequence[str], patients: Sequence[str]) -> Division:
  """Returns what a table says of some cases.

  Args:
    path: of the CSV file.
    ids: N names of cases.
    patients: N names of their patients; (): they are not known.

  Raises:
    UserError: the file cannot be read, has other columns, or lacks a case.
  """
  header = [name.strip() for name in re.split(r"[,;\t]", ",".join(read_header(path)))]
  where, what = (
    next((name for name in names if name in header), None)
    for names in (("id", "patient"), ("fold", "part"))
  )
  if where is None or what is None:
    raise UserError(
      f"{path} must have a column 'id' or 'patient', and a column 'fold' or 'part', not"
      f" {', '.join(map(printable, header))}"
    )
  if where == "patient" and not patients:
    raise UserError(f"{path} names patients, which the data do not tell: give a column 'id'")
  rows = csv_table.read(path, where, [what])
  names = ids if where == "id" else patients
  missing = list(dict.fromkeys(name for name in names if name not in rows))
  if missing:
    shown = ", ".join(map(printable, missing[:_MOST_NAMED]))
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    raise UserError(f"{path} has no row for the {where} {shown}{more}")
  values = np.array([rows[name][what] for name in names])
  unknown = sorted(set(values.tolist()) - set(PARTS)) if what == "part" else []
  if unknown:
    raise UserError(
      f"{path}: a part must be one of {', '.join(PARTS)}, not {printable(unknown[0])}"
    )
  return Division(what, values)


def split(
  division: Division,
  labels: np.ndarray,
  groups: np.ndarray | None,
  *,
  fold: int,
  seed: int,
  validation: float,
) -> Split:
  """Returns the parts of a division.

  Args:
    division: from `read`.
    labels: [N], by which a validation part is stratified where it is drawn.
    groups: [N], kept whole where it is drawn; None: every case is a group.
    fold: index of the fold that is tested; of no meaning for parts.
    seed: of the drawing.
    validation: share of validation among the cases that are not tested.

  Raises:
    UserError: there is no such fold, or no case for training or testing.
  """
  if division.column == "fold":
    names = division.folds
    if not fold < len(names) or len(names) < 2:
      raise UserError(f"config.data.fold {fold}: the table of folds has {', '.join(names)}")
    is_test = division.values == names[fold]
    return cross_validation.published(labels, groups, is_test, seed=seed, validation=validation)
  found = [np.flatnonzero(division.values == part).astype(np.int32) for part in PARTS]
  for part in ("train", "test"):
    if not len(found[PARTS.index(part)]):
      raise UserError(f"the table of parts has no case for {part}")
  if len(found[1]):
    return Split(*found)
  return cross_validation.published(
    labels, groups, division.values == "test", seed=seed, validation=validation
  )
