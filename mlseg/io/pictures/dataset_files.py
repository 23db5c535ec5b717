"""Picture files: read whole or not at all, made grey, written as PNG, put in order."""

import io
import pathlib
import re
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mlseg.errors import UserError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEEP_MODES = ("I", "F")  # and those that begin with 'I;16': more than 8 bits a channel


def natural_key(path: pathlib.PurePath) -> list[Any]:
  """Returns what sorts names by the numbers in them.

  Example:
    >>> paths = [pathlib.Path("benign (10).png"), pathlib.Path("benign (9).png")]
    >>> [path.stem for path in sorted(paths, key=natural_key)]
    ['benign (9)', 'benign (10)']
  """
  return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def read_picture(path: pathlib.Path, *, palette_index: bool = False) -> np.ndarray:
  """Returns a picture [H, W] or [H, W, 3], uint8; 1-bit pictures become 0 and 255.

  Args:
    path: of the file.
    palette_index: whether a picture with a palette gives its indices [H, W] and not its colours.

  Raises:
    UserError: the file is empty, cut short, not a picture, or has more than 8 bits a channel.
  """
  data = _read(path)
  if not data:
    raise UserError(f"{path}: the file is empty")
  if data.startswith(PNG_SIGNATURE) and not _is_whole_png(data):
    raise UserError(f"{path}: is cut short or damaged")
  try:
    with Image.open(io.BytesIO(data)) as picture:
      picture.load()  # PIL refuses most of what is cut short, where OpenCV fills it up
      if picture.mode in DEEP_MODES or picture.mode.startswith("I;16"):
        raise UserError(f"{path}: has more than 8 bits a channel; save it with 8")
      if picture.mode == "P" and palette_index:
        return np.asarray(picture)
      grey = picture.mode in ("1", "L")
      return np.asarray(picture.convert("L" if grey else "RGB"))
  except UserError:
    raise
  except (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError
  ) as error:  # fmt: skip
    raise UserError(f"{path}: is not a readable picture ({error})") from error


def _read(path: pathlib.Path) -> bytes:
  try:
    return path.read_bytes()
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _is_whole_png(data: bytes) -> bool:
  """Returns whether every chunk is there with its checksum, up to the one that ends a PNG.

  PIL reads a file without its last 20 bytes, and some with a damaged byte, as if all were well.
  """
  start = len(PNG_SIGNATURE)
  while start + 12 <= len(data):  # a chunk: length, name, content, checksum
    end = start + 8 + int.from_bytes(data[start : start + 4])
    checksum = int.from_bytes(data[end : end + 4])
    if end + 4 > len(data) or zlib.crc32(data[start + 4 : end]) != checksum:
      return False
    if data[start + 4 : start + 8] == b"IEND":
      return True
    start = end + 4
  return False


def check_size(mask: np.ndarray, mask_path: pathlib.Path, picture: np.ndarray, of: str) -> None:
  """Raises a UserError where a mask has another size than its picture, named `of`."""
  if mask.shape[:2] != picture.shape[:2]:
    size, expected = (f"{shape[0]}×{shape[1]}" for shape in (mask.shape, picture.shape))
    raise UserError(f"{mask_path}: is {size}, but its picture {of} is {expected}")


def to_grey(image: np.ndarray) -> np.ndarray:
  """Returns [H, W] uint8 from [H, W] or RGB [H, W, 3], by the luma of ITU-R BT.601."""
  return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def to_colour(image: np.ndarray) -> np.ndarray:
  """Returns RGB [H, W, 3] from [H, W] or RGB [H, W, 3]."""
  return np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image


def encode(image: np.ndarray, smallest: bool) -> bytes:
  """Returns a picture [H, W] or RGB [H, W, 3] as PNG, as small as it gets or as fast as it gets."""
  content = io.BytesIO()
  Image.fromarray(image).save(content, "PNG", optimize=smallest, compress_level=1)
  return content.getvalue()
