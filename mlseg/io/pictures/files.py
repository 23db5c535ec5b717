"""Reading picture files of any kind: PNG, JPEG, BMP, TIFF, DICOM; grey, colour, palette, 16 bits.

A file that is cut short or damaged is an error wherever its format lets that be seen.
"""

import io
import os
import pathlib

import cv2
import numpy as np
import tifffile
from PIL import Image

from mlseg.errors import UserError
from mlseg.io.pictures import dicom
from mlseg.io.pictures.picture import Picture, check_size, to_eight_bits

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
_SIGNATURES = {  # how a file of a kind begins
  b"\x89PNG\r\n\x1a\n": "PNG",
  b"\xff\xd8\xff": "JPEG",
  b"BM": "BMP",
  b"II*\0": "TIFF",
  b"MM\0*": "TIFF",
  b"II+\0": "TIFF",
  b"MM\0+": "TIFF",
}
_HEAD = 132  # bytes in which the kind shows
_ORIENTATION = 0x0112  # the tag of EXIF and TIFF
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2  # photometric interpretations of TIFF


def find(source: pathlib.Path, without: pathlib.Path) -> tuple[list[pathlib.Path], int]:
  """Returns the picture files below a folder, sorted, and the number of other files there.

  A picture is what is named like one, or begins like one. Hidden files and folders are not looked
  at, nor folders behind links.

  Args:
    source: a folder, or one file.
    without: a folder that is not looked at.

  Raises:
    UserError: the source is not there or cannot be read.
  """
  if source.is_file():
    return [source], 0
  if not source.is_dir():
    raise UserError(f"--images: {source} does not exist")

  def fail(error: OSError) -> None:
    raise UserError(f"--images: {error.filename} cannot be read ({error.strerror})")

  pictures, num_others = [], 0
  for folder, folders, names in os.walk(source, onerror=fail):
    place = pathlib.Path(folder)
    folders[:] = [
      name
      for name in folders
      if not name.startswith(".") and (place / name).resolve() != without.resolve()
    ]
    for path in (place / name for name in names if not name.startswith(".")):
      # A DICOMDIR is the table of contents of a disc, not a picture.
      if path.name.upper() == "DICOMDIR":
        num_others += 1
      elif path.suffix.lower() in SUFFIXES or _kind_of_file(path):
        pictures.append(path)
      else:
        num_others += 1
  return sorted(pictures), num_others


def _kind_of_file(path: pathlib.Path) -> str | None:
  if not path.is_file():  # to open a pipe would wait for its other end
    return None
  try:
    with path.open("rb") as file:
      return kind_of(file.read(_HEAD))
  except OSError:
    return None


def kind_of(head: bytes) -> str | None:
  """Returns the kind of the file that begins so, or None.

  Example:
    >>> kind_of(b"BM6..."), kind_of(b"GIF89a")
    ('BMP', None)
  """
  if head[128:132] == b"DICM":
    return "DICOM"
  return next((kind for start, kind in _SIGNATURES.items() if head.startswith(start)), None)


def read(path: pathlib.Path, scaling: str) -> Picture:
  """Returns the picture of a file; of several pages or frames the first.

  Transparency is dropped, as in training. The orientation that a camera noted is applied.

  Args:
    path: of the file.
    scaling: of values of more than 8 bits, see `picture.to_eight_bits`.

  Raises:
    UserError: the file cannot be read, or is not a whole picture; one line that begins with its
      path.
  """
  try:
    if not path.is_file():
      raise UserError("is not a file")
    data = path.read_bytes()
    if not data:
      raise UserError("the file is empty")
    kind = kind_of(data[:_HEAD])
    if kind == "DICOM" or (kind is None and path.suffix.lower() in (".dcm", ".dicom")):
      return dicom.read(data, scaling)
    if kind is None:
      raise UserError("is not a PNG, JPEG, BMP, TIFF or DICOM picture")
    return _read_tiff(data, scaling) if kind == "TIFF" else _read_common(data, scaling)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  except OSError as error:
    reason = error.strerror or _one_line(error)
    raise UserError(f"{path}: is not a readable picture ({reason})") from error
  except Exception as error:  # decoders raise anything, and most of all on what is cut short
    raise UserError(f"{path}: is not a readable picture ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
  """Returns the first line of what a library says, without the address of our buffer."""
  lines = str(error).strip().splitlines()
  text = lines[0].rstrip(":") if lines else type(error).__name__
  return "unknown content" if "BytesIO" in text else text


def _read_common(data: bytes, scaling: str) -> Picture:
  """Returns what Pillow reads: of PNG, JPEG, BMP, and of most TIFF."""
  with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "BMP", "TIFF")) as picture:
    kind, frames = picture.format, getattr(picture, "n_frames", 1)
    if kind == "PNG":
      # Pillow reads a file without its last bytes, and some with a damaged byte, as if all were
      # well, but for this look at every chunk and its checksum.
      with Image.open(io.BytesIO(data)) as again:
        again.verify()
    picture.load()
    # Pillow turns TIFF by itself, and takes the upper 8 of 16 bits of a coloured PNG.
    orientation = 1 if kind == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
    values = _sixteen_bit_png(data) if kind == "PNG" and data[24] == 16 else _values(picture)
  note = f"the first of {frames} pages" if frames > 1 else ""
  return Picture(_turn(to_eight_bits(values, scaling), orientation), note=note)


def _values(picture: Image.Image) -> np.ndarray:
  """Returns [H, W] of any type or [H, W, 3] uint8 from what Pillow has read."""
  if picture.mode.startswith(("I", "F")):  # more than 8 bits
    return np.asarray(picture)
  grey = picture.mode in ("1", "L", "LA", "La")
  return np.asarray(picture.convert("L" if grey else "RGB"))


def _sixteen_bit_png(data: bytes) -> np.ndarray:
  values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if values is None:
    raise UserError("is a PNG of 16 bits that OpenCV cannot read")
  return values if values.ndim == 2 else values[..., 2::-1]  # OpenCV's order is BGR


def _read_tiff(data: bytes, scaling: str) -> Picture:
  """Returns the first page of a TIFF file: of 8 bits by Pillow, of others by tifffile.

  Pillow knows more compressions, tifffile more types of numbers.
  """
  with tifffile.TiffFile(io.BytesIO(data)) as file:
    page = file.pages.first
    check_size(page.imagelength, page.imagewidth)
    photometric = int(page.photometric)
    numbers = (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB)
    if page.dtype is None or page.dtype.itemsize == 1 or photometric not in numbers:
      return _read_common(data, scaling)
    try:
      values = page.asarray()
    except ValueError as error:
      if "imagecodecs" not in str(error):
        raise
      return _read_common(data, scaling)
    frames, axes = len(file.pages), page.axes
    orientation = page.tags.valueof(_ORIENTATION, 1)
  if axes == "SYX":
    values = np.moveaxis(values, 0, -1)
  elif axes not in ("YX", "YXS"):
    raise UserError(f"is a TIFF file with the axes {axes}, which is not a picture")
  if values.ndim == 3:
    values = values[..., :3] if photometric == _RGB else values[..., 0]
  grey = to_eight_bits(values, scaling)
  if photometric == _MIN_IS_WHITE:
    grey = 255 - grey
  return Picture(_turn(grey, orientation), note=f"the first of {frames} pages" * (frames > 1))


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Returns a picture the right way up, by the number of its orientation in EXIF."""
  if orientation in (5, 6, 7, 8):
    pixels = np.swapaxes(pixels, 0, 1)
  if orientation in (3, 4, 7, 8):
    pixels = pixels[::-1]
  if orientation in (2, 3, 6, 7):
    pixels = pixels[:, ::-1]
  return np.ascontiguousarray(pixels)
