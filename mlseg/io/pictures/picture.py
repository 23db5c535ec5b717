"""A picture in memory: its stored values, its 8-bit grey values, colours, orientation and size."""

from typing import NamedTuple

import cv2
import numpy as np

from mlseg.errors import UserError
from mlseg.files import check_unfolded

# The most pixels that are read. It is Pillow's own limit against small files that unpack to any
# size.
MAX_PIXELS = 178_956_970
SCALINGS = ("minmax", "range")
_ROWS = 512  # of a picture that are scaled at once

# What a reader changes or ignores in a file; the words follow 'N pictures:'.
TURNED = "turned upright as their EXIF orientation asks"
TRANSPARENT = "transparency ignored"
SCALED = "more than 8 bits scaled to 8"
NOT_FINITE = "values that are not finite read as black"
CONVERTED = "colours of print or of another space converted to RGB"
WHITE_IS_ZERO = "0 is white in the file (min-is-white), so its values are inverted"


class Picture(NamedTuple):
  """The contents of a picture file, as they are shown."""

  pixels: np.ndarray  # [H, W] or RGB [H, W, 3], uint8
  spacing: tuple[float, float] | None = None  # distances of rows and of columns in mm, if known
  note: str = ""  # which part of the file was read, where it holds more than one picture
  changes: tuple[str, ...] = ()  # what was changed or ignored, such as `TRANSPARENT`
  patient: str = ""  # the id that a DICOM file gives


class Stored(NamedTuple):
  """The contents of a picture file, as they are stored."""

  values: np.ndarray  # [H, W] or RGB [H, W, 3], of any type of number
  orientation: int = 1  # of EXIF, 1 to 8, that is still to be applied
  inverted: bool = False  # whether low values are bright, so that values are to be inverted
  indices: np.ndarray | None = None  # [H, W], those of a palette, whose colours `values` has
  note: str = ""  # as `Picture.note`
  changes: tuple[str, ...] = ()  # as `Picture.changes`


def shown(stored: Stored, scaling: str) -> Picture:
  """Returns stored values as they are shown: of 8 bits, bright where they are to be, and upright.

  Args:
    stored: from a file.
    scaling: how values of more than 8 bits become 8 bits, see `to_eight_bits`.

  Raises:
    UserError: none of the values is finite.
  """
  values, changes = stored.values, list(stored.changes)
  if np.issubdtype(values.dtype, np.floating):
    finite = np.isfinite(values)
    if not finite.any():
      raise UserError("has no finite value")
    changes += [] if finite.all() else [NOT_FINITE]
  pixels = to_eight_bits(values, scaling)
  changes += [SCALED] if values.dtype not in (np.uint8, np.bool_) else []
  if stored.inverted:
    pixels = 255 - pixels
  if stored.orientation != 1:
    pixels = turn_upright(pixels, stored.orientation)
    changes.append(TURNED)
  return Picture(pixels, note=stored.note, changes=tuple(changes))


def to_eight_bits(
  values: np.ndarray, scaling: str, limits: tuple[float, float] | None = None
) -> np.ndarray:
  """Returns grey values of any type as uint8.

  Values of type uint8 stay as they are, and Booleans become 0 and 255. Others are mapped linearly.
  Values outside the limits become 0 or 255, and NaN becomes 0. The limits are:

  - 'minmax': the least and the largest value of the picture, so that a picture of 12 bits in a file
    of 16 is not dark. All channels share them.
  - 'range': the least and the largest value of the type, so that pictures stay comparable. Types of
    floating point have no such values, and 'minmax' is used.

  Args:
    values: [...] of a picture.
    scaling: 'minmax' or 'range'.
    limits: the least and the largest value that 'range' uses; None: those of the type.

  Returns:
    [...] uint8.

  Example:
    >>> to_eight_bits(np.array([0, 2048, 4095], np.uint16), "minmax").tolist()
    [0, 128, 255]
    >>> to_eight_bits(np.array([0, 2048, 4095], np.uint16), "range").tolist()
    [0, 8, 16]
  """
  if values.dtype == np.uint8:
    return values
  if values.dtype == bool:
    return values.astype(np.uint8) * 255
  if scaling == "range" and limits is None and np.issubdtype(values.dtype, np.integer):
    limits = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
  if scaling == "minmax" or limits is None:
    limits = _limits(values)
  low, high = limits
  result = np.zeros(values.shape, np.uint8)
  if not high > low:
    return result
  for start in range(0, len(values), _ROWS):  # in parts, since float64 takes much memory
    part = slice(start, start + _ROWS)
    shares = (values[part].astype(np.float64) - low) / (high - low)
    shares = np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)
    result[part] = np.rint(255.0 * shares)
  return result


def _limits(values: np.ndarray) -> tuple[float, float]:
  """Returns the least and the largest finite value; 0 and 0 where there is none."""
  known = values[np.isfinite(values)] if np.issubdtype(values.dtype, np.floating) else values
  return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def to_grey(pixels: np.ndarray) -> np.ndarray:
  """Returns [H, W] uint8 from [H, W] or RGB [H, W, 3], by the luma of ITU-R BT.601."""
  return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def to_colour(pixels: np.ndarray) -> np.ndarray:
  """Returns RGB [H, W, 3] from [H, W] or RGB [H, W, 3]."""
  return np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Returns a picture [H, W, ...] turned and mirrored as its EXIF orientation (1 to 8) asks."""
  if orientation in (5, 6, 7, 8):
    pixels = np.swapaxes(pixels, 0, 1)
  if orientation in (3, 4, 7, 8):
    pixels = pixels[::-1]
  if orientation in (2, 3, 6, 7):
    pixels = pixels[:, ::-1]
  return np.ascontiguousarray(pixels)


def check_num_pixels(height: int, width: int, bytes_per_pixel: int = 1) -> None:
  """Raises a UserError where a picture is too large to be read into memory.

  Args:
    height: of the picture, pixels.
    width: of the picture, pixels.
    bytes_per_pixel: of the values that the file unfolds to.
  """
  if height * width > MAX_PIXELS:
    raise UserError(f"has {height}×{width} pixels, more than the {MAX_PIXELS} that are read")
  check_unfolded(height * width * bytes_per_pixel)
