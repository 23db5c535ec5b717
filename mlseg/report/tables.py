"""Tables of text cells with the best marked, and their form in Markdown."""

from collections.abc import Sequence
from typing import NamedTuple


class TableCell(NamedTuple):
  """A cell of a table."""

  text: str
  best: bool = False  # whether it is the best of its column, by an interval
  why: str = ""  # the interval by which it is


class Table(NamedTuple):
  """A table; its first column names the rows."""

  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[TableCell, ...], ...]
  note: str = ""  # how to read it


def to_markdown(table: Table) -> str:
  r"""Returns header and rows in Markdown, with the best of a column in bold.

  Example:
    >>> rows = ((TableCell("a|b"), TableCell("71.2", best=True)),)
    >>> print(to_markdown(Table("t", ("run", "Dice"), rows)))
    | run | Dice |
    |---|---:|
    | a\|b | **71.2** |
    <BLANKLINE>
  """
  lines = [_line(table.header), "|---|" + "---:|" * (len(table.header) - 1)]
  for row in table.rows:
    lines.append(_line([f"**{cell.text}**" if cell.best else cell.text for cell in row]))
  return "\n".join(lines) + "\n"


def _line(texts: Sequence[str]) -> str:
  return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
