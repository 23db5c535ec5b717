"""What the check of a data set finds: files that are bad, and files that are not of it."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from mlseg.errors import UserError, printable

_MOST_SHOWN = 20  # faults that a message lists
_MOST_NAMED = 5  # files that match nothing and are named


class Fault(NamedTuple):
  """A file, a patient or a row of a table that cannot be used, and why."""

  file: str
  reason: str


class BadDataError(UserError):
  """Several faults of a data set: the only message that has a line for each."""

  def __init__(self, title: str, lines: Sequence[str]):
    super().__init__(title)
    self.args = ("\n  ".join([printable(title), *map(printable, lines)]),)


class Findings:
  """Collects what is found, so that a check runs to its end.

  Attributes:
    faults: what cannot be used.
    unmatched: files that match nothing that the data set has.
    ids: of the rows of a table that cannot be used.
  """

  def __init__(self) -> None:
    self.faults: list[Fault] = []
    self.unmatched: list[str] = []
    self.ids: set[str] = set()

  def add(self, file: object, reason: str) -> None:
    """Adds a fault."""
    self.faults.append(Fault(printable(str(file)), reason))

  def pass_over(self, path: pathlib.PurePath | str) -> None:
    """Adds a file that matches nothing, unless it is hidden."""
    name = pathlib.PurePath(path).name
    if not name.startswith(".") and name.lower() not in ("thumbs.db", "desktop.ini"):
      self.unmatched.append(printable(str(path)))

  def notes(self, what: str = "no name of the data set") -> tuple[str, ...]:
    """Returns how many files match nothing, and the first of them."""
    if not self.unmatched:
      return ()
    count, shown = len(self.unmatched), ", ".join(self.unmatched[:_MOST_NAMED])
    more = ", ..." if count > _MOST_NAMED else ""
    verb = "file matches" if count == 1 else "files match"
    return (f"{count} {verb} {what}: {shown}{more}",)


def from_error(error: UserError) -> Fault:
  """Returns the fault in a message that begins with a file.

  Example:
    >>> from_error(UserError("a.png: the file is empty"))
    Fault(file='a.png', reason='the file is empty')
  """
  file, separator, reason = str(error).partition(": ")
  return Fault(file, reason) if separator else Fault("", file)


def refuse(faults: Sequence[Fault], hint: str = "") -> None:
  """Raises a UserError where there are faults: one in one line, several in a list.

  Args:
    faults: the first 20 are listed.
    hint: what a user can do.

  Example:
    >>> refuse([Fault("a.png", "is empty"), Fault("b.png", "is cut short")])
    Traceback (most recent call last):
    ...
    mlseg.data.findings.BadDataError: 2 faults in the data:
      a.png: is empty
      b.png: is cut short
  """
  lines = [f"{file}: {reason}" if file else reason for file, reason in faults]
  more = f" ({hint})" if hint else ""
  if len(lines) == 1:
    raise UserError(lines[0] + more)
  if lines:
    rest = len(lines) - _MOST_SHOWN
    shown = lines[:_MOST_SHOWN] + ([f"and {rest} more"] if rest > 0 else [])
    raise BadDataError(f"{len(lines)} faults in the data{more}:", shown)
