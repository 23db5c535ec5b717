"""The run's folder itself and `config.json`, which says what was trained there.

    {
      "config": {"name": "dmf", "seed": 0, ...},
      "data": "5e0c1f...",
      "strategy": "loop",
      "device": "1 cpu",
      "versions": {"mlseg": "0.1.0", "jax": "0.7.1", ...}
    }

`data` is a digest of the data set, `strategy` how the seeds are trained. In the folder of an
evaluation, `config` has the data that the run was tested on, and there is

      "evaluation": {
        "run": "/home/me/runs/dmf", "model": "9f2c...", "trained_on": {"name": "busi", ...},
        "cases": "all cases"
      },
      "warnings": ["classes: 'tumour' counts as 'lesion'"]

with the run's folder, the digest of its `model.npz`, its section `config.data`, which cases were
tested, and what does not fit between the run and the data.
"""

import fcntl
import json
import os
import pathlib
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from mlseg.errors import UserError
from mlseg.files import (
  open_regular,
  read_bytes,
  read_json,
  reading,
  remove_temporaries,
  to_json,
  write_file,
)

NAME = "config.json"
# Orbax finds its files by patterns, in which these signs of a folder's path have a meaning.
PATTERN_SIGNS = frozenset("[]*?\\")
_SECTIONS = (
  "seeds", "mesh", "data", "augmentation", "model", "optimizer", "loss_options", "metrics",
  "prediction", "weighting", "auxiliary",
)  # fmt: skip


class Evaluated(NamedTuple):
  """What a folder of results says of the run that was tested on other data."""

  run: str  # its folder
  trained_on: dict[str, Any]  # its section `config.data`
  cases: str  # which were tested


class Description(NamedTuple):
  """What `config.json` holds."""

  config: dict[str, Any]
  data: str  # digest of the data set
  strategy: str | None  # how the seeds are trained; None: an older run, which did not write it
  device: str  # how many, and of which kind
  versions: dict[str, str]  # by package
  evaluation: Evaluated | None = None  # None in the folder of a run
  warnings: tuple[str, ...] = ()  # of an evaluation


@contextmanager
def opened(workdir: pathlib.Path) -> Iterator[None]:
  """Makes the folder and keeps a second process out; a killed process leaves no lock behind.

  Temporary files that a killed process left are removed.

  Raises:
    UserError: the folder cannot be made, or another process is training in it.
  """
  flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    lock = os.fdopen(open_regular(workdir / ".lock", flags), "r+")
  except OSError as error:
    raise UserError(f"workdir {workdir}: cannot be written ({error.strerror})") from None
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      raise UserError(f"workdir {workdir}: another process is training there") from None
    remove_temporaries(workdir, older_than=0)
    yield


def read(workdir: pathlib.Path) -> Description:
  """Returns what `config.json` holds; what an older run did not write is empty.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_json(path)
  with reading(path):
    versions = content.get("versions") or {}
    return Description(
      config=checked_config(content.get("config") or {}),
      data=str(content.get("data") or ""),
      strategy=None if content.get("strategy") is None else str(content["strategy"]),
      device=str(content.get("device") or ""),
      versions={str(name): str(version) for name, version in versions.items()},
      evaluation=_evaluation(content.get("evaluation")),
      warnings=tuple(map(str, content.get("warnings") or ())),
    )


def _evaluation(content: Mapping[str, Any] | None) -> Evaluated | None:
  if content is None:
    return None
  return Evaluated(
    str(content["run"]), dict(content.get("trained_on") or {}), str(content["cases"])
  )


def checked_config(config: Any) -> dict[str, Any]:
  """Returns the config of a run, whose form is that of a recipe as far as a report reads it.

  Raises:
    ValueError: it is no dict, or a section or name in it is something else.
  """
  if not isinstance(config, dict):
    raise ValueError(f"config must be a dict, not {type(config).__name__}")
  for name in _SECTIONS:
    if not isinstance(config.get(name) or {}, dict):
      raise ValueError(f"config.{name} must be a dict, not {type(config[name]).__name__}")
  for name in ("name", "variant"):
    if not isinstance(config.get(name, ""), str):
      raise ValueError(f"config.{name} must be a text, not {config[name]!r}")
  return config


def strategy_of(workdir: pathlib.Path) -> str | None:
  """Returns how the seeds of the run in this folder are trained; None where there is no run."""
  try:
    return read(workdir).strategy
  except UserError:
    return None


def check(
  workdir: pathlib.Path, description: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> bool:
  """Checks that a folder is free for a run, or belongs to this very run, on whatever devices.

  Args:
    workdir: the folder; it need not exist.
    description: what `config.json` is to hold; its 'config', 'evaluation' and, where it is known
      already, 'data' must be those of the folder.
    defaults: by the dotted name of a key of the config, what runs from before it existed train.

  Returns:
    True where the run was started before.

  Raises:
    UserError: the folder belongs to another config or other data.
  """
  path = workdir / NAME
  check_path(workdir)
  try:
    there = json.loads(read_bytes(path))
    known = [name for name in ("config", "data", "evaluation") if name in description]
    old = _flatten(
      {name: there.get(name) if name == "evaluation" else there[name] for name in known}
    )
  except FileNotFoundError:
    return False
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error.strerror})") from None
  except (ValueError, KeyError, TypeError, RecursionError):
    raise UserError(f"{path} is not the config of a run; give another --workdir") from None
  new = _flatten(json.loads(to_json({name: description[name] for name in known})))
  older = json.loads(to_json({f"config.{key}": value for key, value in (defaults or {}).items()}))
  old = {key: older[key] for key in new if key in older} | old
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


def check_path(workdir: pathlib.Path) -> None:
  """Raises a UserError where a path cannot be that of a run's folder."""
  try:
    str(workdir.absolute()).encode()
  except UnicodeEncodeError:
    raise UserError(
      f"workdir {workdir}: its path must be text in UTF-8, or no checkpoint could be written"
    ) from None
  found = sorted(PATTERN_SIGNS.intersection(str(workdir.absolute())))
  if found:
    raise UserError(
      f"workdir {workdir}: its path must have none of the signs {' '.join(sorted(PATTERN_SIGNS))},"
      f" which checkpoints could not be read from, not {' '.join(found)}"
    )
  try:
    is_folder = stat.S_ISDIR(workdir.stat().st_mode)
  except FileNotFoundError:
    return
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or error
    raise UserError(f"workdir {workdir}: cannot be written ({reason})") from None
  if not is_folder:
    raise UserError(f"workdir {workdir} is a file, not a folder")


def claim(
  workdir: pathlib.Path, description: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> None:
  """Writes `config.json`, unless the run was started before.

  Args:
    workdir: the folder, opened.
    description: what the file is to hold.
    defaults: as in `check`.

  Raises:
    UserError: as `check`.
  """
  if not check(workdir, description, defaults):
    write_file(workdir / NAME, to_json(dict(description), indent=2) + "\n")


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  """Returns the leaves of nested dicts by their dotted names."""
  if not isinstance(tree, dict):
    return {prefix: tree}
  flat: dict[str, Any] = {}
  for key, value in tree.items():
    flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
  return flat
