"""The exception for wrong use and bad input, and functions that raise it."""

import errno
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class UserError(ValueError):
  """Wrong use or bad input: one line that names the argument or file, the rule and the value.

  The command line prints its text without a traceback and exits with code 2. The text is made
  `printable`, since it may hold names and values from files.
  """

  def __init__(self, text: object = ""):
    super().__init__(printable(text))


def unknown(kind: str, name: object, choices: Iterable[str]) -> UserError:
  """Returns the error for a name that is not among the choices.

  Args:
    kind: the kind of thing that is named, as a user would call it: 'loss', 'weighting'.
    name: the name that was given.
    choices: the names that exist.

  Example:
    >>> print(unknown("loss", "dise", ["soft_dice", "focal"]))
    unknown loss 'dise': choose from focal, soft_dice
  """
  return UserError(f"unknown {kind} {name!r}: choose from {', '.join(sorted(choices))}")


def require(condition: bool, rule: str, value: Any) -> None:
  """Raises a UserError that names the rule and the value if the condition does not hold."""
  if not condition:
    raise UserError(f"{rule}, not {value!r}")


_OF_MACHINE = {
  errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
  errno.ENAMETOOLONG, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.ENOTDIR, errno.EPERM,
  errno.EROFS, errno.ESTALE,
}  # fmt: skip


# What libraries in C++ say of a disk, as text of errors of their own.
_SIGNS = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE)))


def machine_fault(error: BaseException) -> str | None:
  """Returns what a disk, a permission or the memory refused, in one line; None for other errors.

  Args:
    error: of any library; its causes are looked at, too.

  Example:
    >>> machine_fault(OSError(errno.ENOSPC, "No space left on device", "runs/a/model.npz"))
    'runs/a/model.npz: No space left on device'
    >>> machine_fault(ValueError("of the code")) is None
    True
  """
  seen: BaseException | None = error
  while seen is not None:
    if isinstance(seen, OSError) and seen.errno in _OF_MACHINE:
      where = f"{seen.filename}: " if seen.filename else ""
      return printable(f"{where}{seen.strerror}")
    if said := next((sign for sign in _SIGNS if sign in str(seen)), None):
      return said
    if isinstance(seen, MemoryError) or "RESOURCE_EXHAUSTED" in str(seen)[:1000]:
      return printable(f"out of memory, or of room on a disk: {one_line(seen, 200)}")
    seen = seen.__cause__ or seen.__context__
  return None


@contextmanager
def machine_faults() -> Iterator[None]:
  """Turns an error of the block that a full disk and the like caused into a UserError.

  Example:
    >>> with machine_faults():
    ...   raise OSError(errno.ENOSPC, "No space left on device", "a.png")
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: a.png: No space left on device
  """
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    fault = machine_fault(error)
    if fault is None:
      raise
    raise UserError(fault) from error


@contextmanager
def user_errors(section: str) -> Iterator[None]:
  """Turns a TypeError or ValueError of the block into a UserError that names a config section."""
  try:
    yield
  except UserError:
    raise
  except (TypeError, ValueError) as error:
    raise UserError(f"{section}: {error}") from error


def one_line(error: BaseException, most: int = 300) -> str:
  r"""Returns what an error says in one line: its type, and its text without control characters.

  Args:
    error: of a library, or of code of the user's.
    most: characters of the text that are kept.

  Example:
    >>> one_line(ValueError("cut short\n  at row 3\x1b[2J"))
    'ValueError: cut short at row 3?[2J'
  """
  text = printable(" ".join(str(error).split()))
  kind = type(error).__name__
  return f"{kind}: {text[:most]}" if text else kind


def printable(text: object) -> str:
  r"""Returns text for a message, in one line and without what could steer a terminal.

  Ends of lines and tabs become spaces. Other control characters, marks that reverse the order of
  letters, and bytes of a file's name that are no text become '?'.

  Example:
    >>> printable("scan\x1b[31m\n.png")
    'scan?[31m .png'
  """
  return "".join(map(_printable_sign, str(text)))


_TURNING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f"}


def _printable_sign(sign: str) -> str:
  if sign in "\t\n\v\f\r\x85\u2028\u2029":
    return " "
  return "?" if unicodedata.category(sign) in ("Cc", "Cs") or sign in _TURNING else sign
