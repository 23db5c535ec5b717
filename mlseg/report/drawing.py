"""How every figure looks, and its two forms; the same figure always gives the same bytes."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

# Colours that stay apart for the colour-blind (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Beside its colour, each of more lines than there are colours has a dash.
DASHES = ("-", "--", ":", "-.")
_DPI = 150


class Picture(NamedTuple):
  """A figure in both forms, with the words for those who cannot see it."""

  name: str  # of its files, without an ending
  svg: bytes
  png: bytes
  alt: str  # what it shows
  caption: str


@contextmanager
def style(size: float = 9) -> Iterator[None]:
  """Sets the look of figures that are made and written within the block.

  Args:
    size: of letters, in points.
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


def picture(name: str, figure: Figure, alt: str, caption: str) -> Picture:
  """Returns a figure in both forms."""
  svg = to_bytes(figure, "svg", {"Date": None, "Creator": None})
  return Picture(name, svg, to_png(figure), alt, caption)


def to_png(figure: Figure) -> bytes:
  """Returns the bytes of a PNG."""
  return to_bytes(figure, "png", {"Software": None})


def to_bytes(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
  """Returns the bytes of a file of this form, without dates."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format=form, dpi=_DPI, metadata=metadata)
  return buffer.getvalue()


def line_style(place: int) -> dict[str, str]:
  """Returns colour and dash of the line at this place, none twice among the first 28.

  Example:
    >>> line_style(0)
    {'color': '#0072B2', 'linestyle': '-'}
    >>> line_style(7)
    {'color': '#0072B2', 'linestyle': '--'}
  """
  dash = DASHES[place // len(COLOURS) % len(DASHES)]
  return {"color": COLOURS[place % len(COLOURS)], "linestyle": dash}
