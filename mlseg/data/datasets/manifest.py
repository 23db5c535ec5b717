"""The manifest of a cohort: a table with each patient's image, mask, outcome and covariates."""

import math
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from mlseg.data import findings
from mlseg.data.datasets import csv_table
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable

_FILES = ("image", "mask")


class Patient(NamedTuple):
  """A row of the manifest."""

  name: str
  image: pathlib.Path
  mask: pathlib.Path
  label: str  # the outcome; '' where it is not known
  covariates: dict[str, float]  # by column; NaN where the value is missing


def read(
  path: pathlib.Path,
  *,
  with_labels: bool = True,
  covariates: Sequence[str] = (),
  found: Findings | None = None,
) -> list[Patient]:
  """Returns the patients of a manifest in its order.

  The columns are patient, image, mask and label; all others are numeric covariates. Paths are
  relative to the folder of the manifest. Images and masks are NIfTI files or folders of DICOM
  slices.

  Args:
    path: of the table.
    with_labels: whether outcomes are needed, and all covariates are read. Otherwise outcomes may be
      missing, or all the same.
    covariates: the columns of covariates that must be there; without outcomes no others are read.
    found: gets the rows that cannot be used, which are left out; None: they are refused.

  Raises:
    UserError: the table cannot be read or lacks a column, or all labels are the same; or, without
      `found`, a row lacks a value, names a patient twice or a file that does not exist, or has a
      covariate that is not a finite number.
  """
  own = Findings() if found is None else found
  columns = [*_FILES, "label"] if with_labels else list(_FILES)
  table = csv_table.read(path, "patient", columns, also=covariates, with_others=True, found=own)
  patients = []
  for name, row in table.items():
    patient = _patient(path, name, row, None if with_labels else covariates, own)
    patients += [patient] if patient else []
  if found is None:
    findings.refuse(own.faults)
  labels = dict.fromkeys(patient.label for patient in patients)
  if with_labels:
    csv_table.check_labels(labels, f"table {path}")
    if len(labels) < 2 and not own.faults:
      raise UserError(f"table {path}: all {len(patients)} patients have the same label")
  return patients


def _patient(
  path: pathlib.Path,
  name: str,
  row: dict[str, str],
  columns: Sequence[str] | None,
  found: Findings,
) -> Patient | None:
  """Returns the patient of a row; None: the row cannot be used.

  Args:
    path: of the table, for messages.
    name: of the patient.
    row: the cells by column.
    columns: of the covariates that are read; None: all.
    found: gets what is wrong with the row.
  """
  reasons = []
  image, mask = (_existing(path.parent / row.pop(column)) for column in _FILES)
  for column, file in (("image", image), ("mask", mask)):
    if not _exists(file):
      reasons.append(f"{column} {printable(str(file))} does not exist")
  del row["patient"]
  label = row.pop("label", "")
  covariates = {}
  for column in row if columns is None else columns:
    text = row[column]
    value = _number(text)
    if value is None:
      reasons.append(f"covariate {column!r} must be a finite number, not {printable(text)!r}")
    else:
      covariates[column] = value
  for reason in reasons:
    found.add(f"table {path}: patient {printable(name)}", reason)
  return None if reasons else Patient(name, image, mask, label, covariates)


def _number(text: str) -> float | None:
  """Returns the value of a cell, NaN where it is missing; None where it is no finite number."""
  if not text:
    return math.nan
  try:
    value = float(text)
  except ValueError:
    return None
  return value if math.isfinite(value) else None


def _exists(path: pathlib.Path) -> bool:
  """Returns whether there is a file or a folder; never, where no disk takes the name."""
  try:
    return path.exists()
  except (OSError, ValueError):  # it is too long, or has a character that names cannot have
    return False


def _existing(path: pathlib.Path) -> pathlib.Path:
  """Returns a path, or the one beside it whose name differs only in its form of Unicode."""
  if _exists(path) or not _exists(path.parent) or not path.parent.is_dir():
    return path
  wanted = unicodedata.normalize("NFC", path.name)
  same = (one for one in path.parent.iterdir() if unicodedata.normalize("NFC", one.name) == wanted)
  return next(same, path)
