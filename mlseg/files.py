"""Whole files or none, JSON, CSV tables, NumPy archives, and the cache of computed arrays."""

import csv
import hashlib
import io
import json
import math
import os
import pathlib
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from mlseg.errors import UserError

Row = dict[str, Any]  # of a table: values by the name of their column

# The most bytes that one file may unfold to, unless it is as large itself: compressed files, and
# those of fill values, can claim any size. A CT of 1,000 slices of 512×512 floats takes half of it.
UNFOLDED_BYTES = 2**31

# ---- Whole files


def write_file(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a whole file or nothing: to a temporary name, then renamed.

  Args:
    path: of the file; its folder must exist.
    content: text is written as UTF-8. Bytes of a file's name that are no text, which Python keeps
      as surrogates, are written as they were.
  """
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
  try:
    with temporary.open("wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextmanager
def reading(what: object) -> Iterator[None]:
  """Turns any error while a file is read into a UserError that names the file.

  Args:
    what: the file, or words for several.

  Raises:
    UserError: it cannot be read, or its content is damaged.

  Example:
    >>> with reading("numbers.txt"):
    ...   float("many")
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: numbers.txt is damaged: ValueError: could not convert string to float: \
'many'
  """
  try:
    yield
  except UserError:
    raise
  except OSError as error:
    raise UserError(f"{error.filename or what} cannot be read ({error.strerror})") from error
  except Exception as error:  # json, csv, zip and numpy raise many things
    reason = " ".join(str(error).split())
    raise UserError(f"{what} is damaged: {type(error).__name__}: {reason[:150]}") from error


def check_unfolded(num_bytes: int, file_bytes: int = 0) -> None:
  """Raises a UserError where a file claims to unfold to more than `UNFOLDED_BYTES`.

  Args:
    num_bytes: that the content takes in memory.
    file_bytes: size of the file; it may always unfold to as much.

  Example:
    >>> check_unfolded(10**12)
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: unfolds to 1000000000000 bytes, more than the 2147483648 that are read
  """
  if num_bytes > max(UNFOLDED_BYTES, file_bytes):
    raise UserError(f"unfolds to {num_bytes} bytes, more than the {UNFOLDED_BYTES} that are read")


# ---- JSON


def to_json(value: Any, indent: int | None = None) -> str:
  """Returns strict JSON: a number that is not finite becomes null.

  Example:
    >>> to_json({"loss": float("nan"), "step": 3})
    '{"loss": null, "step": 3}'
  """

  def strict(item: Any) -> Any:
    if isinstance(item, dict):
      return {str(key): strict(entry) for key, entry in item.items()}
    if isinstance(item, list | tuple):
      return [strict(entry) for entry in item]
    if isinstance(item, float) and not math.isfinite(item):
      return None
    return item

  return json.dumps(strict(value), indent=indent, allow_nan=False)


def read_json(path: pathlib.Path) -> Any:
  """Returns the content of a JSON file.

  Raises:
    UserError: the file cannot be read, or is no JSON.
  """
  with reading(path):
    return json.loads(path.read_text(encoding="utf-8"))


# ---- CSV


def to_csv(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
  r"""Returns the text of a table; floats have six significant digits.

  Args:
    rows: a column that a row has not, or that is None there, stays empty.
    columns: in their order; None: all that the rows have.

  Example:
    >>> to_csv([{"id": "a", "dice": 2 / 3}, {"id": "b", "note": None}])
    'id,dice,note\na,0.666667,\nb,,\n'
  """
  names = dict.fromkeys(name for row in rows for name in row) if columns is None else columns
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
  writer.writeheader()
  for row in rows:
    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
  return text.getvalue()


def parse_csv(text: str, columns: Sequence[str] = ()) -> list[dict[str, str]]:
  r"""Returns the rows of a table, values as text.

  Args:
    text: of the table, with a header.
    columns: that the table must have, among others.

  Raises:
    ValueError: a column is missing, or a row has not as many cells as the header.
    csv.Error: a quotation mark is in a wrong place.

  Example:
    >>> parse_csv("id,dice\na,0.5\n", columns=["id"])
    [{'id': 'a', 'dice': '0.5'}]
  """
  reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
  rows = list(reader)
  if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
    raise ValueError(f"it has no column {missing[0]!r}")
  for number, row in enumerate(rows, start=1):
    if None in row or None in row.values():
      raise ValueError(f"row {number} has not as many cells as the header")
  return rows


def read_csv(path: pathlib.Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
  """Returns the rows of a file, values as text.

  Args:
    path: of the file.
    columns: that the table must have, among others.

  Raises:
    UserError: the file cannot be read, or is damaged.
  """
  with reading(path):
    return parse_csv(path.read_bytes().decode("utf-8"), columns)


def read_header(path: pathlib.Path) -> list[str]:
  """Returns the names of a table's columns.

  Raises:
    UserError: the file cannot be read, or is damaged.
  """
  with reading(path), path.open(encoding="utf-8", newline="") as file:
    return next(csv.reader(file, strict=True), [])


# ---- NumPy archives


def to_npz(arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> bytes:
  """Returns the content of an `.npz` file; objects, which would be pickled, are refused."""
  content = io.BytesIO()
  save = np.savez_compressed if compressed else np.savez
  save(content, allow_pickle=False, **arrays)
  return content.getvalue()


def check_archive(file: BinaryIO) -> None:
  """Raises a UserError where the entries of a zip file claim more than `check_unfolded` allows.

  Args:
    file: open, at its start, where it is left.

  Raises:
    UserError: they do.
    zipfile.BadZipFile: it is no zip file.
  """
  with zipfile.ZipFile(file) as archive:
    num_bytes = sum(entry.file_size for entry in archive.infolist())
  check_unfolded(num_bytes, file.seek(0, os.SEEK_END))
  file.seek(0)


def read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the arrays of an `.npz` file.

  Raises:
    UserError: the file cannot be read, is damaged, or holds pickled objects.
  """
  # Opened here, since numpy does not close what it cannot read.
  with reading(path), path.open("rb") as raw:
    try:
      check_archive(raw)
    except UserError as error:
      raise UserError(f"{path}: {error}") from None
    with np.load(raw, allow_pickle=False) as file:
      return dict(file)


# ---- The cache


def cache_folder() -> pathlib.Path:
  """Returns the folder in which computed arrays are kept: $MLSEG_CACHE or ~/.cache/mlseg."""
  return pathlib.Path(os.environ.get("MLSEG_CACHE", "~/.cache/mlseg")).expanduser()


def digest(content: str | bytes) -> str:
  """Returns the SHA-256 of text or bytes, in hexadecimal digits."""
  return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


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
    write_file(path, to_npz(arrays))
  except OSError as error:
    warnings.warn(f"the cache {path.parent} cannot be written: {error.strerror}", stacklevel=2)
  return arrays
