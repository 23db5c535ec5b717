"""The style of all figures, and their bytes as SVG and PNG, which are always the same."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

# Colours that stay apart for the colour-blind (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Where there are more lines than colours, lines of one colour differ in their dashes.
DASHES = ("-", "--", ":", "-.")
_DPI = 150
# Of a legend, in units of its font's size: a line with its gap to the text, the gap between two
# columns, and the margin at both ends together.
_HANDLE, _GAP, _MARGIN = 2.8, 2.0, 1.8
_LINE_HEIGHT = 1.7  # of a legend, in units of its font's size


class ReportFigure(NamedTuple):
  """A figure as SVG and PNG, with its texts."""

  name: str  # of its files, without suffix
  svg: bytes
  png: bytes
  alt: str  # what it shows, for those who cannot see it
  caption: str


@contextmanager
def style(size: float = 9) -> Iterator[None]:
  """Sets the look of figures that are made and written within the block.

  Args:
    size: of the font, in points.
  """
  settings: Any = {
    "font.size": size,
    "axes.titlesize": size,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # a run may be called $x^
    "svg.hashsalt": "mlseg",
  }
  with matplotlib.rc_context(settings), warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Glyph .* missing")  # names in any script
    yield


def report_figure(name: str, figure: Figure, alt: str, caption: str) -> ReportFigure:
  """Returns a figure as SVG and PNG, with its texts."""
  svg = to_bytes(figure, "svg", {"Date": None, "Creator": None})
  return ReportFigure(name, svg, to_png(figure), alt, caption)


def to_png(figure: Figure) -> bytes:
  """Returns the bytes of a PNG."""
  return to_bytes(figure, "png", {"Software": None})


def to_bytes(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
  """Returns the bytes of a file in this format, without dates."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format=form, dpi=_DPI, metadata=metadata)
  return buffer.getvalue()


def line_style(index: int) -> dict[str, str]:
  """Returns colour and dashes of the line of this index; the first 28 all differ.

  Example:
    >>> line_style(0)
    {'color': '#0072B2', 'linestyle': '-'}
    >>> line_style(7)
    {'color': '#0072B2', 'linestyle': '--'}
  """
  dash = DASHES[index // len(COLOURS) % len(DASHES)]
  return {"color": COLOURS[index % len(COLOURS)], "linestyle": dash}


def text_width(text: str, size: float | None = None) -> float:
  """Returns the width of the widest line of a text, inches.

  Args:
    text: may have several lines.
    size: of the font, in points; None: that of the style.
  """
  font = FontProperties(size=size or matplotlib.rcParams["font.size"])
  widths = [
    text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]
    for line in text.split("\n")
    if line
  ]
  return max(widths, default=0.0) / 72


def fitted(text: str, width: float, size: float | None = None) -> str:
  """Returns a text in lines that are at most this wide.

  Lines are broken after spaces and after the signs that part names; a longer name is cut anywhere.

  Args:
    text: its own line breaks stay.
    width: inches.
    size: as for `text_width`.
  """
  return "\n".join(part for line in text.split("\n") for part in _lines(line, width, size))


def _lines(text: str, width: float, size: float | None) -> list[str]:
  lines, current = [], ""
  for piece in re.findall(r"[^ +_/=,;:-]*[ +_/=,;:-]|[^ +_/=,;:-]+$", text):
    if current and text_width((current + piece).rstrip(), size) > width:
      lines.append(current.rstrip())
      current = ""
    while len(piece) > 1 and text_width(piece.rstrip(), size) > width:
      count = len(piece) - 1
      while count > 1 and text_width(piece[:count], size) > width:
        count -= 1
      lines.append(piece[:count])
      piece = piece[count:]
    current += piece
  return [*lines, current.rstrip()]


def add_title(figure: Figure, text: str, size: float | None = None) -> None:
  """Puts a title above all axes, in as many lines as it needs, and makes the figure higher for it.

  Args:
    figure: with a constrained layout.
    text: of the title.
    size: of the font, in points; None: that of the style.
  """
  size = size or float(matplotlib.rcParams["font.size"])
  lines = fitted(text, figure.get_figwidth() - 0.3, size)
  more = 1.25 * size / 72 * lines.count("\n")
  figure.set_figheight(figure.get_figheight() + more)
  figure.suptitle(lines, fontsize=size)


def legend_of(figure: Figure, all_axes: Sequence[Axes]) -> None:
  """Puts one legend for all labelled artists of some axes below them."""
  found: dict[str, Artist] = {}
  for axes in all_axes:
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
      found.setdefault(label, handle)
  add_legend(figure, list(found.values()), list(found))


def add_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
  """Puts a legend below all axes, where it hides no line, and makes the figure higher for it.

  It has as many columns as fit into the figure's width, and long labels have several lines, so
  that nothing is cut.

  Args:
    figure: with a constrained layout.
    handles: the artists to explain; none: there is no legend.
    labels: of the handles.
  """
  if not handles:
    return
  size = float(matplotlib.rcParams["font.size"])
  em, width = size / 72, figure.get_figwidth()
  texts = [fitted(label, width - (_HANDLE + _MARGIN) * em, size) for label in labels]
  column = max(text_width(text, size) for text in texts) + _HANDLE * em
  fitting = int((width - _MARGIN * em + _GAP * em) // (column + _GAP * em))
  columns = max(1, min(fitting, len(texts)))
  rows = -(-len(texts) // columns)
  lines = max(text.count("\n") + 1 for text in texts)
  figure.set_figheight(figure.get_figheight() + (rows * lines + 1) * _LINE_HEIGHT * em)
  figure.legend(list(handles), texts, loc="outside lower center", ncols=columns, fontsize=size)
