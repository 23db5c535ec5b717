"""PNG files in memory: the check for damage, reading 16 bits, and writing."""

import io
import zlib

import cv2
import numpy as np
from PIL import Image

from mlseg.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH = 24  # position in the file of the byte with the bits per channel


def is_whole(data: bytes) -> bool:
  """Returns whether all chunks up to the closing one, IEND, are there with correct checksums.

  Pillow reads a file without its last 20 bytes, and some files with a damaged byte, without an
  error.
  """
  start = len(SIGNATURE)
  while start + 12 <= len(data):  # a chunk is length (4 bytes), name (4), content, checksum (4)
    end = start + 8 + int.from_bytes(data[start : start + 4])
    checksum = int.from_bytes(data[end : end + 4])
    if end + 4 > len(data) or zlib.crc32(data[start + 4 : end]) != checksum:
      return False
    if data[start + 4 : start + 8] == b"IEND":
      return True
    start = end + 4
  return False


def has_16_bits(data: bytes) -> bool:
  """Returns whether a whole PNG file has 16 bits per channel."""
  return data[_BIT_DEPTH] == 16


def read_16_bits(data: bytes) -> tuple[np.ndarray, bool]:
  """Returns the values of a PNG file, [H, W] or RGB [H, W, 3], uint16; and if any is transparent.

  Pillow keeps only the upper 8 of 16 bits of a coloured PNG.

  Raises:
    UserError: OpenCV cannot read it.
  """
  values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if values is None:
    raise UserError("is a PNG of 16 bits that OpenCV cannot read")
  if values.ndim == 2:
    return values, False
  is_transparent = values.shape[2] == 4 and values[..., 3].min() < 65535
  return values[..., 2::-1], bool(is_transparent)  # OpenCV's order is BGR


def encode(pixels: np.ndarray, smallest: bool) -> bytes:
  """Returns a picture as a PNG file.

  Args:
    pixels: [H, W] or RGB [H, W, 3], uint8.
    smallest: whether the file is made as small as possible (slow) or as fast as possible.
  """
  content = io.BytesIO()
  Image.fromarray(pixels).save(content, "PNG", optimize=smallest, compress_level=1)
  return content.getvalue()
