"""Finds the runs below the folders of a command line, and names them."""

import collections
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from mlseg.errors import UserError

# Folders inside a run's folder, which hold many files and no run.
_NOT_RUNS = ("checkpoints", "figures")


def find(workdirs: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
  """Returns the folders with a `results.json` by name, in the order of the folders and of names.

  The name of a run is its path below the given folder, or the name of that folder where it is the
  run. Where two runs would have one name, the given folder is put before it.

  Args:
    workdirs: folders of runs, or folders with such folders anywhere below.

  Raises:
    UserError: a folder does not exist, or has no run.
  """
  found: dict[
    pathlib.Path, tuple[pathlib.Path, str]
  ] = {}  # a run that is found twice is shown once
  for workdir in workdirs:
    folders = _below(workdir)
    if not folders:
      raise UserError(f"no run found: there is no results.json in {workdir} or below")
    for folder in folders:
      found.setdefault(folder.resolve(), (workdir, _short(workdir, folder)))
  return {name: folder for name, folder in zip(_unique(list(found.values())), found, strict=True)}


def _below(workdir: pathlib.Path) -> list[pathlib.Path]:
  if not workdir.is_dir():
    raise UserError(f"{workdir} is not a folder of runs: no such folder")
  folders = []
  for path, names, files in os.walk(workdir, onerror=_refuse):
    names[:] = sorted((n for n in names if n not in _NOT_RUNS and n[0] != "."), key=_natural)
    if "results.json" in files:
      folders.append(pathlib.Path(path))
  return folders


def _refuse(error: OSError) -> None:
  raise UserError(f"{error.filename} cannot be read ({error.strerror})") from error


def _short(workdir: pathlib.Path, folder: pathlib.Path) -> str:
  return workdir.resolve().name if folder == workdir else folder.relative_to(workdir).as_posix()


def _unique(found: Sequence[tuple[pathlib.Path, str]]) -> list[str]:
  """Returns a name for each run; no two are the same."""
  times = collections.Counter(name for _, name in found)
  names: list[str] = []
  for workdir, name in found:
    longer = name if times[name] == 1 else f"{workdir}: {name}"
    copies = names.count(longer)
    names.append(longer if not copies else f"{longer} ({copies + 1})")
  return names


def _natural(name: str) -> list[tuple[int, str]]:
  """Returns a key that sorts run2 before run10.

  Example:
    >>> sorted(["run10", "run2"], key=_natural)
    ['run2', 'run10']
  """
  return [(int(part), "") if part.isdecimal() else (-1, part) for part in _parts(name)]


def _parts(name: str) -> Iterable[str]:
  return re.findall(r"\d+|\D+", name)
