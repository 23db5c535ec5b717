"""Downloads a file once, complete and with the right checksum, or tells where to put it by hand."""

import hashlib
import http.client
import os
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

from mlseg import files
from mlseg.errors import UserError

_CHUNK = 2**20
_TIMEOUT = 30.0  # seconds without an answer


class Checksum(NamedTuple):
  """The checksum of a file's content."""

  algorithm: str  # 'sha256' or 'md5'
  digest: str  # its hexadecimal digits, or the first of them

  def fits(self, found: str) -> bool:
    """Returns whether these are the digits of the right content."""
    return found.startswith(self.digest)


def fetch(
  url: str, checksum: Checksum | None, folder: pathlib.Path, report: Callable[[str], None]
) -> pathlib.Path:
  """Returns the path of a URL's file in a folder, and downloads the file if it is not there yet.

  A file that is already there is checked like a downloaded one. A download gets its name only once
  it is complete and checked.

  Args:
    url: the address; its last part is the file's name.
    checksum: the checksum that the content must have; None if its owner publishes none.
    folder: the folder that holds the file.
    report: called with a line of text before a download and after the check.

  Raises:
    UserError: the file cannot be downloaded, or its checksum is wrong.
  """
  path = folder / url.rsplit("/", 1)[-1]
  if path.exists():
    check(path, checksum, url, "delete it, and it is downloaded anew", report)
    return path
  report(f"pretrained weights: downloading {url}")
  temporary = files.temporary_beside(path)
  by_hand = f"to go on without network, put the file of {url} there: {path}"
  try:
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_temporaries(folder)
    try:
      _download(url, temporary)
      found = _digest(temporary, checksum)
      if checksum and not checksum.fits(found):
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
  report(f"pretrained weights: kept as {path}{_proof(checksum, found)}")
  return path


def check(
  path: pathlib.Path,
  checksum: Checksum | None,
  source: str,
  remedy: str,
  report: Callable[[str], None],
) -> None:
  """Checks the content of a file that is there already.

  Args:
    path: the file.
    checksum: the checksum that the content must have; None if its owner publishes none.
    source: where the file comes from, for the message.
    remedy: what to do about another file, for the message.
    report: called with a line of text after the check.

  Raises:
    UserError: the file cannot be read, or its checksum is wrong.
  """
  with files.reading(path):
    found = _digest(path, checksum)
  if checksum and not checksum.fits(found):
    raise UserError(
      f"{path} has the {checksum.algorithm} {found}, not {checksum.digest}: not the file of"
      f" {source}, or damaged; {remedy}"
    )
  report(f"pretrained weights: {path}{_proof(checksum, found)}")


def _download(url: str, path: pathlib.Path) -> None:
  """Writes the content of a URL to a file.

  Raises:
    OSError: the download failed, or ended early.
  """
  with (
    urllib.request.urlopen(url, timeout=_TIMEOUT) as answer,
    os.fdopen(files.open_new(path), "wb") as file,
  ):
    expected = answer.headers.get("Content-Length")
    while chunk := answer.read(_CHUNK):
      file.write(chunk)
    if expected is not None and file.tell() != int(expected):
      raise urllib.error.URLError(f"{file.tell()} of {expected} bytes came")


def _digest(path: pathlib.Path, checksum: Checksum | None) -> str:
  with os.fdopen(files.open_regular(path), "rb") as file:
    return hashlib.file_digest(file, checksum.algorithm if checksum else "sha256").hexdigest()


def _proof(checksum: Checksum | None, found: str) -> str:
  """Returns how a file's content was checked, for the end of a message."""
  if checksum:
    return f" ({checksum.algorithm} as released)"
  return f" (its owner gives no checksum; sha256 {found})"
