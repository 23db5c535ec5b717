"""NIfTI files."""

import pathlib
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.volumes.volume import Volume, oriented


def read(path: pathlib.Path) -> Volume:
  """Returns the volume of a file.

  Raises:
    UserError: it cannot be read, has other than three axes, or values that are not numbers.
  """
  import nibabel

  try:
    image: Any = nibabel.load(path)
    values = np.asanyarray(image.dataobj)  # integers where nothing scales them
  except Exception as error:  # of a damaged file, which can fail in any way
    raise UserError(f"cannot be read as NIfTI ({type(error).__name__}: {error})") from error
  while values.ndim > 3 and values.shape[-1] == 1:
    values = values[..., 0]
  if values.ndim != 3 or 0 in values.shape:
    raise UserError(f"must have three axes, not the shape {values.shape}")
  if values.dtype.kind not in "iufb":
    raise UserError(f"must hold numbers, not {values.dtype}")
  if values.dtype.kind == "f":
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
      raise UserError("has values that are not finite")
  if image.header["qform_code"] == 0 == image.header["sform_code"]:
    raise UserError("does not say where it lies: sform and qform have the code 0")
  return oriented(values, image.affine)
