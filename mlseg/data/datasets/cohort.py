"""A cohort: patients with one volume and one lesion each, as tall pictures of stacked slices."""

import functools
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import mask_values, padding
from mlseg.data.datasets import manifest
from mlseg.data.datasets.sources import NO_DUPLICATES, PLAIN, Example, Reading, Source
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable, require
from mlseg.io import volumes
from mlseg.io.volumes import Volume

NAME = "cohort"
CLASS_NAMES = ("background", "lesion")
AIR = 1  # grey value where a volume ends; absent slices are 0


class CohortOptions(NamedTuple):
  """The section config.data.cohort."""

  manifest: str = "manifest.csv"  # in the folder of the data
  positive: str = ""  # the label whose probability is reported; '': the alphabetically last one
  spacing: tuple[float, float, float] = (5.0, 1.0, 1.0)  # of slices, rows and columns, mm
  window: tuple[float, float] = (-160.0, 240.0)  # Hounsfield units that become 0 and 255
  margin: float = 20.0  # around the lesion, mm; beyond it there is air
  slices: int = 12  # largest number per patient, evenly spaced among those with the lesion
  mask_label: int = 0  # value of the lesion in the masks; 0: the only one beside 0
  mask_threshold: float = 0.0  # values above it are the lesion, such as 0.5; 0: masks have labels


def open_source(root: pathlib.Path, options: CohortOptions, reading: Reading = PLAIN) -> Source:
  """Returns the patients of the manifest in a folder as a source of tall pictures; see `tall`.

  Rows that cannot be used are among its faults.

  Raises:
    UserError: an option or the manifest is wrong.
  """
  _check(options)
  found = Findings()
  patients = manifest.read(root / options.manifest, found=found)
  names, digits = _covariate_names(patients), len(str(len(patients)))
  return Source(
    files=(root / options.manifest, *_files(patients)),
    class_names=CLASS_NAMES,
    label_names=_label_names(patients, options),
    channels=1,
    duplicate_bits=NO_DUPLICATES,  # a patient has one picture
    parts=tuple(
      functools.partial(_read, patient, f"{index:0{digits}d}", names, options)
      for index, patient in enumerate(patients)
    ),
    crops=True,
    covariate_names=names,
    faults=tuple(found.faults),
  )


def _check(options: CohortOptions) -> None:
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
  rule = "config.data.cohort.mask_threshold must be finite"
  require(math.isfinite(options.mask_threshold), rule, options.mask_threshold)
  rule = "config.data.cohort.mask_label and mask_threshold exclude each other: one must be 0"
  require(not (options.mask_label and options.mask_threshold), rule,
          (options.mask_label, options.mask_threshold))  # fmt: skip


def _files(patients: Sequence[manifest.Patient]) -> list[pathlib.Path]:
  """Returns all files of the volumes of patients."""
  found: dict[pathlib.Path, None] = {}
  for patient in patients:
    for path in (patient.image, patient.mask):
      inside = [p for p in path.iterdir() if p.is_file()] if path.is_dir() else [path]
      found.update(dict.fromkeys(inside))
  return list(found)


def _label_names(patients: Sequence[manifest.Patient], options: CohortOptions) -> tuple[str, ...]:
  """Returns the labels in alphabetical order, but the positive one last.

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


def _covariate_names(patients: Sequence[manifest.Patient]) -> tuple[str, ...]:
  return tuple(sorted({name for patient in patients for name in patient.covariates}))


def _read(
  patient: manifest.Patient, key: str, names: Sequence[str], options: CohortOptions, size: int
) -> Iterator[Example]:
  """Yields a patient, with slices of a size.

  Args:
    patient: of the manifest.
    key: sorted, the keys have the order of the manifest.
    names: of the covariates.
    options: of the cohort.
    size: side of a slice, pixels of the spacing.

  Raises:
    UserError: a volume cannot be read, or does not fit its mask.
  """
  image, mask = read_patient(patient, options, size)
  yield Example(
    id=patient.name,
    image=image,
    mask=mask,
    label=patient.label,
    patient=key,
    covariates=tuple(patient.covariates[name] for name in names),
  )


def read_patient(
  patient: manifest.Patient, options: CohortOptions, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the tall picture and mask of a patient; see `tall`.

  Raises:
    UserError: a volume cannot be read, or does not fit its mask; the message names the patient.
  """
  try:
    image, mask = volumes.read(patient.image), volumes.read(patient.mask)
    volumes.check_same_grid(image, mask, (str(patient.image), str(patient.mask)))
    try:
      lesion = mask_values.volume_lesion(mask.values, options.mask_label, options.mask_threshold)
      return tall(image, mask._replace(values=lesion), options, size)
    except UserError as error:
      raise UserError(f"{printable(str(patient.mask))}: {error}") from None
  except UserError as error:
    raise UserError(f"patient {printable(patient.name)}: {error}") from None


def tall(
  image: Volume, mask: Volume, options: CohortOptions, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the slices with a lesion, one below the other in one tall picture.

  The volume is cropped to the lesion and its margin, resampled to the common spacing and windowed.
  Every slice is then cropped to a square around the middle of the lesion. Where a patient has fewer
  slices than the options allow, the last ones are absent: 0 in the picture, and `padding.IGNORED`
  in the mask.

  Args:
    image: Hounsfield units.
    mask: bool, on the same grid.
    options: of the cohort.
    size: side of a slice, pixels of the spacing.

  Returns:
    The picture [S size, size] uint8, at least 1 in slices that are present, and its mask, uint8.

  Raises:
    UserError: the mask is empty, or so small that it vanishes at the common spacing.
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
  for index, number in enumerate(chosen):
    pictures[index] = _crop(shown[number], corner, size, AIR)
    masks[index] = _crop(lesion[number], corner, size, 0)
  return pictures.reshape(-1, size), masks.reshape(-1, size)


def _corner(indices: np.ndarray, size: int) -> int:
  """Returns where a crop of a size begins along an axis, around a lesion at sorted indices."""
  return (int(indices[0]) + int(indices[-1]) + 1 - size) // 2


def _crop(values: np.ndarray, corner: Sequence[int], size: int, fill: int) -> np.ndarray:
  """Returns the crop [size, size] of a slice at a corner, filled where it reaches over the edge."""
  crop = np.full((size, size), fill, np.uint8)
  target, source = [], []
  for first, length in zip(corner, values.shape, strict=True):
    low, high = max(first, 0), min(first + size, length)
    source.append(slice(low, high))
    target.append(slice(low - first, high - first))
  crop[tuple(target)] = values[tuple(source)]
  return crop
