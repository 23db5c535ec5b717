"""TODO mlseg.files."""

import csv
import hashlib
import io
import json
import math
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mlseg.errors import UserError


def folder() -> pathlib.Path:
  """Returns where what was computed is kept: $MLSEG_CACHE or ~/.cache/mlseg."""
  return pathlib.Path(os.environ.get("MLSEG_CACHE", "~/.cache/mlseg")).expanduser()


def digest(content: str | bytes) -> str:
  """Returns the SHA-256 of text or bytes, in hexadecimal digits."""
  return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def states(
  paths: Iterable[pathlib.Path], root: pathlib.Path | None = None
) -> list[tuple[str, int, int]]:
  """Returns what tells one state of files from another without reading them.

  Args:
    paths: of the files.
    root: that names are relative to; None: a file is named with the folder that it is in.

  Raises:
    UserError: a file is not there.
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


def cached(path: pathlib.Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """Returns the arrays of a cache file, made and written where it is missing or damaged.

  Where it cannot be written, a warning says so.
  """
  try:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
      return {name: file[name] for name in file.files}
  except Exception:  # missing, cut short, or something else: zip and numpy raise many things
    arrays = make()
  content = io.BytesIO()
  np.savez(content, **arrays)  # type: ignore[arg-type]
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content.getvalue())
    temporary.replace(path)
  except OSError as error:
    warnings.warn(f"the cache {path.parent} cannot be written: {error.strerror}", stacklevel=2)
  return arrays


def write_file(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a whole file or nothing: to a temporary name, then renamed."""
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  data = content.encode() if isinstance(content, str) else content
  try:
    with temporary.open("wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


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


Row = dict[str, Any]


def read_csv(path: pathlib.Path) -> list[dict[str, str]]:
  """Returns the rows of a file, values as text."""
  return parse_csv(path.read_text())


def parse_csv(text: str) -> list[dict[str, str]]:
  """Returns the rows of a table, values as text."""
  return list(csv.DictReader(io.StringIO(text)))


def to_csv(rows: Sequence[Row]) -> str:
  """Returns rows as CSV; what a row has not stays empty."""
  names = list(dict.fromkeys(name for row in rows for name in row))
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
  writer.writeheader()
  for row in rows:
    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
  return text.getvalue()
