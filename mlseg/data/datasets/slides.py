"""Regions of tiled TIFF files of several levels, without reading the rest of them."""

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np
import tifffile

from mlseg.errors import UserError


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[list[tifffile.TiffPage]]:
  """Yields the levels of a file, the largest first, while it is open.

  They are its pages, and those below the first one, as writers use the one or the other.

  Raises:
    UserError: the file cannot be read.
  """
  with contextlib.ExitStack() as stack:
    with _errors_of(path):
      file = stack.enter_context(tifffile.TiffFile(path))
      pages = [*file.pages, *(file.pages.first.pages or [])]
      levels = sorted((page.aspage() for page in pages), key=lambda page: -page.imagewidth)
    yield levels


@contextlib.contextmanager
def _errors_of(path: pathlib.Path) -> Iterator[None]:
  """Turns whatever is raised while a file is read into one line that names it."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:  # tifffile and what it decodes with raise many things
    reason = str(error).partition("\n")[0]
    if "imagecodecs" in reason:
      reason = "needs imagecodecs: pip install 'mlseg-jax[slides]'"
    raise UserError(f"{path}: is not a readable TIFF file ({reason})") from error


def read_overview(level: tifffile.TiffPage, path: pathlib.Path) -> np.ndarray:
  """Returns a whole level, RGB [H, W, 3] uint8.

  Raises:
    UserError: it cannot be read, or is something else.
  """
  with _errors_of(path):
    picture = level.asarray()
  if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
    raise UserError(f"{path}: must have three colours of 8 bits, not {picture.dtype} of shape"
                    f" {picture.shape}")  # fmt: skip
  return picture


def read_region(
  page: tifffile.TiffPage, top: int, left: int, size: int, fill: int, path: pathlib.Path
) -> np.ndarray:
  """Returns a square of a level, [size, size] or [size, size, channels] of its own type.

  Args:
    page: the level.
    top: first row.
    left: first column.
    size: side, pixels.
    fill: the value beyond the edges of the level, and where the file has no tile.
    path: of the file, for messages.

  Raises:
    UserError: the level is not in tiles, has separate planes, or is cut short or damaged here.
  """
  if not page.is_tiled or page.planarconfig != tifffile.PLANARCONFIG.CONTIG:
    raise UserError(f"{path}: must be a TIFF in tiles with its channels together")
  channels = page.samplesperpixel
  region = np.full((size, size, channels), fill, page.dtype)
  across = -(-page.imagewidth // page.tilewidth)
  bottom, right = min(top + size, page.imagelength), min(left + size, page.imagewidth)
  for row in range(top // page.tilelength, -(-bottom // page.tilelength)):
    for column in range(left // page.tilewidth, -(-right // page.tilewidth)):
      with _errors_of(path):
        tile = _read_tile(page, row * across + column)
      if tile is None:
        continue
      first, start = row * page.tilelength, column * page.tilewidth
      high, low = max(top, first), min(bottom, first + page.tilelength)
      near, far = max(left, start), min(right, start + page.tilewidth)
      part = tile[high - first : low - first, near - start : far - start]
      region[high - top : low - top, near - left : far - left] = part
  return region[..., 0] if channels == 1 else region


def _read_tile(page: tifffile.TiffPage, index: int) -> np.ndarray | None:
  """Returns a tile [height, width, channels], None where the file has none."""
  handle = page.parent.filehandle
  handle.seek(page.dataoffsets[index])
  data = handle.read(page.databytecounts[index])
  if len(data) < page.databytecounts[index]:
    raise ValueError("it is cut short")
  decoded, _, _ = page.decode(data or None, index, jpegtables=page.jpegtables)
  return None if decoded is None else decoded[0]
