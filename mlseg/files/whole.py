"""Whole files or none: written under a temporary name; read only where they are regular files."""

import errno
import os
import pathlib
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from mlseg.errors import UserError, one_line

_TEMPORARY = re.compile(r"\.\d+-[0-9a-f]{8}\.mlseg-tmp")
_STALE = 3600.0  # seconds without a change after which no process is writing a temporary file


def write_file(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a whole file or nothing: to a temporary name, then renamed.

  Args:
    path: of the file; its folder must exist.
    content: text is written as UTF-8. Bytes of a file's name that are no text, which Python keeps
      as surrogates, are written as they were.

  Raises:
    OSError: the file cannot be written; the old one, where there is one, is still there.
  """
  with replacing(path) as file:
    file.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)


@contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Gives a file to write to, which takes the name when the block ends, and is removed if it fails.

  Args:
    path: of the file; its folder must exist.

  Raises:
    OSError: as `write_file`.
  """
  temporary = temporary_beside(path)
  try:
    with os.fdopen(open_new(temporary), "wb") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  except OSError as error:
    error.filename, error.filename2 = str(path), None  # not the temporary name, or none
    raise
  finally:
    temporary.unlink(missing_ok=True)


def temporary_beside(path: pathlib.Path) -> pathlib.Path:
  """Returns a name in the folder of a file that no other file has; it is short for long names."""
  return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.mlseg-tmp")


def open_new(path: pathlib.Path) -> int:
  """Returns the descriptor of a new file for writing; a file or a link that is there is refused."""
  flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
  return os.open(path, flags, 0o666)


def remove_temporaries(folder: pathlib.Path, older_than: float = _STALE) -> None:
  """Removes the temporary files that a killed process left in a folder.

  Args:
    folder: it need not exist.
    older_than: seconds since their last change; 0 in a folder that no other process writes.
  """
  try:
    entries = [entry for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]
    for entry in entries:
      if time.time() - entry.stat(follow_symlinks=False).st_mtime >= older_than:
        os.unlink(entry.path)
  except OSError:
    return  # it is somebody else's, or gone: what it costs is room


def read_bytes(path: pathlib.Path) -> bytes:
  """Returns the content of a regular file; a pipe or a device is refused, since it may never end.

  Raises:
    OSError: it cannot be read, or is no regular file.
  """
  with os.fdopen(open_regular(path), "rb") as file:
    return file.read()


def open_regular(path: pathlib.Path, flags: int = os.O_RDONLY) -> int:
  """Returns the descriptor of a regular file, without waiting for the other end of a pipe.

  Args:
    path: of the file.
    flags: of `os.open`.

  Raises:
    OSError: it cannot be opened, or is no regular file.
  """
  descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", str(path))
  return descriptor


@contextmanager
def reading(what: object) -> Iterator[None]:
  """Turns any error while a file is read into a UserError that names the file.

  Args:
    what: the file, or words for several.

  Raises:
    UserError: it cannot be read, or its content is damaged.

  Example:
    >>> with reading("numbers.txt"):
    ...   float("many")
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: numbers.txt is damaged: ValueError: could not convert string to float: \
'many'
  """
  try:
    yield
  except UserError:
    raise
  except OSError as error:
    raise UserError(f"{error.filename or what} cannot be read ({error.strerror})") from error
  except Exception as error:  # json, csv, zip and numpy raise many things
    raise UserError(f"{what} is damaged: {one_line(error, 150)}") from error
