"""PNG, JPEG, BMP, TIFF, GIF, WebP, PNM and JPEG 2000 files, read by Pillow; also TIFF of 8 bits."""

import io
import logging

import numpy as np
from PIL import Image

from mlseg.io.pictures import png
from mlseg.io.pictures.picture import (
  CONVERTED,
  TRANSPARENT,
  WHITE_IS_ZERO,
  Stored,
  check_num_pixels,
)

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "JPEG2000")
_ORIENTATION = 0x0112  # the tag of EXIF
_PHOTOMETRIC, _MIN_IS_WHITE = 262, 0  # the tag of TIFF, and a value of it
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "LA": 2}  # of a pixel by mode; others have 4


def read(data: bytes) -> Stored:
  """Returns the first page of a file; grey, RGB, or the colours of its palette.

  Raises:
    UserError: the picture is too large.
    Exception: Pillow cannot read the file, above all one that is cut short; it raises many classes.
  """
  logging.getLogger("PIL").setLevel(logging.CRITICAL)  # its own lines name no file
  with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
    kind, num_pages = picture.format, getattr(picture, "n_frames", 1)
    has_16_bits = kind == "PNG" and png.has_16_bits(data)
    size = 8 if has_16_bits else _BYTES.get(picture.mode, 3)
    check_num_pixels(picture.height, picture.width, size)
    # Pillow turns TIFF upright by itself; the tag of a TIFF is therefore not read.
    orientation = 1 if kind == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
    is_white = kind == "TIFF" and _is_min_white(picture)
    picture.load()  # Pillow refuses most files that are cut short, where OpenCV fills them up
    if has_16_bits:
      values, is_transparent = png.read_16_bits(data)
    else:
      values, is_transparent = _values(picture), _is_transparent(picture)
    indices = np.asarray(picture) if picture.mode == "P" else None
    is_converted = picture.mode in ("CMYK", "LAB", "HSV")
  return Stored(
    values,
    orientation if orientation in range(1, 9) else 1,
    inverted=is_white and values.dtype != np.uint8,  # Pillow inverts those of 8 bits alone
    indices=indices,
    note=f"the first of {num_pages} pages" if num_pages > 1 else "",
    changes=(
      (TRANSPARENT,) * is_transparent + (WHITE_IS_ZERO,) * is_white + (CONVERTED,) * is_converted
    ),
  )


def _values(picture: Image.Image) -> np.ndarray:
  """Returns the values of a picture of Pillow: [H, W] of any type, or [H, W, 3] uint8."""
  if picture.mode.startswith(("I", "F")):  # one channel of more than 8 bits
    return np.asarray(picture)
  grey = picture.mode in ("1", "L", "LA", "La")
  return np.asarray(picture.convert("L" if grey else "RGB"))


def _is_transparent(picture: Image.Image) -> bool:
  """Returns whether any pixel is not opaque."""
  if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
    alpha = picture.getchannel("A")
  elif "transparency" in picture.info and picture.mode in ("1", "L", "P", "RGB"):
    alpha = picture.convert("RGBA").getchannel("A")
  else:
    return False
  least = alpha.getextrema()[0]
  return isinstance(least, int) and least < 255


def _is_min_white(picture: Image.Image) -> bool:
  """Returns whether a TIFF says that 0 is white; Pillow has inverted it then."""
  tags = getattr(picture, "tag_v2", {})
  return tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE
