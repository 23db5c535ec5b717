"""Reading a series of DICOM slices: they are sorted by position and checked for gaps."""

import pathlib
from collections import Counter
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.io.volumes.volume import Volume, oriented

_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_TOLERANCE = 0.05  # largest difference of gaps, as a share of the distance of slices
_MOST_TILT = 1.0  # largest angle between the slices' normal and their stacking direction, degrees


def read(folder: pathlib.Path) -> Volume:
  """Returns the volume of the series in a folder; files that are not DICOM are passed over.

  Raises:
    UserError: there is no series, or more than one; slices are missing, occur twice, or differ in
      size or orientation; or the gantry was tilted.
  """
  slices = _headers(folder)
  if not slices:
    raise UserError("has no DICOM slices")
  _check_one_series(slices)
  first = next(iter(slices.values()))
  along_columns, along_rows = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
  normal = np.cross(along_columns, along_rows)
  heights = {p: float(np.dot(normal, _position(d))) for p, d in slices.items()}
  paths = sorted(slices, key=lambda path: heights[path])
  step = _step([heights[path] for path in paths], paths, first)
  positions = [_position(slices[path]) for path in paths]
  stacked = normal * step
  if len(paths) > 1:
    stacked = (positions[-1] - positions[0]) / (len(paths) - 1)
    cosine = np.dot(stacked, normal) / np.linalg.norm(stacked)
    tilt = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    if tilt > _MOST_TILT:
      raise UserError(
        f"has slices that are stacked at {tilt:.1f}° to their normal: a tilted gantry"
      )
  between_rows, between_columns = map(float, first.PixelSpacing)
  affine = np.eye(4)
  affine[:3, 0] = stacked
  affine[:3, 1] = along_rows * between_rows  # the next row lies along a column
  affine[:3, 2] = along_columns * between_columns
  affine[:3, 3] = positions[0]
  affine[:2] *= -1  # DICOM's left and back are negative here
  return oriented(_values(paths, (first.Rows, first.Columns)), affine)


def _headers(folder: pathlib.Path) -> dict[pathlib.Path, Any]:
  """Returns the headers of the DICOM files in a folder, without their pixels."""
  import pydicom

  found = {}
  for path in sorted(folder.iterdir()):
    if not path.is_file():
      continue
    try:
      header = pydicom.dcmread(path, stop_before_pixels=True)
    except pydicom.errors.InvalidDicomError:
      continue
    except Exception as error:  # a damaged file can raise any class
      raise UserError(f"{path.name} cannot be read ({type(error).__name__}: {error})") from error
    if header.get("SOPClassUID", "").endswith("1.3.10"):  # a DICOMDIR
      continue
    if int(header.get("NumberOfFrames") or 1) > 1:
      raise UserError(f"{path.name} has several frames: only series of single slices are read")
    missing = [name for name in _NEEDED if header.get(name) in (None, "")]
    if missing:
      raise UserError(f"{path.name} has no {', '.join(missing)}: it is not a slice of a volume")
    found[path] = header
  return found


def _check_one_series(slices: dict[pathlib.Path, Any]) -> None:
  series = Counter(str(header.get("SeriesInstanceUID", "")) for header in slices.values())
  if len(series) > 1:
    words = ", ".join(f"{name or 'none'} ({count} slices)" for name, count in series.most_common())
    raise UserError(f"has mixed series: {words}")
  first_path, first = next(iter(slices.items()))
  for path, header in slices.items():
    for name, tolerance in (
      ("Rows", 0), ("Columns", 0), ("PixelSpacing", 1e-3), ("ImageOrientationPatient", 1e-3)
    ):  # fmt: skip
      ours, theirs = (np.ravel(np.array(one.get(name), float)) for one in (first, header))
      if not np.allclose(ours, theirs, rtol=0, atol=tolerance):
        values = [one.get(name) for one in (first, header)]
        raise UserError(
          f"has slices of different {name}: {values[0]} in {first_path.name}, {values[1]} in"
          f" {path.name}"
        )


def _position(header: Any) -> np.ndarray:
  return np.array(header.ImagePositionPatient, float)


def _step(heights: list[float], paths: list[pathlib.Path], first: Any) -> float:
  """Returns the distance of slices in mm.

  Raises:
    UserError: slices are missing, or two have the same position.
  """
  gaps = np.diff(heights)
  if not len(gaps):
    return float(first.get("SpacingBetweenSlices") or first.get("SliceThickness") or 1.0)
  usual = float(np.median(gaps))
  if usual <= 0 or gaps.min() < _TOLERANCE * usual:
    index = int(gaps.argmin())
    names = f"{paths[index].name} and {paths[index + 1].name}"
    raise UserError(f"has two slices at one position: {names}")
  wrong = np.abs(gaps - usual) > _TOLERANCE * usual
  if wrong.any():
    index = int(np.abs(gaps - usual).argmax())
    names = f"{paths[index].name} and {paths[index + 1].name}"
    raise UserError(
      f"has missing slices: {names} are {gaps[index]:.3g} mm apart, others {usual:.3g} mm"
    )
  return usual


def _values(paths: list[pathlib.Path], shape: tuple[int, int]) -> np.ndarray:
  """Returns the rescaled values [Z, Y, X], int16 where all values fit, or else float32."""
  import pydicom
  from pydicom import pixels

  whole = np.empty((len(paths), *shape), np.int16)
  for index, path in enumerate(paths):
    try:
      dataset = pydicom.dcmread(path)
      values = pixels.apply_modality_lut(dataset.pixel_array, dataset)
    except Exception as error:  # a damaged file can raise any class
      raise UserError(f"{path.name} has no pixels ({type(error).__name__}: {error})") from error
    if whole.dtype == np.int16 and not np.array_equal(values, values.astype(np.int16)):
      whole = whole.astype(np.float32)
    whole[index] = values
  return whole
