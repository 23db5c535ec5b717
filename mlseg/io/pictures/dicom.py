"""DICOM files as pictures: their grey values as a viewer shows them, and their pixel spacing."""

import io
import pathlib
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.io.pictures.picture import Picture, check_num_pixels, to_eight_bits

_CENTIMETRES = 3  # code of the physical units of an ultrasound region, PS3.3 C.8.5.5.1.15


def check_installed(what: str) -> None:
  """Raises a UserError that says what needs pydicom, where pydicom is not installed."""
  try:
    import pydicom  # noqa: F401
  except ImportError:
    raise UserError(f"{what} is DICOM and needs pydicom: pip install 'mlseg-jax[dicom]'") from None


def read(data: bytes, scaling: str) -> Picture:
  """Returns the first frame of a DICOM file.

  Grey values are rescaled (by slope and intercept, or by the modality's table) and then mapped by
  the first window. Without a window, values of 8 bits stay as they are, and others follow
  `scaling`, where 'range' is the range of the bits stored. MONOCHROME1, in which low values are
  bright, is inverted.

  Args:
    data: content of the file.
    scaling: see `picture.to_eight_bits`.

  Raises:
    UserError: pydicom is not installed, or there is no picture in the file.
    Exception: pydicom cannot read the file; it raises many classes.
  """
  try:
    import pydicom
    from pydicom import pixels
  except ImportError:
    raise UserError("is DICOM and needs pydicom: pip install 'mlseg-jax[dicom]'") from None
  dataset = pydicom.dcmread(io.BytesIO(data), force=True)
  if "PixelData" not in dataset:
    raise UserError("is DICOM without a picture" if len(dataset) else "is not a DICOM file")
  if "TransferSyntaxUID" not in dataset.file_meta:  # the standard's default for such a file
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
  check_num_pixels(dataset.Rows, dataset.Columns)
  values = pixels.pixel_array(dataset, index=0)  # colours come as RGB
  if dataset.PhotometricInterpretation == "PALETTE COLOR":
    values = pixels.apply_color_lut(values, dataset)
    grey = to_eight_bits(values, "range")
  elif values.ndim == 3:
    grey = to_eight_bits(values, "range", (0, 2**dataset.BitsStored - 1))
  else:
    grey = _window(values, dataset, scaling)
  frames = int(dataset.get("NumberOfFrames") or 1)
  note = f"the first of {frames} frames" if frames > 1 else ""
  return Picture(grey, _spacing(dataset), note)


def read_8_bits(path: pathlib.Path) -> tuple[np.ndarray, str]:
  """Returns the stored values of a grey DICOM file of 8 bits, and the patient's id.

  Unlike `read`, it applies no window. MONOCHROME1, in which low values are bright, is inverted.

  Args:
    path: the file.

  Returns:
    [H, W] uint8, and the id, '' where the file has none.

  Raises:
    UserError: the file cannot be read, or has no grey picture of 8 bits.
  """
  check_installed(f"{path}:")
  import pydicom

  try:
    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array
    patient = str(dataset.get("PatientID") or "")
    low_is_bright = dataset.PhotometricInterpretation == "MONOCHROME1"
  except Exception as error:  # pydicom and its decoders raise many classes
    reason = str(error).partition("\n")[0]
    raise UserError(f"{path}: is not a readable DICOM file ({reason})") from error
  if values.ndim != 2 or values.dtype != np.uint8:
    raise UserError(
      f"{path}: must be a grey picture of 8 bits, not {values.dtype} of shape {values.shape}"
    )
  return 255 - values if low_is_bright else values, patient


def _window(stored: np.ndarray, dataset: Any, scaling: str) -> np.ndarray:
  """Returns stored values [H, W] as the grey values [H, W] uint8 that a viewer shows."""
  from pydicom import pixels

  values = pixels.apply_modality_lut(stored, dataset)
  if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
    # The range of pydicom's output depends on many tags, so two values far below and far above the
    # window are mapped too, and their results are the limits of that range.
    ends = np.append(values.astype(np.float64).ravel(), [-1e12, 1e12])
    with np.errstate(over="ignore"):
      shown = pixels.apply_windowing(ends, dataset)
    grey = to_eight_bits(shown[:-2].reshape(values.shape), "range", (shown[-2], shown[-1]))
  elif "VOILUTSequence" in dataset:
    shown = pixels.apply_voi(values.astype(np.int64), dataset)
    bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
    grey = to_eight_bits(shown, "range", (0, 2**bits - 1))
  else:
    if dataset.BitsStored < 8:  # such as a segmentation of one bit
      values, scaling = values.astype(np.float32), "range"
    limits = _stored_limits(dataset)
    grey = to_eight_bits(values, scaling, (min(limits), max(limits)))
  return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _stored_limits(dataset: Any) -> tuple[float, float]:
  """Returns the rescaled least and largest values that the stored bits can hold."""
  from pydicom import pixels

  bits, signed = dataset.BitsStored, dataset.PixelRepresentation
  first = -(2 ** (bits - 1)) if signed else 0
  ends = np.array([first, first + 2**bits - 1], np.int64)
  low, high = pixels.apply_modality_lut(ends, dataset)
  return float(low), float(high)


def _spacing(dataset: Any) -> tuple[float, float] | None:
  """Returns the distances of rows and of columns in mm; None: the file does not have them.

  They are the PixelSpacing, or the spacing of an ultrasound picture with one region.
  ImagerPixelSpacing is not used: it is measured at the detector of a projection, and the
  magnification is rarely known.
  """
  if dataset.get("PixelSpacing"):
    row, column = map(float, dataset.PixelSpacing)
  else:
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    if len(regions) != 1:
      return None
    units = (regions[0].get("PhysicalUnitsYDirection"), regions[0].get("PhysicalUnitsXDirection"))
    if units != (_CENTIMETRES, _CENTIMETRES):
      return None
    row, column = (10 * abs(float(regions[0][f"PhysicalDelta{axis}"].value)) for axis in "YX")
  return (row, column) if row > 0 and column > 0 else None
