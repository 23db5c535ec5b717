"""Reading and writing NIfTI files."""

import gzip
import logging
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlseg.errors import UserError, one_line
from mlseg.files import check_unfolded
from mlseg.io.volumes.volume import Volume, oriented


def read(path: pathlib.Path, channel: int | None = None) -> Volume:
  """Returns the volume of a file.

  Args:
    path: of the file.
    channel: index along the fourth axis, which is read alone; None: there must be no such axis.

  Raises:
    UserError: the file cannot be read, does not have three axes, or does not hold numbers.
  """
  import nibabel

  # nibabel's own lines about unusual headers name no file.
  logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
  try:
    image: Any = nibabel.load(path)
    is_scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    size = 8 if is_scaled else image.get_data_dtype().itemsize
    check_unfolded(size * math.prod(image.shape), path.stat().st_size)
    values = np.asanyarray(image.dataobj)  # integers where the header does not rescale them
  except UserError:
    raise
  except Exception as error:  # a damaged file can raise any class
    raise UserError(f"cannot be read as NIfTI ({one_line(error)})") from error
  while values.ndim > 3 + (channel is not None) and values.shape[-1] == 1:
    values = values[..., 0]
  if channel is not None:
    count = values.shape[3] if values.ndim == 4 else 1
    if channel >= count:
      raise UserError(f"has {count} channels, and no channel {channel}")
    values = values[..., channel] if values.ndim == 4 else values
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


def write(path: pathlib.Path, volume: Volume) -> None:
  """Writes a volume to a file (.nii, .nii.gz) from which `volumes.read` returns the same volume.

  The same volume gives the same bytes.

  Args:
    path: the file.
    volume: with values of a type of NIfTI: uint8, int16 or float32.
  """
  import nibabel

  nibabel.save(_image(volume), path)


def to_bytes(volume: Volume) -> bytes:
  """Returns the content of a compressed file (.nii.gz), the same bytes for the same volume.

  Args:
    volume: as in `write`.
  """
  return gzip.compress(_image(volume).to_bytes(), mtime=0)


def plane(values: np.ndarray, spacing: Sequence[float]) -> Volume:
  """Returns a picture as a volume of one axial slice, whose first pixel lies in the origin.

  Args:
    values: [H, W].
    spacing: distances of rows and of columns, mm.

  Example:
    >>> volume = plane(np.zeros([2, 3], np.float32), (0.5, 0.25))
    >>> volume.values.shape, volume.spacing
    ((1, 2, 3), (1.0, 0.5, 0.25))
  """
  affine = np.eye(4)
  affine[:3, :3] = np.array([[0, 0, -spacing[1]], [0, -spacing[0], 0], [1, 0, 0]], np.float64)
  return Volume(values[None], affine)


def _image(volume: Volume) -> Any:
  import nibabel

  # The file's axes are columns, rows and slices, so that the values of a slice are contiguous.
  image = nibabel.Nifti1Image(volume.values.transpose(), volume.affine[:, [2, 1, 0, 3]])
  image.header.set_xyzt_units("mm")
  return image
