"""CSV tables that come with data sets, by the ids of their rows."""

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
  """Returns the rows of a table by id; columns are separated by commas, semicolons or tabs.

  Args:
    path: the file, in UTF-8.
    id_column: header of the column with the ids.
    columns: headers of the other columns that are needed.
    may_be_empty: whether a row may have no value in one of `columns`.
    with_others: whether all other columns are returned too. They may be empty.

  Returns:
    For each id, the values by header, the id included.

  Raises:
    UserError: the file cannot be read or lacks a column, an id occurs twice, or a value is empty.
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
