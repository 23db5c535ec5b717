"""Reads the named arrays of a weights file by its extension; nothing in a file is executed."""

import io
import pathlib
import zipfile
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import safetensors

from mlseg import files
from mlseg.errors import UserError, one_line
from mlseg.models.pretrained import keras_file, torch_file
from mlseg.models.pretrained.budget import check_size

Arrays = dict[str, np.ndarray]
_SAFETENSORS_DTYPES = {
  "F64": np.float64,
  "F32": np.float32,
  "F16": np.float16,
  "BF16": jnp.bfloat16,
  "I64": np.int64,
  "I32": np.int32,
  "I16": np.int16,
  "I8": np.int8,
  "U8": np.uint8,
  "BOOL": np.bool_,
}


def read(path: pathlib.Path) -> Arrays:
  """Returns the arrays of a file, by their names in the file.

  Args:
    path: '.safetensors', '.npz', Keras's '.h5', '.weights.h5' or '.keras', or PyTorch's '.pth' or
      '.pt'.

  Raises:
    UserError: the file cannot be read, is damaged, has an unknown extension, or would execute code.
  """
  readers: dict[str, Callable[[bytes], Arrays]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".h5": keras_file.read_hdf5,
    ".hdf5": keras_file.read_hdf5,
    ".keras": keras_file.read_archive,
    ".pth": torch_file.read,
    ".pt": torch_file.read,
  }
  if path.suffix not in readers:
    names = ", ".join(sorted(readers))
    raise UserError(f"weights {path}: unknown extension {path.suffix!r}: choose from {names}")
  try:
    content = files.read_bytes(path)
  except OSError as error:
    raise UserError(f"weights {path}: cannot be read ({error.strerror})") from error
  try:
    return readers[path.suffix](content)
  except UserError as error:
    raise UserError(f"weights {path}: {error}") from error
  except Exception as error:  # each library raises other errors for truncated or altered files
    raise UserError(
      f"weights {path}: damaged, or no {path.suffix} file ({one_line(error, 200)})"
    ) from error


def _read_safetensors(content: bytes) -> Arrays:
  arrays = {}
  for name, entry in safetensors.deserialize(content):
    if entry["dtype"] not in _SAFETENSORS_DTYPES:
      raise UserError(f"{name} has the unknown type {entry['dtype']}")
    flat = np.frombuffer(entry["data"], _SAFETENSORS_DTYPES[entry["dtype"]])
    arrays[name] = flat.reshape(entry["shape"])
  return arrays


def _read_npz(content: bytes) -> Arrays:
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    check_size(sum(entry.file_size for entry in archive.infolist()), len(content))
  with np.load(io.BytesIO(content), allow_pickle=False) as file:
    return {name: file[name] for name in file.files}
