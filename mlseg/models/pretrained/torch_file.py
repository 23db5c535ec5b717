"""Reads the named arrays of PyTorch's files, without PyTorch and without running their pickles."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from mlseg.errors import UserError
from mlseg.models.pretrained.pickle_values import Storage, Tensor, interpret

_MAGIC = 0x1950A86A20F9469CFC6C  # in files written before PyTorch 1.6, as torchvision's are
_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which scripts keep the weights
_MOST_DICTS, _MOST = 100, 100_000  # most dicts in a file, and most tensors
Find = Callable[[Storage], bytes | memoryview]


def read(content: bytes) -> dict[str, np.ndarray]:
  """Returns the tensors of a '.pth' file by name; names in nested dicts are joined by dots.

  Raises:
    UserError: the file is damaged, or holds anything but weights.
  """
  if content[:4] == b"PK\3\4":
    return _read_zip(content)
  if content[257:262] == b"ustar":
    raise UserError("PyTorch's oldest format (tar): load it with torch and save it anew")
  return _read_sequence(io.BytesIO(content), len(content))


def _read_zip(content: bytes) -> dict[str, np.ndarray]:
  """Reads the format since PyTorch 1.6: an archive of a pickle and one entry per storage."""
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in names):
      raise UserError("the archive is a program (TorchScript) or no PyTorch file; save its weights")
    folder = pickles[0].removesuffix("data.pkl")

    def entry(name: str) -> bytes:
      # An uncompressed entry cannot be larger than the file.
      if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise UserError(f"{name} is compressed, which PyTorch never does")
      return archive.read(name)

    if f"{folder}byteorder" in names and entry(f"{folder}byteorder") != b"little":
      raise UserError("its numbers are big-endian, which is not read")
    root = interpret(io.BytesIO(entry(pickles[0])))
    return _arrays(root, lambda storage: entry(f"{folder}data/{storage.key}"))


def _read_sequence(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
  """Reads the format before PyTorch 1.6: pickles one after the other, then the storages."""
  if interpret(file) != _MAGIC or interpret(file) != _PROTOCOL:
    raise UserError("a pickle that PyTorch did not write as weights: refused, nothing was run")
  system = interpret(file)
  if not isinstance(system, dict) or system.get("little_endian") is not True:
    raise UserError("its numbers are big-endian, which is not read")
  root, keys = interpret(file), interpret(file)
  widths = {t.storage.key: t.storage.dtype.itemsize for _, t in _tensors(root)}
  data: dict[str, bytes] = {}
  for key in keys:
    (count,) = struct.unpack("<q", file.read(8))
    if key not in widths or not 0 <= count * widths[key] <= size - file.tell():
      raise UserError(f"storage {key} claims more numbers than the file has")
    data[key] = file.read(count * widths[key])
  return _arrays(root, lambda storage: data[storage.key])


def _arrays(root: Any, find: Find) -> dict[str, np.ndarray]:
  """Returns the arrays of the tensors in nested dicts, each storage read once."""
  storages: dict[str, np.ndarray] = {}
  arrays = {}
  for name, tensor in _tensors(root):
    storage = tensor.storage
    if storage.key not in storages:
      storages[storage.key] = np.frombuffer(find(storage), storage.dtype)
    if storages[storage.key].dtype != storage.dtype:
      raise UserError(f"{name}: its storage is read as two types")
    arrays[name] = _view(name, storages[storage.key], tensor)
  return arrays


def _view(name: str, numbers: np.ndarray, tensor: Tensor) -> np.ndarray:
  """Returns a tensor as a view of the numbers of its storage."""
  last = tensor.offset + sum(
    (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
  )
  count = int(np.prod(tensor.shape, dtype=object))
  if numbers.size < tensor.storage.size or count > numbers.size or last >= max(1, numbers.size):
    raise UserError(f"{name} of shape {tensor.shape} reaches beyond its storage")
  strides = [stride * numbers.itemsize for stride in tensor.strides]
  start = numbers[tensor.offset :]
  return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)


def _tensors(root: Any) -> Iterator[tuple[str, Tensor]]:
  """Yields a checkpoint's tensors with their dotted names; numbers and text are ignored."""
  if not isinstance(root, Mapping):
    raise UserError("it holds no dict of tensors")
  inner = next((root[key] for key in _WRAPPERS if isinstance(root.get(key), Mapping)), root)
  for found, pair in enumerate(_walk(inner, "", set())):
    if found >= _MOST:
      raise UserError("it holds more tensors than any network")
    yield pair


def _walk(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
  """Yields the tensors in nested dicts, each dict once, since a pickled dict may contain itself."""
  if isinstance(value, Tensor):
    yield name, value
  elif isinstance(value, Mapping) and id(value) not in seen and len(seen) < _MOST_DICTS:
    seen.add(id(value))
    for key, entry in value.items():
      yield from _walk(entry, f"{name}.{key}" if name else str(key), seen)
