"""The exception for wrong use and bad input, and functions that raise it."""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# Categories of Unicode: controls, formats, surrogates, and separators of lines and paragraphs.
_CONTROL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


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


def printable(text: str) -> str:
  r"""Returns a text, such as a file's name, with control characters as escapes.

  They are characters that end a line, move the cursor, turn the direction of writing, or cannot be
  encoded.

  Example:
    >>> printable("a\x1b[31m\n.png")
    'a\\x1b[31m\\n.png'
  """
  return "".join(
    char.encode("unicode_escape").decode() if unicodedata.category(char) in _CONTROL else char
    for char in text
  )


def one_line(error: Exception) -> str:
  r"""Returns the first line of an error's text with printable characters, or else its class.

  Example:
    >>> one_line(ValueError("it is damaged\nat byte 3"))
    'it is damaged'
  """
  lines = str(error).strip().splitlines()
  return printable(lines[0].strip()) if lines else type(error).__name__


@contextmanager
def user_errors(section: str) -> Iterator[None]:
  """Turns a TypeError or ValueError of the block into a UserError that names a config section."""
  try:
    yield
  except UserError:
    raise
  except (TypeError, ValueError) as error:
    raise UserError(f"{section}: {error}") from error
