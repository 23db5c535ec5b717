"""The manifest of a cohort: a table with each patient's image, mask, outcome and covariates."""

import math
import pathlib
from typing import NamedTuple

from mlseg.data.datasets import csv_table
from mlseg.errors import UserError

_FILES = ("image", "mask")


class Patient(NamedTuple):
  """A row of the manifest."""

  name: str
  image: pathlib.Path
  mask: pathlib.Path
  label: str  # the outcome; '' where it is not known
  covariates: dict[str, float]  # by column; NaN where the cell is empty


def read(path: pathlib.Path, *, with_labels: bool = True) -> list[Patient]:
  """Returns the patients of a manifest in its order.

  The columns are patient, image, mask and label; all others are numeric covariates. Paths are
  relative to the folder of the manifest. Images and masks are NIfTI files or folders of DICOM
  slices.

  Args:
    path: of the table.
    with_labels: whether outcomes are needed. Otherwise they may be missing, or all the same.

  Raises:
    UserError: the table cannot be read, lacks a column or a value, names a patient twice, or names
      a file that does not exist; a covariate is not a number; or all labels are the same.
  """
  columns = [*_FILES, "label"] if with_labels else _FILES
  table = csv_table.read(path, "patient", columns, with_others=True)
  patients = [_patient(path, name, row) for name, row in table.items()]
  if with_labels and len({patient.label for patient in patients}) < 2:
    raise UserError(f"table {path}: all {len(patients)} patients have the same label")
  return patients


def _patient(path: pathlib.Path, name: str, row: dict[str, str]) -> Patient:
  where = f"table {path}: patient {name}"
  image, mask = (path.parent / row.pop(column) for column in _FILES)
  for column, file in (("image", image), ("mask", mask)):
    if not file.exists():
      raise UserError(f"{where}: {column} {file} does not exist")
  del row["patient"]
  label = row.pop("label", "")
  if label.lower() == "nan":
    raise UserError(f"{where} has the label {label!r}, which stands for a missing value")
  covariates = {}
  for column, text in row.items():
    try:
      covariates[column] = float(text or math.nan)
    except ValueError:
      raise UserError(f"{where}: covariate {column!r} must be a number, not {text!r}") from None
  return Patient(name, image, mask, label, covariates)
