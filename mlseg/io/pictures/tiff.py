"""TIFF files with more than 8 bits, read by tifffile."""

import io
import logging

import numpy as np
import tifffile

from mlseg.errors import UserError
from mlseg.io.pictures.picture import TRANSPARENT, Stored, check_num_pixels

_ORIENTATION = 0x0112  # number of the tag
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2  # photometric interpretations


def read(data: bytes) -> Stored | None:
  """Returns the first page of a TIFF file; None: it is better read by Pillow.

  Pillow knows more compressions, tifffile more number types. Therefore Pillow reads pages of 8
  bits, and those that tifffile cannot decompress.

  Args:
    data: content of the file.

  Raises:
    UserError: the picture is too large, or the page is not a picture.
    Exception: tifffile cannot read the file; it raises many classes.
  """
  logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its own lines name no file
  with tifffile.TiffFile(io.BytesIO(data)) as file:
    page = file.pages.first
    check_num_pixels(page.imagelength, page.imagewidth)
    photometric = int(page.photometric)
    numbers = (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB)
    if page.dtype is None or page.dtype.itemsize == 1 or photometric not in numbers:
      return None
    size = page.dtype.itemsize * page.samplesperpixel
    check_num_pixels(page.imagelength, page.imagewidth, size)
    try:
      values = page.asarray()
    except ValueError as error:
      if "imagecodecs" not in str(error):
        raise
      return None
    num_pages, axes = len(file.pages), page.axes
    orientation = int(page.tags.valueof(_ORIENTATION, 1))
  if axes == "SYX":
    values = np.moveaxis(values, 0, -1)
  elif axes not in ("YX", "YXS"):
    raise UserError(f"is a TIFF file with the axes {axes}, which is not a picture")
  has_more = values.ndim == 3 and values.shape[-1] > (3 if photometric == _RGB else 1)
  if values.ndim == 3:
    values = values[..., :3] if photometric == _RGB else values[..., 0]
  return Stored(
    values,
    orientation if orientation in range(1, 9) else 1,
    inverted=photometric == _MIN_IS_WHITE,
    note=f"the first of {num_pages} pages" if num_pages > 1 else "",
    changes=(TRANSPARENT,) * has_more,
  )
