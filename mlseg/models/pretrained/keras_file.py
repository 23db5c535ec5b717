"""Reads the named arrays of Keras's files: the HDF5 of Keras 1 to 3, and the archive of Keras 3."""

import io
import zipfile
from typing import Any

import h5py
import numpy as np

from mlseg.errors import UserError
from mlseg.models.pretrained.budget import check_size

_WEIGHTS = "model.weights.h5"


def read_hdf5(content: bytes) -> dict[str, np.ndarray]:
  """Returns the arrays of an HDF5 file by their paths, without the state of an optimiser.

  Keras 3 stores a layer under its class and order, such as 'layers/conv2d_1/vars/0', and its name
  in an attribute. If there is a name, the path has it instead: 'layers/Conv1/vars/0'.

  Raises:
    UserError: the arrays are larger than such a file's can be, or stored in another file.
  """
  arrays = {}
  claimed = 0

  def visit(path: str, item: Any) -> None:
    if not isinstance(item, h5py.Dataset) or path.startswith(("optimizer", "_optimizer")):
      return
    if item.external or item.is_virtual:
      raise UserError(f"{path} is stored in another file, which is not read")
    nonlocal claimed
    claimed += item.nbytes
    check_size(claimed, len(content))
    if item.dtype.kind in "fiub":
      arrays[_named(path, item.parent)] = np.asarray(item[()])

  with h5py.File(io.BytesIO(content), "r") as file:
    file.visititems(visit)  # does not follow links
  return arrays


def _named(path: str, parent: h5py.Group) -> str:
  """Returns the path with the layer's name, if the file has one."""
  name = parent.attrs.get("name")
  parts = path.split("/")
  if len(parts) < 3 or parts[-2] != "vars" or not isinstance(name, str):
    return path
  return "/".join([*parts[:-3], name, *parts[-2:]])


def read_archive(content: bytes) -> dict[str, np.ndarray]:
  """Returns the arrays of a '.keras' file; the description of the model in it is not read.

  Raises:
    UserError: the archive has no weights.
  """
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    if _WEIGHTS not in archive.namelist():
      raise UserError(f"the archive has no {_WEIGHTS}")
    check_size(archive.getinfo(_WEIGHTS).file_size, len(content))
    return read_hdf5(archive.read(_WEIGHTS))
