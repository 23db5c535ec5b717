"""A run's folder: its files, whole or not at all, and whom it belongs to."""

import fcntl
import importlib.metadata
import json
import math
import os
import pathlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
from ml_collections import ConfigDict

from mlseg import __version__
from mlseg.errors import UserError


def write_file(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a whole file or nothing: to a temporary name, then renamed."""
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  data = content.encode() if isinstance(content, str) else content
  try:
    with temporary.open("wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def to_json(value: Any, indent: int | None = None) -> str:
  """Returns strict JSON: a number that is not finite becomes null.

  Example:
    >>> to_json({"loss": float("nan"), "step": 3})
    '{"loss": null, "step": 3}'
  """

  def strict(item: Any) -> Any:
    if isinstance(item, dict):
      return {str(key): strict(entry) for key, entry in item.items()}
    if isinstance(item, list | tuple):
      return [strict(entry) for entry in item]
    if isinstance(item, float) and not math.isfinite(item):
      return None
    return item

  return json.dumps(strict(value), indent=indent, allow_nan=False)


class MetricsFile:
  """`metrics.jsonl`: one line per logged step, each with the keys 'seed' and 'step'."""

  def __init__(self, path: pathlib.Path):
    self._path = path

  def append(self, records: list[dict[str, Any]]) -> None:
    """Adds a line for each record."""
    with self._path.open("a") as file:
      file.write("".join(to_json(record) + "\n" for record in records))

  def rewind(self, seeds: list[int], step: int) -> None:
    """Drops what a run that starts again at this step of these seeds will write again."""
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        record = json.loads(line)
      except json.JSONDecodeError:  # the line that a kill cut in two
        continue
      if record["seed"] not in seeds or record["step"] <= step:
        kept.append(line)
    write_file(self._path, "".join(line + "\n" for line in kept))


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


def describe(config: ConfigDict, fingerprint: str, strategy: str) -> dict[str, Any]:
  """Returns what `config.json` holds: the resolved config, versions, device, data fingerprint.

  Args:
    config: the recipe.
    fingerprint: of the data.
    strategy: how the seeds are trained; a run goes on with the one it was started with.
  """
  packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
  versions = {name: importlib.metadata.version(name) for name in packages}
  return {
    "config": config.to_dict(),
    "data": fingerprint,
    "strategy": strategy,
    "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
    "versions": {"mlseg": __version__, "python": platform.python_version(), **versions},
  }


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
    description: from `describe`; its 'config' and 'data' decide whose the folder is.

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
    old = _flatten({name: there[name] for name in ("config", "data")})
  except (ValueError, KeyError, TypeError):
    raise UserError(f"{path} is not the config of a run; give another --workdir") from None
  new = _flatten(json.loads(to_json({name: description[name] for name in ("config", "data")})))
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
