"""`model.npz`: the variables of each seed's best epoch, for use after training.

seed_0/params/encoder/Conv_0/kernel    an array
seed_0/batch_stats/...                 an array
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlseg.errors import UserError
from mlseg.files import read_npz, reading, to_npz, write_file

PyTree = Any
NAME = "model.npz"


def write(workdir: pathlib.Path, best: Mapping[int, PyTree]) -> list[str]:
  """Writes the variables of each seed, named by their paths.

  Args:
    workdir: the run's folder.
    best: per seed nested dicts of arrays.

  Returns:
    The names of arrays with values that are not finite, which `read` refuses: a caller says so.
  """
  arrays = {
    f"seed_{seed}/{name}": leaf for seed, tree in best.items() for name, leaf in _flat(tree)
  }
  write_file(workdir / NAME, to_npz(arrays))
  return not_finite(arrays)


def not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
  """Returns the names of arrays with a value that is NaN or infinite.

  Example:
    >>> not_finite({"mean": np.array([0.0, np.nan]), "var": np.ones(2)})
    ['mean']
  """
  return [name for name, array in arrays.items() if not _is_finite(array)]


def _is_finite(array: np.ndarray) -> bool:
  is_plain = array.dtype.kind in "fc"  # ml_dtypes' numbers are of kind V
  return bool(np.isfinite(array if is_plain else array.astype(np.float32)).all())


def read(workdir: pathlib.Path) -> dict[int, PyTree]:
  """Returns per seed the variables that `write` was given.

  Raises:
    UserError: the file is missing or damaged, or a value in it is not finite.
  """
  path = workdir / NAME
  if not path.exists():
    raise UserError(f"{path} is not there: a run writes it when all its seeds are trained")
  best: dict[int, PyTree] = {}
  with reading(path):
    arrays = read_npz(path)
    if names := not_finite(arrays):
      raise UserError(
        f"{path} has {len(names)} of {len(arrays)} arrays with values that are not finite"
        f" ({names[0]}): nothing can be predicted with it"
      )
    for name, array in arrays.items():
      seed, *keys = name.split("/")
      tree = best.setdefault(int(seed.removeprefix("seed_")), {})
      for key in keys[:-1]:
        tree = tree.setdefault(key, {})
      tree[keys[-1]] = array
  return best


def _flat(tree: PyTree, prefix: str = "") -> list[tuple[str, np.ndarray]]:
  """Returns the leaves of nested dicts with their paths."""
  if not isinstance(tree, Mapping):
    return [(prefix, np.asarray(tree))]
  parts = [_flat(value, f"{prefix}/{key}" if prefix else key) for key, value in tree.items()]
  return [pair for part in parts for pair in part]
