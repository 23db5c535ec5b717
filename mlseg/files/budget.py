"""How much memory one file may unfold to."""

import os
import zipfile
from typing import BinaryIO

from mlseg.errors import UserError

# The most bytes that one file may unfold to, unless it is as large itself: compressed files, and
# those of fill values, can claim any size. A CT of 1,000 slices of 512×512 floats takes half of it.
UNFOLDED_BYTES = 2**31


def check_unfolded(num_bytes: int, file_bytes: int = 0) -> None:
  """Raises a UserError where a file claims to unfold to more than `UNFOLDED_BYTES`.

  Args:
    num_bytes: that the content takes in memory.
    file_bytes: size of the file; it may always unfold to as much.

  Example:
    >>> check_unfolded(10**12)
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: unfolds to 1000000000000 bytes, more than the 2147483648 that are read
  """
  if num_bytes > max(UNFOLDED_BYTES, file_bytes):
    raise UserError(f"unfolds to {num_bytes} bytes, more than the {UNFOLDED_BYTES} that are read")


def check_archive(file: BinaryIO) -> None:
  """Raises a UserError where the entries of a zip file claim more than `check_unfolded` allows.

  Args:
    file: open, at its start, where it is left.

  Raises:
    UserError: they do.
    zipfile.BadZipFile: it is no zip file.
  """
  with zipfile.ZipFile(file) as archive:
    num_bytes = sum(entry.file_size for entry in archive.infolist())
  check_unfolded(num_bytes, file.seek(0, os.SEEK_END))
  file.seek(0)
