"""DICOM files as pictures: rescaled, windowed, the right way up in brightness, with their scale."""

import io
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.io.pictures.picture import Picture, check_size, to_eight_bits

_CENTIMETRES = 3  # code of the physical units of an ultrasound region, PS3.3 C.8.5.5.1.15


def read(data: bytes, scaling: str) -> Picture:
  """Returns the first frame of a DICOM file.

  Grey values are rescaled (slope and intercept, or the modality's table), then mapped by the first
  window; without a window, values of 8 bits stay as they are and others follow `scaling`, where
  'range' is the range of the bits stored. MONOCHROME1, in which low values are bright, is inverted.

  Args:
    data: of the file.
    scaling: see `to_eight_bits`.

  Raises:
    UserError: pydicom is not installed, or there is no picture in the file.
    Exception: pydicom cannot read it; the classes are many.
  """
  try:
    import pydicom
    from pydicom import pixels
  except ImportError:
    raise UserError("is DICOM and needs pydicom: pip install 'mlseg-jax[dicom]'") from None
  dataset = pydicom.dcmread(io.BytesIO(data), force=True)
  if "PixelData" not in dataset:
    raise UserError("is DICOM without a picture" if len(dataset) else "is not a DICOM file")
  if "TransferSyntaxUID" not in dataset.file_meta:  # what the standard says of such a file
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
  check_size(dataset.Rows, dataset.Columns)
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


def _window(stored: np.ndarray, dataset: Any, scaling: str) -> np.ndarray:
  """Returns stored values [H, W] as the grey values that a viewer would show."""
  from pydicom import pixels

  values = pixels.apply_modality_lut(stored, dataset)
  if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
    # The output range depends on much; what lies far below and above the window shows it.
    ends = np.append(values.astype(np.float64).ravel(), [-1e12, 1e12])
    with np.errstate(over="ignore"):
      shown = pixels.apply_windowing(ends, dataset)
    grey = to_eight_bits(shown[:-2].reshape(values.shape), "range", (shown[-2], shown[-1]))
  elif "VOILUTSequence" in dataset:
    shown = pixels.apply_voi(values.astype(np.int64), dataset)
    bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
    grey = to_eight_bits(shown, "range", (0, 2**bits - 1))
  else:
    if dataset.BitsStored < 8:  # such as segmentations of one bit
      values, scaling = values.astype(np.float32), "range"
    limits = _stored_limits(dataset)
    grey = to_eight_bits(values, scaling, (min(limits), max(limits)))
  return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _stored_limits(dataset: Any) -> tuple[float, float]:
  """Returns what the least and the largest value that the bits hold are rescaled to."""
  from pydicom import pixels

  bits, signed = dataset.BitsStored, dataset.PixelRepresentation
  first = -(2 ** (bits - 1)) if signed else 0
  ends = np.array([first, first + 2**bits - 1], np.int64)
  low, high = pixels.apply_modality_lut(ends, dataset)
  return float(low), float(high)


def _spacing(dataset: Any) -> tuple[float, float] | None:
  """Returns the distances of rows and of columns in mm, where the file knows them.

  Those of the patient, or of the one region of an ultrasound picture; not ImagerPixelSpacing, which
  is measured at the detector of a projection and needs a magnification that is rarely known.
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
