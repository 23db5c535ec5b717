"""The cache of computed arrays, and what tells whether files have changed."""

import hashlib
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable

import numpy as np

from mlseg.errors import UserError
from mlseg.files.formats import read_npz
from mlseg.files.whole import remove_temporaries, replacing


def cache_folder() -> pathlib.Path:
  """Returns the folder of what is computed once: $MLSEG_CACHE, or ~/.cache/mlseg where it is empty.

  Raises:
    UserError: there is neither.
  """
  try:
    return pathlib.Path(os.environ.get("MLSEG_CACHE") or "~/.cache/mlseg").expanduser()
  except RuntimeError:  # a user without a home
    raise UserError("there is no home directory to cache in: set MLSEG_CACHE") from None


def digest(*contents: str | bytes | np.ndarray) -> str:
  """Returns the SHA-256 of text, bytes or the numbers of arrays, in hexadecimal digits.

  Args:
    *contents: one after the other, as if they were joined; arrays are contiguous.
  """
  found = hashlib.sha256()
  for content in contents:
    if isinstance(content, np.ndarray):
      found.update(content.data)  # without a copy
    else:
      found.update(content.encode() if isinstance(content, str) else content)
  return found.hexdigest()


def file_states(
  paths: Iterable[pathlib.Path], root: pathlib.Path | None = None
) -> list[tuple[str, int, int]]:
  """Returns name, size and time of change of files, which differ where a file was changed.

  Args:
    paths: of the files.
    root: names are relative to this folder; None: a name has the file and the folder it is in.

  Raises:
    UserError: a file cannot be read.
  """
  result = []
  for path in sorted(paths):
    try:
      stat = path.stat()
    except OSError as error:
      raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    name = f"{path.parent.name}/{path.name}" if root is None else str(path.relative_to(root))
    result.append((name, stat.st_size, stat.st_mtime_ns))
  return result


def cached_arrays(
  path: pathlib.Path, make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
  """Returns the arrays of a cache file, which is made where it is missing or damaged.

  Args:
    path: of the file. Where it cannot be written, a warning says so.
    make: computes the arrays.
  """
  try:
    return read_npz(path)
  except UserError:
    arrays = make()
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_temporaries(path.parent)
    with replacing(path) as file:  # not by `to_npz`, whose bytes would be a second copy
      np.savez(file, allow_pickle=False, **arrays)
  except OSError as error:
    warnings.warn(f"the cache {path.parent} cannot be written: {error.strerror}", stacklevel=2)
  return arrays
