"""Reading a series of DICOM slices: they are sorted by position and checked for gaps."""

import pathlib
from collections import Counter
from typing import Any

import numpy as np

from mlseg.errors import UserError, one_line, printable
from mlseg.files import check_unfolded
from mlseg.io import dicom_values
from mlseg.io.pictures.files import kind_of
from mlseg.io.volumes.volume import Volume, oriented

_NEEDED = {  # the elements of a slice, and how many numbers each has
  "ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2, "Rows": 1,
  "Columns": 1,
}  # fmt: skip
_TOLERANCE = 0.05  # largest difference of gaps, as a share of the distance of slices
_MOST_TILT = 1.0  # largest angle between the slices' normal and their stacking direction, degrees


def read(folder: pathlib.Path) -> Volume:
  """Returns the volume of the series in a folder; files that are not DICOM are passed over.

  Voxels with the padding value, which lie outside of the scanner's circle, get the least of the
  other values.

  Raises:
    UserError: there is no series, or more than one; a header is malformed; slices are missing,
      occur twice, or differ in size or orientation; or the gantry was tilted.
  """
  slices = _headers(folder)
  if not slices:
    raise UserError("has no DICOM slices")
  _check_one_series(slices)
  first = next(iter(slices.values()))
  along_columns, along_rows = _numbers(first, "ImageOrientationPatient").reshape(2, 3)
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
  between_rows, between_columns = _numbers(first, "PixelSpacing")
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
    name = printable(path.name)
    try:
      with path.open("rb") as file:
        head = file.read(dicom_values.HEAD)
        if kind_of(head[:132]) != "DICOM":
          continue
        if dicom_values.DEFLATED in head:
          dicom_values.check_deflated(head + file.read())
      # Files of old exports have no preamble, which `force` reads.
      header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
      if str(header.get("SOPClassUID") or "").endswith("1.3.10"):  # a DICOMDIR
        continue
      frames = int(header.get("NumberOfFrames") or 1)
    except UserError as error:
      raise UserError(f"{name}: {error}") from None
    except Exception as error:  # a damaged file can raise any class
      raise UserError(f"{name} cannot be read ({one_line(error)})") from error
    if frames > 1:
      raise UserError(f"{name} has several frames: only series of single slices are read")
    _check_numbers(name, header)
    found[path] = header
  return found


def _check_numbers(name: str, header: Any) -> None:
  """Raises a UserError where a header lacks a needed element, or has a malformed one.

  Args:
    name: of the file, for the message.
    header: of the file.
  """
  missing = [one for one in _NEEDED if dicom_values.numbers(header, one) == ()]
  if missing:
    raise UserError(f"{name} has no {', '.join(missing)}: it is not a slice of a volume")
  try:
    for one, count in _NEEDED.items():
      dicom_values.needed(header, one, count)
  except UserError as error:
    raise UserError(f"{name}: {error}") from None


def _numbers(header: Any, name: str) -> np.ndarray:
  return dicom_values.needed(header, name, _NEEDED[name])


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
      ours, theirs = (_numbers(one, name) for one in (first, header))
      if not np.allclose(ours, theirs, rtol=0, atol=tolerance):
        values = [one.get(name) for one in (first, header)]
        raise UserError(
          f"has slices of different {name}: {values[0]} in {first_path.name}, {values[1]} in"
          f" {path.name}"
        )


def _position(header: Any) -> np.ndarray:
  return _numbers(header, "ImagePositionPatient")


def _step(heights: list[float], paths: list[pathlib.Path], first: Any) -> float:
  """Returns the distance of slices in mm.

  Raises:
    UserError: slices are missing, or two have the same position.
  """
  gaps = np.diff(heights)
  if not len(gaps):
    for name in ("SpacingBetweenSlices", "SliceThickness"):
      found = dicom_values.numbers(first, name)
      if found and found[0] > 0:
        return found[0]
    return 1.0
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

  check_unfolded(4 * len(paths) * shape[0] * shape[1], sum(path.stat().st_size for path in paths))
  whole = np.empty((len(paths), *shape), np.int16)
  outside = []
  for index, path in enumerate(paths):
    try:
      dataset = pydicom.dcmread(path, force=True)
      dicom_values.add_syntax(dataset)
      stored = pixels.pixel_array(dataset)
      padding = dicom_values.padding(stored, dataset)
      values = dicom_values.rescaled(dicom_values.without_padding(stored, padding), dataset)
    except UserError as error:
      raise UserError(f"{printable(path.name)}: {error}") from None
    except Exception as error:  # a damaged file can raise any class
      raise UserError(f"{printable(path.name)} has no pixels ({one_line(error)})") from error
    if whole.dtype == np.int16 and not np.array_equal(values, values.astype(np.int16)):
      whole = whole.astype(np.float32)
    whole[index] = values
    outside.append(padding)
  return _without_padding(whole, outside)


def _without_padding(whole: np.ndarray, outside: list[np.ndarray | None]) -> np.ndarray:
  """Returns values [Z, Y, X] in which those outside of the circle are the least of the others.

  Args:
    whole: the values; they are changed.
    outside: for each slice, which of its pixels are outside; None: none.
  """
  if any(one is not None for one in outside):
    least = whole.min()  # in its slice, a pixel outside has the least value of those inside
    for values, one in zip(whole, outside, strict=True):
      if one is not None:
        values[one] = least
  return whole
