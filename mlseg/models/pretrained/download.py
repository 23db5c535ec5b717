"""A file from the network, once, whole and the right one, or a line that says where to put it."""

import hashlib
import http.client
import os
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

from mlseg.errors import UserError

_CHUNK = 2**20
_TIMEOUT = 30.0  # seconds without an answer


class Checksum(NamedTuple):
  """What a file's content is told by."""

  algorithm: str  # 'sha256' or 'md5'
  digest: str  # hexadecimal digits


def fetch(
  url: str, checksum: Checksum | None, folder: pathlib.Path, say: Callable[[str], None]
) -> pathlib.Path:
  """Returns the file of an address in a folder, downloaded where it is not there yet.

  A file that is there is checked as one that comes. It has its name only once it is whole.

  Args:
    url: the address; its last part is the file's name.
    checksum: that the content must have; None: the owner gives none.
    folder: where the file is, or is put.
    say: is given a line before and after.

  Raises:
    UserError: the file cannot be had, or is not the right one.
  """
  path = folder / url.rsplit("/", 1)[-1]
  if path.exists():
    found = _digest(path, checksum)
    if checksum and found != checksum.digest:
      raise UserError(
        f"{path} has the {checksum.algorithm} {found}, not {checksum.digest}: not the file of"
        f" {url}, or damaged; delete it, and it is downloaded anew"
      )
    say(f"pretrained weights: {path}{_proof(checksum, found)}")
    return path
  say(f"pretrained weights: downloading {url}")
  temporary = folder / f".{path.name}.{os.getpid()}"
  by_hand = f"to go on without network, put the file of {url} there: {path}"
  try:
    folder.mkdir(parents=True, exist_ok=True)
    try:
      _download(url, temporary)
      found = _digest(temporary, checksum)
      if checksum and found != checksum.digest:
        raise UserError(
          f"{url} gave a file with the {checksum.algorithm} {found}, not {checksum.digest}: it was"
          f" cut short or altered, and is not kept; {by_hand}"
        )
      temporary.replace(path)
    finally:
      temporary.unlink(missing_ok=True)
  except (OSError, http.client.HTTPException) as error:  # urllib's errors are OSErrors
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or repr(error)
    if isinstance(error, urllib.error.HTTPError):  # holds the connection
      error.close()
    raise UserError(f"{url} cannot be downloaded to {folder} ({reason}); {by_hand}") from error
  say(f"pretrained weights: kept as {path}{_proof(checksum, found)}")
  return path


def _download(url: str, path: pathlib.Path) -> None:
  """Writes the content of an address to a file.

  Raises:
    OSError: it cannot be had, or ended early.
  """
  with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, path.open("wb") as file:
    expected = answer.headers.get("Content-Length")
    while chunk := answer.read(_CHUNK):
      file.write(chunk)
    if expected is not None and file.tell() != int(expected):
      raise urllib.error.URLError(f"{file.tell()} of {expected} bytes came")


def _digest(path: pathlib.Path, checksum: Checksum | None) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, checksum.algorithm if checksum else "sha256").hexdigest()


def _proof(checksum: Checksum | None, found: str) -> str:
  """Returns what is known about a file's content, for the end of a line."""
  if checksum:
    return f" ({checksum.algorithm} as released)"
  return f" (its owner gives no checksum; sha256 {found})"
