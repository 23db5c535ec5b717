"""`model.npz`: the variables of a run's best epochs, for use after training."""

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.files import write_file

PyTree = Any
NAME = "model.npz"


def write(workdir: pathlib.Path, best: Mapping[int, PyTree]) -> None:
  """Writes the variables of each seed, arrays by the path to them: `seed_0/params/.../kernel`.

  Args:
    workdir: the run's folder.
    best: per seed nested dicts of arrays.
  """
  buffer = io.BytesIO()
  arrays = {
    f"seed_{seed}/{name}": leaf for seed, tree in best.items() for name, leaf in _flat(tree)
  }
  np.savez(buffer, allow_pickle=False, **arrays)
  write_file(workdir / NAME, buffer.getvalue())


def read(workdir: pathlib.Path) -> dict[int, PyTree]:
  """Returns per seed the variables that `write` was given.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  if not path.exists():
    raise UserError(f"{path} is not there: a run writes it when all its seeds are trained")
  best: dict[int, PyTree] = {}
  try:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
      for name in file.files:
        seed, *keys = name.split("/")
        tree = best.setdefault(int(seed.removeprefix("seed_")), {})
        for key in keys[:-1]:
          tree = tree.setdefault(key, {})
        tree[keys[-1]] = file[name]
  except Exception as error:  # cut short, or something else: zip and numpy raise many things
    raise UserError(f"{path} is damaged ({error})") from error
  return best


def _flat(tree: PyTree, prefix: str = "") -> list[tuple[str, np.ndarray]]:
  """Returns the leaves of nested dicts with their paths."""
  if not isinstance(tree, Mapping):
    return [(prefix, np.asarray(tree))]
  parts = [_flat(value, f"{prefix}/{key}" if prefix else key) for key, value in tree.items()]
  return [pair for part in parts for pair in part]
