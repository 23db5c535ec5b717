"""A table beside the pictures: the diagnosis and the patient of each, from a CSV file."""

import csv
import io
import pathlib
from collections.abc import Sequence

from mlseg.errors import UserError


def read(
  path: pathlib.Path,
  id_column: str,
  columns: Sequence[str],
  *,
  may_be_empty: bool = False,
  with_others: bool = False,
) -> dict[str, dict[str, str]]:
  """Returns the values of the columns by id; separated by commas, semicolons or tabs.

  Args:
    path: of the file, in UTF-8.
    id_column: its header.
    columns: headers of the others that are wanted.
    may_be_empty: whether a row may have no value in one of those.
    with_others: whether all other columns come too, which may be empty.

  Raises:
    UserError: the file cannot be read, lacks a column, has an id twice, or a value is empty.
  """
  try:
    text = path.read_text(encoding="utf-8-sig")
  except OSError as error:
    raise UserError(f"table {path}: cannot be read ({error.strerror})") from error
  except UnicodeDecodeError as error:
    raise UserError(f"table {path}: is not text in UTF-8") from error
  header = text.partition("\n")[0]
  separator = max(",;\t", key=header.count)
  reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
  reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
  rows = list(reader)
  present = [name for name in rows[0] if name] if rows else []
  for column in (id_column, *columns):
    if column not in present:
      raise UserError(
        f"table {path}: has no column {column!r}, only {', '.join(present) or 'none'}"
      )
  if with_others and len(present) < len(reader.fieldnames):
    raise UserError(f"table {path}: has a column twice, or one without a name")
  needed = {id_column} if may_be_empty else {id_column, *columns}
  wanted = dict.fromkeys([id_column, *columns, *(present if with_others else ())])
  table: dict[str, dict[str, str]] = {}
  for number, row in enumerate(rows, start=2):
    if with_others and (None in row or None in row.values()):
      raise UserError(f"table {path}: row {number} has not the {len(present)} cells of the header")
    values = {name: (row[name] or "").strip() for name in wanted}
    for name, value in values.items():
      if not value and name in needed:
        raise UserError(f"table {path}: row {number} has no value in column {name!r}")
    own = values[id_column]
    if own in table:
      raise UserError(f"table {path}: row {number} has the id {own!r} a second time")
    table[own] = values
  return table
