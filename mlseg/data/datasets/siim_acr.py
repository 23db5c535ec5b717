"""SIIM-ACR: chest radiographs with masks of pneumothorax."""

import csv
import functools
import io
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data.datasets import lesion_pairs, sources
from mlseg.data.findings import Findings
from mlseg.errors import UserError
from mlseg.io.pictures import dicom, files
from mlseg.io.pictures.picture import to_grey

TITLE = "SIIM-ACR"
FOLDER = "dicom-images-train"
TABLE = "train-rle.csv"
WITHIN = "siim"  # the folder that holds both in a common download
COLUMNS = ("ImageId", "EncodedPixels")
NONE = "-1"  # value in the table of a picture without a mask
EXPECTED = {"pictures": 12047, "pictures with pneumothorax": 2669}
CLASS_NAMES = ("background", "pneumothorax")
LABELS = ("no pneumothorax", "pneumothorax")
_CITATION = """\
@misc{siim2019pneumothorax,
  title        = {SIIM-ACR Pneumothorax Segmentation},
  author       = {Zawacki, Anna and Wu, Carol and Shih, George and Elliott, Julia and
                  Fomitchev, Mikhail and Hussain, Mohannad and Lakhani, Paras and
                  Culliton, Phil and Bao, Shunxing},
  howpublished = {Kaggle},
  year         = {2019},
  url          = {https://kaggle.com/competitions/siim-acr-pneumothorax-segmentation}
}"""

Runs = list[tuple[int, str]]  # of all masks of a picture: row in the table, and run lengths


class SiimAcrOptions(NamedTuple):
  """The section config.data.siim_acr."""

  complete: bool = True  # whether all of the published pictures must be there


class SiimAcr(sources.SourceBuilder):
  """Chest radiographs: 12047 of 1024×1024, 2669 of them with masks of pneumothorax.

  The mask of a picture is the union of the masks in all of its rows. A DICOM file without a row was
  not annotated, and is left out.

  Reference: SIIM-ACR Pneumothorax Segmentation, Kaggle 2019; radiographs of ChestX-ray14.
  """

  name = "siim_acr"
  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation"
  CITATION = _CITATION
  LICENSE = "terms of the competition; radiographs of the NIH without restrictions"
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"A folder with {FOLDER} and {TABLE}."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    sources.SourceConfig(
      name="original", description="Radiographs in their original sizes.", options=SiimAcrOptions()
    )
  ]

  def names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the classes of masks, the labels of pictures, and the channels of pictures."""
    return CLASS_NAMES, LABELS, 1

  def open_source(self, root: pathlib.Path) -> sources.Source:
    """Returns the data set in a folder, under the options of the builder's config."""
    return open_source(root, self.builder_config.options)


def open_source(
  root: pathlib.Path, options: SiimAcrOptions, reading: sources.Reading = sources.PLAIN
) -> sources.Source:
  """Returns the data set in a folder, or in the folder `siim` in it.

  The files may be in folders of their own, as in stage 1, or in one, as in stage 2. Rows without a
  file are among its faults.

  Raises:
    UserError: it is another folder, pydicom is not installed, or the table is wrong.
  """
  dicom.check_installed(TITLE)
  folder = sources.find_root(root, WITHIN, TABLE, TITLE)
  table = read_table(folder / TABLE)
  found = Findings()
  paths = _find_files(folder / FOLDER, found)
  for name in table:
    if name not in paths:
      found.add(f"table {folder / TABLE}", f"{FOLDER} has no file {name}.dcm")
  counts = {
    "pictures": len(table), "pictures with pneumothorax": sum(map(bool, table.values()))
  }  # fmt: skip
  sources.check_counts(counts, EXPECTED if options.complete else {}, TITLE, folder, "siim_acr")
  chosen = {name: paths[name] for name in sorted(table) if name in paths}
  return sources.Source(
    files=(folder / TABLE, *chosen.values()),
    class_names=CLASS_NAMES,
    label_names=LABELS,
    channels=1,
    # All chests resemble each other: a chain of near-duplicates would soon connect all patients.
    duplicate_bits=sources.NO_DUPLICATES,
    parts=tuple(
      functools.partial(_read, path, table[name], folder / TABLE, reading)
      for name, path in chosen.items()
    ),
    faults=tuple(found.faults),
  )


def _find_files(folder: pathlib.Path, found: Findings) -> dict[str, pathlib.Path]:
  """Returns the DICOM files below a folder by their name without suffix."""
  paths: dict[str, pathlib.Path] = {}
  for path in sorted(folder.rglob("*")):
    if path.suffix.lower() == ".dcm" and not path.name.startswith("."):
      if path.stem in paths:
        found.add(path, f"is there a second time, as {paths[path.stem]}")
      else:
        paths[path.stem] = path
  return paths


def read_table(path: pathlib.Path) -> dict[str, Runs]:
  """Returns the run lengths by picture; the list is empty without pneumothorax.

  Raises:
    UserError: the table cannot be read or lacks a column; a row has no value; or a picture has both
      run lengths and the value for none.
  """
  try:
    text = path.read_text(encoding="utf-8-sig")
    # The published header and values have blanks after the commas.
    rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"table {path}: cannot be read ({error})") from error
  header = [name.strip() for name in rows[0]] if rows else []
  if tuple(header) != COLUMNS:
    raise UserError(f"table {path}: must have the columns {', '.join(COLUMNS)}, not {header}")
  table: dict[str, Runs] = {}
  without = set()
  for number, row in enumerate(rows[1:], start=2):
    if len(row) != 2 or not all(value.strip() for value in row):
      raise UserError(f"table {path}: row {number} must have two values, not {row}")
    name, runs = row[0].strip(), row[1].strip()
    own = table.setdefault(name, [])
    if runs == NONE:
      without.add(name)
    else:
      own.append((number, runs))
    if own and name in without:
      raise UserError(f"table {path}: row {number}: {name} has both run lengths and {NONE}")
  return table


def _read(
  path: pathlib.Path, rows: Runs, where: pathlib.Path, reading: sources.Reading
) -> Iterator[sources.Example]:
  """Yields a radiograph."""
  picture = files.read(path, reading.sixteen_bit)
  image = to_grey(picture.pixels)
  height, width = image.shape
  mask = np.zeros((height, width), bool)
  for number, runs in rows:
    mask |= decode(runs, height, width, f"table {where}: row {number}")
  yield sources.Example(
    id=path.stem,
    image=image,
    mask=mask.astype(np.uint8),
    label=LABELS[int(bool(rows))],
    patient=picture.patient,
    changes=lesion_pairs.picture_changes(picture),
  )


def decode(text: str, height: int, width: int, where: str) -> np.ndarray:
  """Returns a mask [height, width] bool from relative run lengths.

  The text has pairs of numbers: a gap, and the length of a run of pixels in the mask. Pixels are
  counted down the columns, from the left column on. A gap begins at the end of the previous run, or
  at the first pixel.

  Args:
    text: numbers, separated by blanks.
    height: of the mask, pixels.
    width: of the mask, pixels.
    where: file and row of the text, for messages.

  Raises:
    UserError: the text is not pairs of numbers, a length is 0, or a run ends outside of the mask.

  Example:
    >>> decode("1 2 1 1", 3, 2, "row 2").astype(int).tolist()
    [[0, 0], [1, 1], [1, 0]]
  """
  try:
    numbers = np.array([int(number) for number in text.split()])
  except ValueError:
    raise UserError(f"{where}: run lengths must be whole numbers, not {text[:40]!r}") from None
  if len(numbers) == 0 or len(numbers) % 2:
    raise UserError(f"{where}: run lengths must be pairs, not {len(numbers)} numbers")
  gaps, lengths = numbers[::2], numbers[1::2]
  if gaps.min() < 0 or lengths.min() < 1:
    raise UserError(f"{where}: a run needs a gap of 0 or more and a length of 1 or more")
  ends = np.cumsum(gaps + lengths)
  if ends[-1] > height * width:
    raise UserError(f"{where}: a run ends at pixel {ends[-1]}, outside of {height}×{width}")
  steps = np.zeros(height * width + 1, np.int64)
  np.add.at(
    steps, ends - lengths, 1
  )  # where a gap is 0, one run ends and the next starts at the same pixel
  np.add.at(steps, ends, -1)
  return np.cumsum(steps[:-1]).astype(bool).reshape(width, height).T
