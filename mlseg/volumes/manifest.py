"""The table of a cohort: each patient's image, mask, outcome and covariates."""

import csv
import io
import math
import pathlib
from typing import NamedTuple

from mlseg.errors import UserError

NEEDED = ("patient", "image", "mask", "label")


class Patient(NamedTuple):
  """A row of the manifest."""

  name: str
  image: pathlib.Path
  mask: pathlib.Path
  label: str
  covariates: dict[str, float]  # by column; NaN where the cell is empty


def read_manifest(path: pathlib.Path) -> list[Patient]:
  """Returns the patients of a manifest in its order.

  The columns are patient, image, mask and label; all others are numeric covariates. Paths are taken
  from the manifest's folder. An image is a NIfTI file or a folder of DICOM slices, as is a mask.

  Raises:
    UserError: the table cannot be read, lacks a column or a value, names a patient twice or a file
      that is not there, a covariate is not a number, or all labels are the same.
  """
  rows = _rows(path)
  patients: dict[str, Patient] = {}
  for number, row in enumerate(rows, start=2):
    where = f"manifest {path}: row {number}"
    for column in NEEDED:
      if not row[column] or row[column].lower() == "nan":
        patient = f" (patient {row['patient']})" if row["patient"] else ""
        raise UserError(f"{where}{patient} has no value in column {column!r}")
    name = row["patient"]
    if name in patients:
      raise UserError(f"{where} has the patient {name!r} a second time")
    files = {column: path.parent / row[column] for column in ("image", "mask")}
    for column, file in files.items():
      if not file.exists():
        raise UserError(f"{where}: {column} {file} of patient {name} does not exist")
    more = {column: _number(where, row, column) for column in row if column not in NEEDED}
    patients[name] = Patient(name, files["image"], files["mask"], row["label"], more)
  if len({patient.label for patient in patients.values()}) < 2:
    raise UserError(f"manifest {path}: all {len(patients)} patients have the same label")
  return list(patients.values())


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
  """Returns the rows with stripped values; separated by commas, semicolons or tabs."""
  try:
    text = path.read_text(encoding="utf-8-sig")
  except OSError as error:
    raise UserError(f"manifest {path}: cannot be read ({error.strerror})") from error
  except UnicodeDecodeError as error:
    raise UserError(f"manifest {path}: is not text in UTF-8") from error
  header = text.partition("\n")[0]
  reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
  lines = [[cell.strip() for cell in line] for line in reader if any(map(str.strip, line))]
  columns = lines[0] if lines else []
  for column in NEEDED:
    if column not in columns:
      has = ", ".join(columns) or "none"
      raise UserError(f"manifest {path}: has no column {column!r}, only {has}")
  twice = [column for column in columns if columns.count(column) > 1]
  if twice:
    raise UserError(f"manifest {path}: has the column {twice[0]!r} twice")
  for number, line in enumerate(lines[1:], start=2):
    if len(line) != len(columns):
      raise UserError(f"manifest {path}: row {number} has {len(line)} cells, not {len(columns)}")
  if len(lines) < 2:
    raise UserError(f"manifest {path}: has no patients")
  return [dict(zip(columns, line, strict=True)) for line in lines[1:]]


def _number(where: str, row: dict[str, str], column: str) -> float:
  text = row[column]
  if not text:
    return math.nan
  try:
    return float(text)
  except ValueError:
    raise UserError(
      f"{where}: covariate {column!r} of patient {row['patient']} must be a number, not {text!r}"
    ) from None
