"""Tables as text with marks, and their forms: Markdown here, HTML in the page."""

from collections.abc import Sequence
from typing import NamedTuple


class Cell(NamedTuple):
  """What stands in one place of a table."""

  text: str
  best: bool = False  # of its column


class Table(NamedTuple):
  """A table: its first column names the rows."""

  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[Cell, ...], ...]
  note: str = ""  # how to read it


def to_markdown(table: Table) -> str:
  r"""Returns header and rows in Markdown, the best of a column in bold.

  Example:
    >>> print(to_markdown(Table("t", ("run", "Dice"), ((Cell("a|b"), Cell("71.2", True)),))))
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
