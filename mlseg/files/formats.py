"""JSON, CSV tables and NumPy archives."""

import csv
import io
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.files.budget import check_archive
from mlseg.files.whole import open_regular, read_bytes, reading

Row = dict[str, Any]  # of a table: values by the name of their column

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")

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
    return json.loads(read_bytes(path).decode("utf-8"))


# ---- CSV


def to_csv(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
  r"""Returns the text of a table; floats have six significant digits.

  A text that a spreadsheet would take for a formula gets an apostrophe before it, which
  `parse_csv` takes away.

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
  writer.writerow({name: _safe(name) for name in names})
  for row in rows:
    writer.writerow({name: _cell(value) for name, value in row.items()})
  return text.getvalue()


def _cell(value: Any) -> Any:
  if isinstance(value, float):
    return f"{value:.6g}"
  return _safe(value) if isinstance(value, str) else value


def _safe(text: str) -> str:
  """Returns a text that no spreadsheet takes for a formula; numbers stay as they are.

  Example:
    >>> _safe("=1+1"), _safe("-0.5"), _safe("-5 mm"), _safe("'@a")
    ("'=1+1", '-0.5', "'-5 mm", "''@a")
  """
  return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _as_written(text: str) -> str:
  """Returns the text that `_safe` was given.

  Example:
    >>> [_as_written(_safe(text)) for text in ("=1+1", "-0.5", "'@a", "'a")]
    ['=1+1', '-0.5', "'@a", "'a"]
  """
  return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


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
  header = [_as_written(name) for name in reader.fieldnames or ()]
  if missing := [name for name in columns if name not in header]:
    raise ValueError(f"it has no column {missing[0]!r}")
  for number, row in enumerate(rows, start=1):
    if None in row or None in row.values():
      raise ValueError(f"row {number} has not as many cells as the header")
  return [{_as_written(name): _as_written(value) for name, value in row.items()} for row in rows]


def read_csv(path: pathlib.Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
  """Returns the rows of a file, values as text.

  Args:
    path: of the file.
    columns: that the table must have, among others.

  Raises:
    UserError: the file cannot be read, or is damaged.
  """
  with reading(path):
    return parse_csv(read_bytes(path).decode("utf-8"), columns)


def read_header(path: pathlib.Path) -> list[str]:
  """Returns the names of a table's columns.

  Raises:
    UserError: the file cannot be read, or is damaged.
  """
  with reading(path), os.fdopen(open_regular(path), encoding="utf-8", newline="") as file:
    return [_as_written(name) for name in next(csv.reader(file, strict=True), [])]


# ---- NumPy archives


def to_npz(arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> bytes:
  """Returns the content of an `.npz` file; objects, which would be pickled, are refused."""
  content = io.BytesIO()
  save = np.savez_compressed if compressed else np.savez
  save(content, allow_pickle=False, **arrays)
  return content.getvalue()


def read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the arrays of an `.npz` file.

  Raises:
    UserError: the file cannot be read, is damaged, or holds pickled objects.
  """
  # Opened here, since numpy does not close what it cannot read.
  with reading(path), os.fdopen(open_regular(path), "rb") as raw:
    try:
      check_archive(raw)
    except UserError as error:
      raise UserError(f"{path}: {error}") from None
    with np.load(raw, allow_pickle=False) as file:
      return dict(file)
