"""A picture in memory: its 8-bit grey values, colours, orientation and size."""

from typing import NamedTuple

import cv2
import numpy as np

from mlseg.errors import UserError

# The most pixels that are read. It is Pillow's own limit against small files that unpack to any
# size.
MAX_PIXELS = 178_956_970
SCALINGS = ("minmax", "range")


class Picture(NamedTuple):
  """The contents of a picture file."""

  pixels: np.ndarray  # [H, W] or RGB [H, W, 3], uint8
  spacing: tuple[float, float] | None = None  # distances of rows and of columns in mm, if known
  note: str = ""  # which part of the file was read, where it holds more than one picture


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
    known = values[np.isfinite(values)]
    limits = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
  low, high = limits
  if not high > low:
    return np.zeros(values.shape, np.uint8)
  shares = (values.astype(np.float64) - low) / (high - low)
  shares = np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)
  return np.rint(255.0 * shares).astype(np.uint8)


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


def check_num_pixels(height: int, width: int) -> None:
  """Raises a UserError where a picture is too large to be read into memory."""
  if height * width > MAX_PIXELS:
    raise UserError(f"has {height}×{width} pixels, more than the {MAX_PIXELS} that are read")


def check_mask_size(mask: np.ndarray, mask_name: object, pixels: np.ndarray, name: object) -> None:
  """Raises a UserError where a mask and its picture have different heights or widths.

  Args:
    mask: [H, W, ...].
    mask_name: path of the mask, for the message.
    pixels: [H, W, ...], the picture.
    name: file name of the picture, for the message.
  """
  if mask.shape[:2] != pixels.shape[:2]:
    size, expected = (f"{shape[0]}×{shape[1]}" for shape in (mask.shape, pixels.shape))
    raise UserError(f"{mask_name}: is {size}, but its picture {name} is {expected}")
