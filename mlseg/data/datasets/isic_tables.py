"""Classes and lesions of pictures, from the tables of ISIC 2018, HAM10000 and the ISIC archive."""

import pathlib
from collections.abc import Collection
from typing import NamedTuple

from mlseg.data.datasets import csv_table
from mlseg.errors import UserError

LABELS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
TRUTH = "ISIC2018_Task3_Training_GroundTruth"  # name of the folder, and of the CSV file in it
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
METADATA = ("HAM10000_metadata", "HAM10000_metadata.csv")
ARCHIVE = "metadata.csv"
# The class of a diagnosis of the archive, by the words with which the diagnosis begins.
ARCHIVE_DIAGNOSES = {
  "melanoma": "MEL",
  "nevus": "NV",
  "basal cell carcinoma": "BCC",
  "actinic keratosis": "AKIEC",
  "solar or actinic keratosis": "AKIEC",
  "squamous cell carcinoma in situ": "AKIEC",
  "pigmented benign keratosis": "BKL",
  "seborrheic keratosis": "BKL",
  "solar lentigo": "BKL",
  "lichen planus like keratosis": "BKL",
  "lichenoid keratosis": "BKL",
  "dermatofibroma": "DF",
  "vascular lesion": "VASC",
  "angioma": "VASC",
  "hemangioma": "VASC",
  "angiokeratoma": "VASC",
  "pyogenic granuloma": "VASC",
}


class Known(NamedTuple):
  """Classes and lesions, by the names of the pictures."""

  labels: dict[str, str]  # one of `LABELS`
  lesions: dict[str, str]  # id of the lesion
  tables: list[pathlib.Path]  # the files that were read


def read(root: pathlib.Path, names: Collection[str], *, every: bool) -> Known:
  """Returns the classes and lesions in the tables of a folder.

  The class of a picture is read from the table of task 3; where it is not there, from the metadata
  of HAM10000, and then from that of the archive.

  Args:
    root: folder of the data set.
    names: of the pictures.
    every: whether the table of task 3 must be there and must have exactly these names.

  Raises:
    UserError: a table cannot be read, or differs from its published form.
  """
  known = Known({}, {}, [])
  archive, truth = root / ARCHIVE, root / TRUTH / f"{TRUTH}.csv"
  if archive.is_file():
    known.labels.update(read_archive(archive))
    known.tables.append(archive)
  for path in (root / name for name in METADATA):
    if path.is_file():
      labels, lesions = read_metadata(path)
      known.labels.update(labels)
      known.lesions.update(lesions)
      known.tables.append(path)
  if (root / GROUPINGS).is_file():
    rows = csv_table.read(root / GROUPINGS, "image", ["lesion_id"])
    known.lesions.update({name: row["lesion_id"] for name, row in rows.items()})
    known.tables.append(root / GROUPINGS)
  if truth.is_file() or every:
    labels = read_truth(truth)
    if every:
      _check_rows(truth, labels, names)
    known.labels.update(labels)
    known.tables.append(truth)
  return known


def read_truth(path: pathlib.Path) -> dict[str, str]:
  """Returns the classes in the table of task 3, which has a column of 0 and 1 for each class.

  Raises:
    UserError: the table cannot be read, or a row does not have exactly one 1.
  """
  result = {}
  for name, row in csv_table.read(path, "image", LABELS).items():
    try:
      values = [float(row[label]) for label in LABELS]
    except ValueError:
      values = []
    if sorted(values) != [0.0] * 6 + [1.0]:
      raise UserError(f"table {path}: the row of {name} must have one 1 and six 0")
    result[name] = LABELS[values.index(1.0)]
  return result


def read_metadata(path: pathlib.Path) -> tuple[dict[str, str], dict[str, str]]:
  """Returns the classes and the lesions in the table of HAM10000.

  Raises:
    UserError: the table cannot be read, or has an unknown class.
  """
  rows = csv_table.read(path, "image_id", ["dx", "lesion_id"])
  for name, row in rows.items():
    if row["dx"].upper() not in LABELS:
      raise UserError(
        f"table {path}: dx of {name} must be one of {', '.join(LABELS).lower()}, not {row['dx']!r}"
      )
  labels = {name: row["dx"].upper() for name, row in rows.items()}
  return labels, {name: row["lesion_id"] for name, row in rows.items()}


def read_archive(path: pathlib.Path) -> dict[str, str]:
  """Returns the classes in the table of the archive; other diagnoses are left out.

  The column is `diagnosis_3`, or `diagnosis` in older downloads; see `ARCHIVE_DIAGNOSES`.

  Raises:
    UserError: the table cannot be read.
  """
  try:
    header = path.read_text(encoding="utf-8-sig").partition("\n")[0]
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"table {path}: cannot be read ({error})") from error
  column = "diagnosis_3" if "diagnosis_3" in header else "diagnosis"
  result = {}
  for name, row in csv_table.read(path, "isic_id", [column], may_be_empty=True).items():
    value = row[column].lower()
    own = [label for start, label in ARCHIVE_DIAGNOSES.items() if value.startswith(start)]
    if own:
      result[name] = own[0]
  return result


def _check_rows(path: pathlib.Path, labels: dict[str, str], names: Collection[str]) -> None:
  """Raises a UserError where a picture has no row, or a row has no picture."""
  for name in names:
    if name not in labels:
      raise UserError(f"table {path}: has no row of the picture {name}")
  for name in labels:
    if name not in names:
      raise UserError(f"table {path}: no picture has the name {name!r} of a row")
