"""A run's folder: its files, whole or not at all, and whom it belongs to."""

import fcntl
import json
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlseg.errors import UserError
from mlseg.files import to_json, write_file


@contextmanager
def opened(workdir: pathlib.Path) -> Iterator[None]:
  """Makes the folder and keeps a second process out; a killed process leaves no lock behind.

  Raises:
    UserError: the folder cannot be made, or another process is at work there.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    lock = (workdir / ".lock").open("w")
  except OSError as error:
    raise UserError(f"workdir {workdir}: cannot be written ({error.strerror})") from None
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      raise UserError(f"workdir {workdir}: another process is training there") from None
    yield


def strategy_of(workdir: pathlib.Path) -> str | None:
  """Returns the strategy of the seeds with which a run in this folder was started, if one was."""
  try:
    return json.loads((workdir / "config.json").read_text()).get("strategy")
  except (OSError, ValueError, AttributeError):
    return None


def check(workdir: pathlib.Path, description: dict[str, Any]) -> bool:
  """Checks that a folder is free for a run, or belongs to this very run, on whatever devices.

  Args:
    workdir: the folder; it need not exist.
    description: 'config' and, where it is known already, 'data': they decide whose the folder is.

  Returns:
    True where the run was started before.

  Raises:
    UserError: the folder belongs to another config or other data.
  """
  path = workdir / "config.json"
  if workdir.exists() and not workdir.is_dir():
    raise UserError(f"workdir {workdir} is a file, not a folder")
  if not path.exists():
    return False
  try:
    there = json.loads(path.read_text())
    known = [name for name in ("config", "data") if name in description]
    old = _flatten({name: there[name] for name in known})
  except (ValueError, KeyError, TypeError):
    raise UserError(f"{path} is not the config of a run; give another --workdir") from None
  new = _flatten(json.loads(to_json({name: description[name] for name in known})))
  different = [
    f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
    for key in sorted(old.keys() | new.keys())
    if old.get(key) != new.get(key) and not key.startswith("config.mesh.")
  ]
  if different:
    more = f", and {len(different) - 3} more" if len(different) > 3 else ""
    raise UserError(
      f"workdir {workdir} belongs to another config ({'; '.join(different[:3])}{more});"
      " give another --workdir"
    )
  return True


def claim(workdir: pathlib.Path, description: dict[str, Any]) -> None:
  """Makes an opened folder that of this run, unless it is already; errors as `check`."""
  if not check(workdir, description):
    write_file(workdir / "config.json", to_json(description, indent=2) + "\n")


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  """Returns the leaves of nested dicts by their dotted names."""
  if not isinstance(tree, dict):
    return {prefix: tree}
  flat: dict[str, Any] = {}
  for key, value in tree.items():
    flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
  return flat
