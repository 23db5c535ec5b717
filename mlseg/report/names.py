"""Names of runs, made fit for texts, figures and file names."""

import re
from collections.abc import Sequence


def file_name(kind: str, number: int, name: str) -> str:
  """Returns a file name of plain letters for the figure of a run; the number makes it unique.

  Example:
    >>> file_name("weights", 3, "mad+focal, größer")
    'weights-03-mad-focal-gr-er'
  """
  plain = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]
  return f"{kind}-{number:02}-{plain or 'run'}"


def listed(names: Sequence[str], most: int = 6) -> str:
  """Returns names as a list in words; where there are many, the last ones are only counted.

  Example:
    >>> listed(["a", "b", "c"])
    'a, b and c'
    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
  """
  if len(names) > most + 1:
    names = [*names[:most], f"{len(names) - most} more"]
  return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
