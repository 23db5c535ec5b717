"""Patients with a volume and a lesion each, as slices one below the other in one tall picture."""

import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import padding, preprocessing
from mlseg.data.datasets import manifest
from mlseg.data.splits import grouped
from mlseg.errors import UserError, require
from mlseg.io import volumes
from mlseg.io.volumes import Volume

NAME = "cohort"
CLASS_NAMES = ("background", "lesion")
AIR = 1  # of a picture, where a volume ends; 0 is that of slices which are not there


class Options(NamedTuple):
  """What config.data.cohort has."""

  manifest: str = "manifest.csv"  # in the folder of the data
  positive: str = ""  # the label whose probability is reported; '': the last in the alphabet
  spacing: tuple[float, float, float] = (5.0, 1.0, 1.0)  # of slices, rows and columns, mm
  window: tuple[float, float] = (-160.0, 240.0)  # Hounsfield units that become 0 and 255
  margin: float = 20.0  # around the lesion, mm; beyond it there is air
  slices: int = 12  # most of a patient, evenly spaced among those with the lesion


def find_patients(root: pathlib.Path, options: Options) -> list[manifest.Patient]:
  """Returns the patients of the manifest in a folder.

  Raises:
    UserError: an option or the manifest is wrong.
  """
  check(options)
  return manifest.read(root / options.manifest)


def check(options: Options) -> None:
  """Raises a UserError where an option is out of its range."""
  for name, count in (("spacing", 3), ("window", 2)):
    values = getattr(options, name)
    sound = len(values) == count and all(map(math.isfinite, values))
    require(sound, f"config.data.cohort.{name} must be {count} numbers", tuple(values))
  rule = "config.data.cohort.spacing must not be negative; 0 keeps an axis as it is"
  require(min(options.spacing) >= 0, rule, tuple(options.spacing))
  low, high = options.window
  rule = "config.data.cohort.window must go from a lower to a higher value"
  require(low < high, rule, tuple(options.window))
  rule = "config.data.cohort.margin must not be negative"
  require(0 <= options.margin < math.inf, rule, options.margin)
  require(options.slices >= 1, "config.data.cohort.slices must be at least 1", options.slices)


def files(patients: Sequence[manifest.Patient]) -> list[pathlib.Path]:
  """Returns all files that the volumes of patients are made of."""
  found: dict[pathlib.Path, None] = {}
  for patient in patients:
    for path in (patient.image, patient.mask):
      inside = [p for p in path.iterdir() if p.is_file()] if path.is_dir() else [path]
      found.update(dict.fromkeys(inside))
  return list(found)


def label_names(patients: Sequence[manifest.Patient], options: Options) -> tuple[str, ...]:
  """Returns the labels in the order of the alphabet, but the positive one last.

  Raises:
    UserError: no patient has the positive label.
  """
  names = sorted({patient.label for patient in patients})
  if options.positive:
    if options.positive not in names:
      raise UserError(
        f"config.data.cohort.positive must be a label of the manifest ({', '.join(names)}),"
        f" not {options.positive!r}"
      )
    names.remove(options.positive)
    names.append(options.positive)
  return tuple(names)


def arrays_of(
  patients: Sequence[manifest.Patient], options: Options, size: int
) -> dict[str, np.ndarray]:
  """Returns the arrays of a data set by the names of the fields of `cases.Cases`.

  Args:
    patients: of the manifest, one after the other in memory.
    options: of the cohort.
    size: side of a slice, pixels.

  Raises:
    UserError: a volume cannot be read, or does not fit its mask.
  """
  labels = label_names(patients, options)
  both = [read_patient(patient, options, size) for patient in patients]
  names = sorted({name for patient in patients for name in patient.covariates})
  images = np.stack([image for image, _ in both])
  hashes = [grouped.perceptual_hash(preprocessing.resize_image(image, 128)) for image in images]
  arrays = {
    "images": images[..., None],
    "masks": np.stack([mask for _, mask in both]),
    "labels": np.array([labels.index(patient.label) for patient in patients], np.int32),
    "hashes": np.stack(hashes),
    "ids": np.array([patient.name for patient in patients]),
    "patients": np.arange(len(patients), dtype=np.int32),
  }
  if names:
    rows = [[patient.covariates[name] for name in names] for patient in patients]
    arrays["covariates"] = np.array(rows, np.float32)
  return arrays


def covariate_names(patients: Sequence[manifest.Patient]) -> tuple[str, ...]:
  """Returns the names of the columns of the array 'covariates'."""
  return tuple(sorted({name for patient in patients for name in patient.covariates}))


def read_patient(
  patient: manifest.Patient, options: Options, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a patient's tall picture and mask; see `tall`.

  Raises:
    UserError: a volume cannot be read, or does not fit its mask; the message names the patient.
  """
  try:
    image, mask = volumes.read(patient.image), volumes.read(patient.mask)
    volumes.check_same_grid(image, mask, (str(patient.image), str(patient.mask)))
    try:
      return tall(image, mask._replace(values=mask.values != 0), options, size)
    except UserError as error:
      raise UserError(f"{patient.mask}: {error}") from None
  except UserError as error:
    raise UserError(f"patient {patient.name}: {error}") from None


def tall(image: Volume, mask: Volume, options: Options, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the slices with a lesion, one below the other.

  The volume is cropped to the lesion and its margin, brought to the common spacing and windowed.
  The middle of the lesion is that of every slice; what lies further from it than half of their side
  is left out. Of a patient with fewer slices the last are absent: 0 in the picture, and
  `padding.IGNORED` in the mask.

  Args:
    image: Hounsfield units.
    mask: bool, on the same grid.
    options: of the cohort.
    size: side of a slice, pixels of the spacing.

  Returns:
    The picture [S size, size] uint8, at least 1 where there is a slice, and its mask, uint8.

  Raises:
    UserError: the mask is empty, or so small that it vanishes at the spacing.
  """
  box = volumes.lesion_box(mask, options.margin)
  image = volumes.resample(volumes.crop_to(image, box), options.spacing)
  lesion = volumes.resample(volumes.crop_to(mask, box), options.spacing, nearest=True).values
  with_lesion = np.flatnonzero(lesion.any((1, 2)))
  if not len(with_lesion):
    raise UserError(f"the lesion vanishes at config.data.cohort.spacing {tuple(options.spacing)}")
  shown = np.maximum(volumes.window(image.values, *options.window), AIR)
  count = min(options.slices, len(with_lesion))
  chosen = with_lesion[np.linspace(0, len(with_lesion) - 1, count).round().astype(int)]
  flat = np.asarray(lesion.any(0))
  corner = [_corner(np.flatnonzero(flat.any(axis)), size) for axis in (1, 0)]
  pictures = np.zeros((options.slices, size, size), np.uint8)
  masks = np.full_like(pictures, padding.IGNORED)
  for place, number in enumerate(chosen):
    pictures[place] = _part(shown[number], corner, size, AIR)
    masks[place] = _part(lesion[number], corner, size, 0)
  return pictures.reshape(-1, size), masks.reshape(-1, size)


def _corner(places: np.ndarray, size: int) -> int:
  """Returns where a part of this size begins whose middle is that of a lesion in these places."""
  return (int(places[0]) + int(places[-1]) + 1 - size) // 2


def _part(values: np.ndarray, corner: Sequence[int], size: int, fill: int) -> np.ndarray:
  """Returns a part [size, size] of a slice that begins at a corner; beyond it lies the fill."""
  part = np.full((size, size), fill, np.uint8)
  own, theirs = [], []
  for first, length in zip(corner, values.shape, strict=True):
    low, high = max(first, 0), min(first + size, length)
    theirs.append(slice(low, high))
    own.append(slice(low - first, high - first))
  part[tuple(own)] = values[tuple(theirs)]
  return part
