"""A picture as networks take it, and how values of more than 8 bits become grey values."""

from typing import NamedTuple

import numpy as np

from mlseg.errors import UserError

# What a picture may have at most; Pillow's own limit against files that unpack to any size.
MAX_PIXELS = 178_956_970
SCALINGS = ("minmax", "range")


class Picture(NamedTuple):
  """What is read from a file."""

  pixels: np.ndarray  # [H, W] or RGB [H, W, 3], uint8
  spacing: tuple[float, float] | None = None  # from row to row and column to column, mm, if known
  note: str = ""  # what of the file is left out


def to_eight_bits(
  values: np.ndarray, scaling: str, limits: tuple[float, float] | None = None
) -> np.ndarray:
  """Returns grey values of any type as uint8.

  Values of 8 bits without a sign stay as they are, and of one bit become 0 and 255. Others are
  mapped linearly, with what lies outside at the ends, and what is not a number at the lower end:

  - 'minmax': least and largest value of the picture become 0 and 255, so that a picture of 12 bits
    in a file of 16 is not dark. All channels share the two.
  - 'range': least and largest value of the type do, so that pictures stay comparable. Types of
    floating point have no such values; 'minmax' is used.

  Args:
    values: [...] of a picture.
    scaling: 'minmax' or 'range'.
    limits: least and largest value that 'range' uses; None: those of the type.

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


def check_size(height: int, width: int) -> None:
  """Raises a UserError where a picture has more pixels than memory should be given to."""
  if height * width > MAX_PIXELS:
    raise UserError(f"has {height}×{width} pixels, more than the {MAX_PIXELS} that are read")
