"""Names of runs, which come from files, as words of a text and as names of files."""

import re
from collections.abc import Sequence


def file_name(kind: str, place: int, name: str) -> str:
  """Returns a name of plain letters for the figure of a run; the place keeps names apart.

  Example:
    >>> file_name("weights", 3, "mad+focal, größer")
    'weights-03-mad-focal-gr-er'
  """
  plain = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]
  return f"{kind}-{place:02}-{plain or 'run'}"


def listed(names: Sequence[str], most: int = 6) -> str:
  """Returns names as a list in words, the last ones counted where there are many.

  Example:
    >>> listed(["a", "b", "c"])
    'a, b and c'
    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
  """
  if len(names) > most + 1:
    names = [*names[:most], f"{len(names) - most} more"]
  return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def wrapped(name: str, width: int) -> str:
  r"""Returns a name in lines of at most so many letters.

  Example:
    >>> wrapped("abcde", 2)
    'ab\ncd\ne'
  """
  return "\n".join(name[start : start + width] for start in range(0, len(name), width))
