"""Whole slides: reading regions of tiled TIFF files of several levels, and nothing else of them."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator

import numpy as np
import tifffile

from mlseg.errors import UserError, one_line, printable


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[list[tifffile.TiffPage]]:
  """Yields the levels of a file, the largest first, while it is open.

  Some writers store the levels as pages, others below the first page (SubIFDs); both are read.

  Raises:
    UserError: the file cannot be read.
  """
  logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its own lines name no file
  with contextlib.ExitStack() as stack:
    with _errors_of(path):
      file = stack.enter_context(tifffile.TiffFile(path))
      pages = [*file.pages, *(file.pages.first.pages or [])]
      levels = sorted((page.aspage() for page in pages), key=lambda page: -page.imagewidth)
    yield levels


@contextlib.contextmanager
def _errors_of(path: pathlib.Path) -> Iterator[None]:
  """Turns any error while a file is read into a UserError of one line that names the file."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:  # tifffile and its decoders raise many classes
    reason = one_line(error)
    if "imagecodecs" in reason:
      reason = "needs imagecodecs: pip install 'mlseg-jax[slides]'"
    name = printable(str(path))
    raise UserError(f"{name}: is not a readable TIFF file ({reason})") from error


def read_overview(level: tifffile.TiffPage, path: pathlib.Path) -> np.ndarray:
  """Returns a whole level, RGB [H, W, 3] uint8.

  Args:
    level: a page of the file.
    path: the file, for messages.

  Raises:
    UserError: the level cannot be read, or does not have three colours of 8 bits.
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
  """Returns a square region of a level.

  Args:
    page: the level.
    top: first row of the region.
    left: first column of the region.
    size: side of the region, pixels.
    fill: the value beyond the edges of the level, and where the file has no tile.
    path: the file, for messages.

  Returns:
    [size, size] or [size, size, channels], in the type of the level.

  Raises:
    UserError: the level is not in tiles, has separate planes, or is damaged in this region.
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
  """Returns a tile [height, width, channels]; None: the file does not have it."""
  handle = page.parent.filehandle
  handle.seek(page.dataoffsets[index])
  data = handle.read(page.databytecounts[index])
  if len(data) < page.databytecounts[index]:
    raise ValueError("it is cut short")
  decoded, _, _ = page.decode(data or None, index, jpegtables=page.jpegtables)
  return None if decoded is None else decoded[0]
