"""Finds recipes and studies, also those that travel with the package.

A wheel holds the folder `configs/` of the repository as `mlseg/configs/`; in a clone it lies beside
the folder of the package. So `--config=configs/dmf_busi.py` works in every working directory.
"""

import os
import pathlib
from collections.abc import Sequence

from mlseg.errors import UserError

_PACKAGE = pathlib.Path(__file__).resolve().parent.parent


def find(path: str, package: pathlib.Path = _PACKAGE) -> str:
  """Returns the path of a recipe or a study.

  A file that exists as given is taken. Otherwise a relative path below `configs/` is looked up in
  the package, then beside it. A path that is found nowhere is returned as it is.

  Args:
    path: of the file; a recipe's may end with ':VARIANT', which is kept.
    package: the folder of the package mlseg.

  Returns:
    The path, absolute where it was looked up.

  Example:
    >>> find("nowhere.py:mad+none")
    'nowhere.py:mad+none'
  """
  name, colon, variant = path.partition(":")
  # Not pathlib's `exists`, which raises for a name that is too long.
  if os.path.exists(name) or pathlib.PurePath(name).parts[:1] != ("configs",):
    return path
  # An installed package does not look beside itself, where other packages are.
  folder = package if (package / "configs").is_dir() else package.parent
  found = folder / name
  return f"{found}{colon}{variant}" if os.path.isfile(found) else path


def check_is_file(path: str) -> None:
  """Raises a UserError where a recipe's path is something else than a file, such as a pipe."""
  name = path.partition(":")[0]
  if os.path.exists(name) and not os.path.isfile(name):
    raise UserError(f"{name} is no regular file: a recipe is a Python file")


def find_in_flags(argv: Sequence[str], flag: str = "config") -> list[str]:
  """Returns a command line in which the path given to a flag is the one that `find` returns.

  Args:
    argv: the words of the command line.
    flag: the name of the flag, given as --NAME=PATH or as --NAME PATH.

  Raises:
    UserError: the path is no file.

  Example:
    >>> find_in_flags(["mlseg.main", "--config=nowhere.py", "--config.seed=1"])
    ['mlseg.main', '--config=nowhere.py', '--config.seed=1']
  """
  words = list(argv)
  for index, word in enumerate(words):
    name, equals, path = word.partition("=")
    if name not in (f"-{flag}", f"--{flag}"):
      continue
    if equals:
      words[index] = f"{name}={find(path)}"
      check_is_file(find(path))
    elif index + 1 < len(words):
      words[index + 1] = find(words[index + 1])
      check_is_file(words[index + 1])
  return words
