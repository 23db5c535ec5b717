"""CSV tables that come with data sets, by the ids of their rows."""

import csv
import io
import pathlib
import unicodedata
from collections.abc import Iterable, Sequence

from mlseg.data.findings import Findings
from mlseg.errors import UserError, one_line, printable

# How programs write that a value is missing, in lower case.
MISSING = frozenset(
  {"", "na", "n/a", "#n/a", "#na", "nan", "-nan", "none", "null", "<na>", "n.a.", "nil", "missing"}
)


def cell(text: str | None) -> str:
  """Returns the value of a cell without blanks around it; '' where it stands for a missing value.

  Example:
    >>> [cell(text) for text in (" yes ", "N/A", "nan", None)]
    ['yes', '', '', '']
  """
  value = unicodedata.normalize("NFC", text or "").strip()
  return "" if value.lower() in MISSING else value


def check_labels(labels: Iterable[str], where: str) -> None:
  """Raises a UserError where two labels are the same but for capital letters, blanks or zeros.

  Args:
    labels: the distinct ones.
    where: file of the labels, for the message.

  Example:
    >>> check_labels(["benign", "Benign"], "table t.csv")
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: table t.csv: the labels 'benign' and 'Benign' look like one; write them\
 alike
  """
  seen: dict[str, str] = {}
  for label in labels:
    first = seen.setdefault(_plain(label), label)
    if first != label:
      raise UserError(
        f"{where}: the labels {first!r} and {label!r} look like one; write them alike"
      )


def _plain(label: str) -> str:
  """Returns what labels that mean the same have in common."""
  try:
    return f"{float(label):g}"
  except ValueError:
    return " ".join(label.casefold().split())


def read(
  path: pathlib.Path,
  id_column: str,
  columns: Sequence[str],
  *,
  also: Sequence[str] = (),
  binary: Sequence[str] = (),
  may_be_empty: bool = False,
  with_others: bool = False,
  found: Findings | None = None,
) -> dict[str, dict[str, str]]:
  """Returns the rows of a table by id; columns are separated by commas, semicolons or tabs.

  Values have no blanks around them, and are '' where they stand for a missing value, as `cell`
  says. Rows without any value are passed over.

  Args:
    path: the file, in UTF-8.
    id_column: header of the column with the ids.
    columns: headers of the other columns that are needed.
    also: headers of further columns that are needed, of which a row may have no value.
    binary: those of `columns` whose values must be 0 or 1.
    may_be_empty: whether a row may have no value in one of `columns`.
    with_others: whether all other columns are returned too. They may be empty.
    found: gets the rows that cannot be used, which are left out; None: they are refused.

  Returns:
    For each id, the values by header, the id included.

  Raises:
    UserError: the file cannot be read or lacks a column; or an id occurs twice, or a value is
      missing or not 0 or 1, without `found`.
  """
  header, rows = _rows(path)
  for column in (id_column, *columns, *also):
    if column not in header:
      names = [name for name in header if name]
      raise UserError(f"table {path}: has no column {column!r}, only {', '.join(names) or 'none'}")
  if not rows:
    raise UserError(f"table {path}: has no rows")
  if with_others and len({name for name in header if name}) < len(header):
    raise UserError(f"table {path}: has a column twice, or one without a name")
  wanted = dict.fromkeys([id_column, *columns, *also, *(header if with_others else ())])
  needed = [id_column] if may_be_empty else [id_column, *columns]
  table: dict[str, dict[str, str]] = {}
  for number, row in rows:
    values = dict(zip(header, map(cell, row), strict=False))
    fault = _fault(values, row, needed, header if with_others else None)
    fault = fault or _not_binary(values, binary)
    own = values.get(id_column, "")
    if not fault and own in table:
      fault = f"has the id {own!r} a second time"
    if not fault:
      table[own] = {name: values.get(name, "") for name in wanted}
    elif found is None:
      raise UserError(f"table {path}: row {number} {fault}")
    else:
      found.add(f"table {path}", f"row {number} {fault}")
      found.ids.add(own)
  return table


def _fault(
  values: dict[str, str], row: Sequence[str], needed: Sequence[str], header: Sequence[str] | None
) -> str:
  """Returns what is wrong with a row; '' if nothing is.

  Args:
    values: the cells by header.
    row: the cells as they are in the file.
    needed: headers of the columns that must have a value.
    header: of a table whose rows must have as many cells; None: of another table.
  """
  if header is not None and len(row) != len(header):
    return f"has not the {len(header)} cells of the header"
  for name in needed:
    if not values.get(name):
      written = dict(zip(values, row, strict=False)).get(name, "").strip()
      meaning = f" ({printable(written)!r} stands for a missing one)" if written else ""
      return f"has no value in column {name!r}{meaning}"
  return ""


def _not_binary(values: dict[str, str], names: Sequence[str]) -> str:
  """Returns which value is neither 0 nor 1, in whatever form of a number, nor missing; '' if none.

  Example:
    >>> _not_binary({"edema": "1.0", "effusion": "2"}, ("edema", "effusion"))
    "column 'effusion' must be 0 or 1, not '2'"
  """
  for name in names:
    if values[name] and _plain(values[name]) not in ("0", "1"):
      return f"column {name!r} must be 0 or 1, not {printable(values[name])!r}"
  return ""


def _rows(path: pathlib.Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
  """Returns the header of a table, and its rows with their numbers as a spreadsheet shows them."""
  try:
    if path.exists() and not path.is_file():
      raise UserError(f"table {path}: is not a file")  # a pipe would wait for its other end
    text = path.read_text(encoding="utf-8-sig")
  except OSError as error:
    raise UserError(f"table {path}: cannot be read ({error.strerror})") from error
  except UnicodeDecodeError as error:
    raise UserError(f"table {path}: is not text in UTF-8") from error
  if text[:4].lower() == "sep=":  # Excel's own line before the header
    text = text.partition("\n")[2]
  header = text.partition("\n")[0]
  separator = max(",;\t", key=header.count)
  reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
  try:
    rows = list(enumerate(reader, start=1))
  except csv.Error as error:
    is_open = "unexpected end" in str(error) or "field larger" in str(error)
    reason = "a quotation mark is not closed" if is_open else one_line(error)
    raise UserError(f"table {path}: is damaged after line {reader.line_num}: {reason}") from error
  filled = [(number, row) for number, row in rows if any(text.strip() for text in row)]
  if not filled:
    return [], []
  return [unicodedata.normalize("NFC", name).strip() for name in filled[0][1]], filled[1:]
