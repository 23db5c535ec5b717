"""Checks the names, shapes and values of a weights file, and loads it into an encoder."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg.errors import UserError
from mlseg.models.encoders.encoder import Encoder
from mlseg.models.pretrained import files as weight_files
from mlseg.models.pretrained.layers import family, layers_of
from mlseg.models.pretrained.names import (
  Path,
  Target,
  fitted,
  is_ignored,
  name_in,
  simplified,
  targets,
)

Variables = dict[str, Any]
_SHOWN = 3  # most names that a message lists for each kind of mistake


class _Found(NamedTuple):
  """The arrays of a file, sorted by the variables that they belong to."""

  arrays: dict[Path, np.ndarray]
  names: dict[Path, str]  # the name of each array in the file
  unknown: list[str]  # names of arrays that belong to no variable
  library: str | None  # whose names the file has; None: no name is known


def load(path: pathlib.Path, encoder: Encoder) -> Variables:
  """Returns the variables of an encoder from a file of weights.

  Args:
    path: the file; see `files.read` for the formats. Its names are those of Keras,
      torchvision or timm, with or without a prefix; the layers of a classifier are ignored.
    encoder: the encoder, whose architecture and convention the file must have.

  Returns:
    Nested dicts of float32 arrays with the structure of the encoder's `init`: 'params', and
    'batch_stats' for a network with batch normalisation.

  Raises:
    UserError: the file cannot be read, or does not fit the encoder; one line lists the mistakes.
  """
  table = targets(layers_of(encoder))
  found = _sort(path, weight_files.read(path), table)
  what = family(encoder)
  if found.library is None:
    first = ", ".join(found.unknown[:_SHOWN]) or "nothing"
    raise UserError(f"weights {path}: no weights of {what} ({len(found.unknown)} names: {first})")
  mistakes = _mistakes(found, expected_shapes(encoder), table)
  if mistakes:
    raise UserError(f"weights {path}: do not fit {what}: {'; '.join(mistakes)}")
  if (found.library == "keras") != (encoder.convention == "keras"):
    raise UserError(
      f"weights {path}: named as by {found.library}, but the encoder's convention is"
      f" {encoder.convention!r}: its inputs and layers would differ from those of the weights"
    )
  return _nested(found.arrays)


def insert(variables: Variables, loaded: Variables, at: Sequence[str]) -> Variables:
  """Returns a model's variables, with those of its encoder replaced by loaded ones.

  Args:
    variables: the variables of the whole model.
    loaded: the variables of the encoder, from `load`.
    at: the names that lead to the encoder in each collection, such as ('encoder',).

  Raises:
    UserError: the model has no such part, or its arrays have other shapes.

  Example:
    >>> model = {"params": {"encoder": {"w": np.zeros(2)}, "head": np.ones(3)}}
    >>> insert(model, {"params": {"w": np.full(2, 5.0)}}, ("encoder",))
    {'params': {'encoder': {'w': array([5., 5.])}, 'head': array([1., 1., 1.])}}
  """
  result = dict(variables)
  for collection, tree in loaded.items():
    result[collection] = _replaced(variables.get(collection, {}), tree, tuple(at), collection)
  return result


def _replaced(tree: Any, part: Any, at: tuple[str, ...], where: str) -> Any:
  if at:
    if not isinstance(tree, Mapping) or at[0] not in tree:
      raise UserError(f"the model has no {where}/{'/'.join(at)} for the loaded weights")
    return {**tree, at[0]: _replaced(tree[at[0]], part, at[1:], f"{where}/{at[0]}")}
  if jax.tree.map(np.shape, tree) != jax.tree.map(np.shape, part):
    raise UserError(f"{where} of the model has other arrays than the loaded weights")
  return part


def _sort(path: pathlib.Path, arrays: weight_files.Arrays, table: dict[str, Target]) -> _Found:
  """Returns the arrays of a file, sorted by the variables that they belong to.

  Raises:
    UserError: two arrays belong to one variable, or names of two libraries are mixed.
  """
  found = _Found({}, {}, [], None)
  libraries: set[str] = set()
  for name, array in arrays.items():
    target = table.get(simplified(name))
    if target is None:
      if not is_ignored(name):
        found.unknown.append(name)
      continue
    if target.path in found.names:
      twice = f"{found.names[target.path]} and {name}"
      raise UserError(f"weights {path}: {twice} are two arrays for one variable")
    libraries.add(target.library)
    found.names[target.path] = name
    found.arrays[target.path] = fitted(array, target)
  if len(libraries) > 1:
    raise UserError(f"weights {path}: names of {' and '.join(sorted(libraries))} in one file")
  return found._replace(library=next(iter(libraries), None))


def expected_shapes(encoder: Encoder) -> dict[Path, tuple[int, ...]]:
  """Returns the shape of each of the encoder's variables."""
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
  shapes = jax.eval_shape(lambda x: encoder.init(jax.random.key(0), x, False), image)
  leaves = jax.tree_util.tree_leaves_with_path(shapes)
  return {tuple(key.key for key in path): tuple(leaf.shape) for path, leaf in leaves}


def _mistakes(
  found: _Found, expected: dict[Path, tuple[int, ...]], table: dict[str, Target]
) -> list[str]:
  """Returns the mistakes of a file, one phrase for each kind."""
  library = found.library or "keras"
  missing = [name_in(library, path, table) for path in expected if path not in found.arrays]
  shapes, kinds, values, variances = [], [], [], []
  for path, array in found.arrays.items():
    name = found.names[path]
    if path not in expected or array.shape != expected[path]:
      shapes.append(f"{name} {array.shape}, here {expected.get(path, 'without')}")
    elif array.dtype.kind not in "fV" or array.dtype.names:  # ml_dtypes' bfloat16 is of kind V
      kinds.append(f"{name} {array.dtype}")
    elif not np.isfinite(array.astype(np.float32)).all():
      values.append(name)
    elif path[-1] == "var" and (array.astype(np.float32) < 0).any():  # its root would be NaN
      variances.append(name)
  return [
    f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
    for what, names in (
      ("missing", missing),
      ("unknown", found.unknown),
      ("of another shape", shapes),
      ("of another type than float", kinds),
      ("with NaN or infinity", values),
      ("with a negative variance", variances),
    )
    if names
  ]


def _nested(arrays: dict[Path, np.ndarray]) -> Variables:
  """Returns nested dicts of contiguous float32 arrays."""
  tree: Variables = {}
  for path, array in arrays.items():
    branch = tree
    for name in path[:-1]:
      branch = branch.setdefault(name, {})
    branch[path[-1]] = np.ascontiguousarray(array, np.float32)
  return tree
