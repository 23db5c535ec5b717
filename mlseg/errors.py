"""The exception for wrong use and bad input, and functions that raise it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class UserError(ValueError):
  """Wrong use or bad input: one line that names the argument or file, the rule and the value.

  The command line prints its text without a traceback and exits with code 2.
  """


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


@contextmanager
def user_errors(section: str) -> Iterator[None]:
  """Turns a TypeError or ValueError of the block into a UserError that names a config section."""
  try:
    yield
  except UserError:
    raise
  except (TypeError, ValueError) as error:
    raise UserError(f"{section}: {error}") from error
