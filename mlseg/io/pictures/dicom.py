"""DICOM files as pictures: their grey values as a viewer shows them, and their pixel spacing."""

import io
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.io import dicom_values
from mlseg.io.pictures.picture import Picture, Stored, check_num_pixels, to_eight_bits

WINDOW_IGNORED = "window ignored, whose centre or width is not a number or out of its range"
_CENTIMETRES = 3  # code of the physical units of an ultrasound region, PS3.3 C.8.5.5.1.15


def check_installed(what: str) -> None:
  """Raises a UserError that says what needs pydicom, where pydicom is not installed."""
  try:
    import pydicom  # noqa: F401
  except ImportError:
    raise UserError(f"{what} is DICOM and needs pydicom: pip install 'mlseg-jax[dicom]'") from None


def begins_without_preamble(head: bytes) -> bool:
  """Returns whether a file begins as a DICOM data set without the 128 bytes and 'DICM'.

  Its first element is then of group 2 or 8, with a type of value or with a small length.
  """
  if len(head) < 132 or head[0:2] not in (b"\x02\0", b"\x08\0") or head[3] != 0:
    return False
  is_explicit = head[4:6] in (b"UL", b"UI", b"CS", b"OB", b"SH", b"LO", b"DA", b"TM", b"DT")
  return is_explicit or 0 < int.from_bytes(head[4:8], "little") <= 1024


def open_dataset(data: bytes) -> Any:
  """Returns the data set of a file with a picture, with or without a preamble.

  Raises:
    UserError: pydicom is not installed, or there is no picture in the file.
    Exception: pydicom cannot read the file; it raises many classes.
  """
  try:
    import pydicom
  except ImportError:
    raise UserError("is DICOM and needs pydicom: pip install 'mlseg-jax[dicom]'") from None
  dataset = pydicom.dcmread(io.BytesIO(data), force=True)
  if "PixelData" not in dataset:
    raise UserError("is DICOM without a picture" if len(dataset) else "is not a DICOM file")
  dicom_values.add_syntax(dataset)
  size = int(dataset.get("BitsAllocated") or 8) // 8 * int(dataset.get("SamplesPerPixel") or 1)
  check_num_pixels(dataset.Rows, dataset.Columns, max(size, 1))
  return dataset


def read(data: bytes, scaling: str) -> Picture:
  """Returns the first frame of a DICOM file.

  Grey values are rescaled (by slope and intercept, or by the modality's table) and then mapped by
  the first window. Without a window, values of 8 bits stay as they are, and others follow
  `scaling`, where 'range' is the range of the bits stored. MONOCHROME1, in which low values are
  bright, is inverted. Pixels with the padding value, which are outside of the picture, are black
  and do not count in the scaling.

  Args:
    data: content of the file.
    scaling: see `picture.to_eight_bits`.

  Raises:
    UserError: pydicom is not installed, there is no picture in the file, or its values are not
      finite.
    Exception: pydicom cannot read the file; it raises many classes.
  """
  dataset = open_dataset(data)
  from pydicom import pixels

  values = pixels.pixel_array(dataset, index=0)  # colours come as RGB
  changes: tuple[str, ...] = ()
  if dataset.PhotometricInterpretation == "PALETTE COLOR":
    values = pixels.apply_color_lut(values, dataset)
    grey = to_eight_bits(values, "range")
  elif values.ndim == 3:
    grey = to_eight_bits(values, "range", (0, 2**dataset.BitsStored - 1))
  else:
    outside = dicom_values.padding(values, dataset)
    values = dicom_values.without_padding(values, outside)
    grey, changes = _window(values, dataset, scaling)
    grey = grey if outside is None else np.where(outside, np.uint8(0), grey)
  patient = str(dataset.get("PatientID") or "")
  return Picture(grey, _spacing(dataset), _note(dataset), changes, patient)


def read_stored(data: bytes) -> Stored:
  """Returns the values of the first frame of a DICOM file as they are stored, for masks.

  Raises:
    UserError, Exception: as `open_dataset`.
  """
  dataset = open_dataset(data)
  from pydicom import pixels

  return Stored(pixels.pixel_array(dataset, index=0), note=_note(dataset))


def _note(dataset: Any) -> str:
  frames = int(dataset.get("NumberOfFrames") or 1)
  return f"the first of {frames} frames" if frames > 1 else ""


def _window(stored: np.ndarray, dataset: Any, scaling: str) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns stored values [H, W] as the grey values [H, W] uint8 that a viewer shows.

  Returns:
    The grey values, and what was ignored.
  """
  from pydicom import pixels

  values = dicom_values.rescaled(stored, dataset)
  has_window = dicom_values.has_window(dataset)
  changes = (WINDOW_IGNORED,) if has_window is None else ()
  if has_window:
    # The range of pydicom's output depends on many tags, so two values far below and far above the
    # window are mapped too, and their results are the limits of that range.
    ends = np.append(values.astype(np.float64).ravel(), [-1e12, 1e12])
    with np.errstate(over="ignore"):
      mapped = pixels.apply_windowing(ends, dataset)
    grey = to_eight_bits(mapped[:-2].reshape(values.shape), "range", (mapped[-2], mapped[-1]))
  elif "VOILUTSequence" in dataset:
    mapped = pixels.apply_voi(values.astype(np.int64), dataset)
    bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
    grey = to_eight_bits(mapped, "range", (0, 2**bits - 1))
  else:
    if dataset.BitsStored < 8:  # such as a segmentation of one bit
      values, scaling = values.astype(np.float32), "range"
    limits = _stored_limits(dataset)
    grey = to_eight_bits(values, scaling, (min(limits), max(limits)))
  is_inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
  return 255 - grey if is_inverted else grey, changes


def _stored_limits(dataset: Any) -> tuple[float, float]:
  """Returns the rescaled least and largest values that the stored bits can hold."""
  bits, signed = dataset.BitsStored, dataset.PixelRepresentation
  first = -(2 ** (bits - 1)) if signed else 0
  ends = np.array([first, first + 2**bits - 1], np.int64)
  low, high = dicom_values.rescaled(ends, dataset)
  return float(low), float(high)


def _spacing(dataset: Any) -> tuple[float, float] | None:
  """Returns the distances of rows and of columns in mm; None: the file does not have them.

  They are the PixelSpacing, or the spacing of an ultrasound picture with one region. A spacing that
  is not two positive numbers is not known. ImagerPixelSpacing is not used: it is measured at the
  detector of a projection, and the magnification is rarely known.
  """
  found = dicom_values.numbers(dataset, "PixelSpacing")
  if found is not None and not found:
    found = _spacing_of_region(dataset)
  if found is None or len(found) != 2 or not min(found) > 0:
    return None
  return found[0], found[1]


def _spacing_of_region(dataset: Any) -> tuple[float, ...] | None:
  """Returns the distances of rows and columns in mm in the one region of an ultrasound picture."""
  regions = dataset.get("SequenceOfUltrasoundRegions") or []
  if len(regions) != 1:
    return None
  units = (regions[0].get("PhysicalUnitsYDirection"), regions[0].get("PhysicalUnitsXDirection"))
  if units != (_CENTIMETRES, _CENTIMETRES):
    return None
  deltas = [dicom_values.numbers(regions[0], f"PhysicalDelta{axis}") or () for axis in "YX"]
  return tuple(10 * abs(delta) for one in deltas for delta in one)
