"""The style of all figures, and their bytes as SVG and PNG, which are always the same."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

# Colours that stay apart for the colour-blind (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Where there are more lines than colours, lines of one colour differ in their dashes.
DASHES = ("-", "--", ":", "-.")
_DPI = 150


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
