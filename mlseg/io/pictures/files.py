"""Picture files: finding them in a folder, and the one function that reads them.

The kinds are PNG, JPEG, BMP, TIFF and DICOM; grey, coloured or with a palette; of 1 to 32 bits. A
file that is cut short or damaged is an error wherever its format shows it.
"""

import io
import os
import pathlib
import re
from typing import Any

import numpy as np
from PIL import Image

from mlseg.errors import UserError
from mlseg.io.pictures import dicom, png, tiff
from mlseg.io.pictures.picture import Picture, to_eight_bits, turn_upright

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
_SIGNATURES = {  # the first bytes of a file of each kind
  png.SIGNATURE: "PNG",
  b"\xff\xd8\xff": "JPEG",
  b"BM": "BMP",
  b"II*\0": "TIFF",
  b"MM\0*": "TIFF",
  b"II+\0": "TIFF",
  b"MM\0+": "TIFF",
}
_HEAD = 132  # the number of bytes that show the kind of a file
_ORIENTATION = 0x0112  # the tag of EXIF


def natural_key(path: pathlib.PurePath) -> list[Any]:
  """Returns a key that sorts file names by the numbers in them.

  Example:
    >>> paths = [pathlib.Path("benign (10).png"), pathlib.Path("benign (9).png")]
    >>> [path.stem for path in sorted(paths, key=natural_key)]
    ['benign (9)', 'benign (10)']
  """
  return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def find(source: pathlib.Path, without: pathlib.Path) -> tuple[list[pathlib.Path], int]:
  """Returns the picture files below a folder, sorted, and the number of other files there.

  A file is a picture by its suffix or by its first bytes. Hidden files, hidden folders and links to
  folders are passed over.

  Args:
    source: a folder, or one file.
    without: a folder that is passed over.

  Raises:
    UserError: the source does not exist or cannot be read.
  """
  if source.is_file():
    return [source], 0
  if not source.is_dir():
    raise UserError(f"--images: {source} does not exist")

  def fail(error: OSError) -> None:
    raise UserError(f"--images: {error.filename} cannot be read ({error.strerror})")

  pictures, num_others = [], 0
  for folder, folders, names in os.walk(source, onerror=fail):
    here = pathlib.Path(folder)
    folders[:] = [
      name
      for name in folders
      if not name.startswith(".") and (here / name).resolve() != without.resolve()
    ]
    for path in (here / name for name in names if not name.startswith(".")):
      # A DICOMDIR is the table of contents of a disc, not a picture.
      if path.name.upper() == "DICOMDIR":
        num_others += 1
      elif path.suffix.lower() in SUFFIXES or _kind_of_file(path):
        pictures.append(path)
      else:
        num_others += 1
  return sorted(pictures), num_others


def _kind_of_file(path: pathlib.Path) -> str | None:
  if not path.is_file():  # opening a pipe would wait for its other end
    return None
  try:
    with path.open("rb") as file:
      return kind_of(file.read(_HEAD))
  except OSError:
    return None


def kind_of(head: bytes) -> str | None:
  """Returns the kind of a file by its first 132 bytes; None: it is no picture of a known kind.

  Example:
    >>> kind_of(b"BM6..."), kind_of(b"GIF89a")
    ('BMP', None)
  """
  if head[128:132] == b"DICM":
    return "DICOM"
  return next((kind for start, kind in _SIGNATURES.items() if head.startswith(start)), None)


def read(path: pathlib.Path, scaling: str) -> Picture:
  """Returns the picture of a file of any known kind, upright; of several pages or frames the first.

  Transparency is dropped, as in training. The orientation in the EXIF data is applied.

  Args:
    path: the file.
    scaling: how values of more than 8 bits become 8 bits, see `picture.to_eight_bits`.

  Raises:
    UserError: the file cannot be read, or is not a whole picture. The message is one line that
      begins with the path.
  """
  return _read(path, scaling, palette_index=False)


def read_8_bits(path: pathlib.Path, *, palette_index: bool = False) -> np.ndarray:
  """Returns the pixels of a file of a data set: [H, W] or RGB [H, W, 3], uint8.

  It is stricter than `read`, because a data set must not be changed unnoticed: more than 8 bits are
  refused, and the orientation in EXIF data is not applied, since masks rarely have it. All formats
  of Pillow are read, but not DICOM. Pictures of 1 bit become 0 and 255.

  Args:
    path: the file.
    palette_index: whether a picture with a palette gives its indices [H, W] and not its colours.

  Raises:
    UserError: the file cannot be read, is not a whole picture, or has more than 8 bits per channel.
  """
  return _read(path, None, palette_index).pixels


def _read(path: pathlib.Path, scaling: str | None, palette_index: bool) -> Picture:
  """Returns the picture of a file; without a scaling under the rules of `read_8_bits`."""
  try:
    if path.exists() and not path.is_file():
      raise UserError(f"{path}: is not a file")  # reading a pipe would wait for its other end
    data = path.read_bytes()
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  try:
    return _decode(data, path.suffix.lower(), scaling, palette_index)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  except Exception as error:  # decoders raise any class, above all for files that are cut short
    raise UserError(f"{path}: is not a readable picture ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
  """Returns the first line of the message of a decoder, without the address of our buffer."""
  lines = str(error).strip().splitlines()
  text = lines[0].rstrip(":") if lines else type(error).__name__
  return "unknown content" if "BytesIO" in text else text


def _decode(data: bytes, suffix: str, scaling: str | None, palette_index: bool) -> Picture:
  """Returns the picture of the content of a file; see `_read`."""
  if not data:
    raise UserError("the file is empty")
  kind = kind_of(data[:_HEAD])
  if kind == "PNG" and not png.is_whole(data):
    raise UserError("is cut short or damaged")
  if scaling is None:
    return Picture(_decode_8_bits(data, palette_index))
  if kind == "DICOM" or (kind is None and suffix in (".dcm", ".dicom")):
    return dicom.read(data, scaling)
  if kind is None:
    raise UserError("is not a PNG, JPEG, BMP, TIFF or DICOM picture")
  picture = tiff.read(data, scaling) if kind == "TIFF" else None
  return picture or _decode_any_bits(data, scaling)


def _decode_8_bits(data: bytes, palette_index: bool) -> np.ndarray:
  """Returns the pixels of a picture of at most 8 bits per channel, in any format of Pillow."""
  with Image.open(io.BytesIO(data)) as picture:
    picture.load()  # Pillow refuses most files that are cut short, where OpenCV fills them up
    if _is_deep(picture):
      raise UserError("has more than 8 bits a channel; save it with 8")
    return np.asarray(picture) if picture.mode == "P" and palette_index else _values(picture)


def _decode_any_bits(data: bytes, scaling: str) -> Picture:
  """Returns the first page of a PNG, JPEG, BMP or TIFF file, upright."""
  with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "BMP", "TIFF")) as picture:
    kind, num_pages = picture.format, getattr(picture, "n_frames", 1)
    picture.load()
    # Pillow turns TIFF upright by itself.
    orientation = 1 if kind == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
    is_16_bit_png = kind == "PNG" and png.has_16_bits(data)
    values = png.read_16_bits(data) if is_16_bit_png else _values(picture)
  note = f"the first of {num_pages} pages" if num_pages > 1 else ""
  return Picture(turn_upright(to_eight_bits(values, scaling), orientation), note=note)


def _is_deep(picture: Image.Image) -> bool:
  """Returns whether a picture of Pillow has one channel of more than 8 bits."""
  return picture.mode.startswith(("I", "F"))


def _values(picture: Image.Image) -> np.ndarray:
  """Returns the values of a picture of Pillow: [H, W] of any type, or [H, W, 3] uint8."""
  if _is_deep(picture):
    return np.asarray(picture)
  grey = picture.mode in ("1", "L", "LA", "La")
  return np.asarray(picture.convert("L" if grey else "RGB"))
