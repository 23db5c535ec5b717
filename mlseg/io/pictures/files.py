"""Picture files: finding them in a folder, and the one reader of pictures and of masks.

The kinds are PNG, JPEG, BMP, TIFF, GIF, WebP, PNM, JPEG 2000 and DICOM; grey, coloured or with a
palette; of 1 to 32 bits. Training and prediction read by the same function. A file that is cut
short or damaged is an error wherever its format shows it. What a reader changes or ignores is
right, or refused, or among the `changes` of what it returns.
"""

import contextlib
import io
import os
import pathlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from PIL import Image

from mlseg.errors import UserError, one_line, printable
from mlseg.io.pictures import dicom, pillow, png, tiff
from mlseg.io.pictures.picture import (
  TRANSPARENT,
  TURNED,
  WHITE_IS_ZERO,
  Picture,
  Stored,
  shown,
  turn_upright,
)

SUFFIXES = (
  ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom", ".gif", ".webp", ".pgm",
  ".ppm", ".pnm", ".jp2",
)  # fmt: skip
_SIGNATURES = {  # the first bytes of a file of each kind
  png.SIGNATURE: "PNG",
  b"\xff\xd8\xff": "JPEG",
  b"BM": "BMP",
  b"II*\0": "TIFF",
  b"MM\0*": "TIFF",
  b"II+\0": "TIFF",
  b"MM\0+": "TIFF",
  b"GIF8": "GIF",
  b"\0\0\0\x0cjP  ": "JPEG 2000",
  b"P4\n": "PNM",
  b"P5\n": "PNM",
  b"P6\n": "PNM",
}
_HEAD = 132  # the number of bytes that show the kind of a file
_Contents = TypeVar("_Contents")


def natural_key(path: pathlib.PurePath) -> list[Any]:
  """Returns a key that sorts file names by the numbers in them.

  Example:
    >>> paths = [pathlib.Path("benign (10).png"), pathlib.Path("benign (9).png")]
    >>> [path.stem for path in sorted(paths, key=natural_key)]
    ['benign (9)', 'benign (10)']
  """
  return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


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

  DICOM files of old exports begin without the 128 bytes and 'DICM'.

  Example:
    >>> kind_of(b"BM6..."), kind_of(b"%PDF-1.7")
    ('BMP', None)
  """
  if head[128:132] == b"DICM" or dicom.begins_without_preamble(head):
    return "DICOM"
  if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
    return "WebP"
  return next((kind for start, kind in _SIGNATURES.items() if head.startswith(start)), None)


def read(path: pathlib.Path, scaling: str = "minmax") -> Picture:
  """Returns the picture of a file of any known kind, upright; of several pages or frames the first.

  Args:
    path: the file.
    scaling: how values of more than 8 bits become 8 bits, see `picture.to_eight_bits`.

  Raises:
    UserError: the file cannot be read, or is not a whole picture. The message is one line that
      begins with the path.
  """
  return _read(path, lambda data: _picture(data, path.suffix.lower(), scaling))


def read_mask(path: pathlib.Path) -> Stored:
  """Returns the values of a mask as the file has them, upright.

  Where 0 is white (min-is-white), values are inverted, as the file asks.

  Raises:
    UserError: the file cannot be read, is not a whole picture, holds several, or has its shape in
      its transparency alone. The message is one line that begins with the path.
  """
  return _read(path, lambda data: _mask(data, path.suffix.lower()))


def unfolded_bytes(content: pathlib.Path | bytes) -> int:
  """Returns the bytes that a picture takes in memory, as the head of its file says.

  Where the head cannot be read, it is the size of the file, and 0 where there is no file.

  Args:
    content: path of the file, or what is in it.
  """
  if isinstance(content, pathlib.Path) and not content.is_file():
    return 0  # opening a pipe would wait for its other end
  try:
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    with Image.open(source, formats=pillow.FORMATS) as picture:
      return picture.height * picture.width * (8 if picture.mode.startswith("I") else 4)
  except Exception:  # Pillow raises any class, above all for files that are cut short
    return len(content) if isinstance(content, bytes) else content.stat().st_size


class _Budget:
  """Bytes of memory that threads share; one that wants more than there is gets it alone."""

  def __init__(self, num_bytes: int) -> None:
    self._free = self._all = num_bytes
    self._changed = threading.Condition()

  @contextlib.contextmanager
  def taken(self, num_bytes: int) -> Iterator[None]:
    """Waits until there are as many bytes, and holds them while the block runs."""
    own = min(num_bytes, self._all)
    with self._changed:
      self._changed.wait_for(lambda: self._free >= own)
      self._free -= own
    try:
      yield
    finally:
      with self._changed:
        self._free += own
        self._changed.notify_all()


_AT_ONCE = _Budget(2**28)  # of pictures that are decoded side by side


def _read(path: pathlib.Path, decode: Callable[[bytes], _Contents]) -> _Contents:
  """Returns what is decoded from a file; every error is of one line that begins with the path."""
  name = printable(str(path))
  try:
    if path.exists() and not path.is_file():
      raise UserError(f"{name}: is not a file")  # reading a pipe would wait for its other end
    data = path.read_bytes()
  except OSError as error:
    raise UserError(f"{name}: cannot be read ({error.strerror})") from error
  try:
    with _AT_ONCE.taken(unfolded_bytes(data)):
      return decode(data)
  except UserError as error:
    raise UserError(f"{name}: {error}") from error
  except Exception as error:  # decoders raise any class, above all for files that are cut short
    text = one_line(error).rstrip(":")
    reason = "unknown content" if "BytesIO" in text else text  # without the address of our buffer
    raise UserError(f"{name}: is not a readable picture ({reason})") from error


def _kind(data: bytes, suffix: str) -> str:
  """Returns the kind of the content of a file."""
  if not data:
    raise UserError("the file is empty")
  kind = kind_of(data[:_HEAD])
  if kind == "PNG" and not png.is_whole(data):
    raise UserError("is cut short or damaged")
  if kind is None and suffix in (".dcm", ".dicom"):
    return "DICOM"
  if kind is None:
    raise UserError("is not a PNG, JPEG, BMP, TIFF, GIF, WebP, PNM, JPEG 2000 or DICOM picture")
  return kind


def _picture(data: bytes, suffix: str, scaling: str) -> Picture:
  kind = _kind(data, suffix)
  return dicom.read(data, scaling) if kind == "DICOM" else shown(_stored(data, kind), scaling)


def _mask(data: bytes, suffix: str) -> Stored:
  kind = _kind(data, suffix)
  stored = dicom.read_stored(data) if kind == "DICOM" else _stored(data, kind)
  if stored.note:
    raise UserError(f"is a mask with more than one picture ({stored.note})")
  values, indices, changes = stored.values, stored.indices, stored.changes
  if TRANSPARENT in changes and values.size and (values == values[:1, :1]).all():
    raise UserError("is a mask whose shape is in its transparency; save it as grey values")
  if stored.inverted:
    values = values.max() - values
    changes = (*changes, WHITE_IS_ZERO)
  if stored.orientation != 1:
    values = turn_upright(values, stored.orientation)
    indices = None if indices is None else turn_upright(indices, stored.orientation)
    changes = (*changes, TURNED)
  return Stored(values, indices=indices, changes=changes)


def _stored(data: bytes, kind: str) -> Stored:
  """Returns the values of a file that is not DICOM."""
  return (tiff.read(data) if kind == "TIFF" else None) or pillow.read(data)
