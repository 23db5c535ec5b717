"""Parameters that several losses share, and those of single losses, by their paths."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax

PyTree = Any
# The beginning of a path, several of them, or a function of the path.
Shared: TypeAlias = str | Sequence[str] | Callable[[str], bool]


def is_shared(params: PyTree, shared: Shared | None) -> PyTree:
  """Returns which parameters are shared, a bool for each leaf.

  Args:
    params: a pytree of arrays.
    shared: the beginning of paths such as 'encoder' or 'encoder/stage1', or several, or a function
      from a path to a bool; None: all.

  Raises:
    ValueError: where no parameter is shared.

  Example:
    >>> params = {"encoder": {"kernel": 1.0}, "encoder_2": 2.0, "head": 3.0}
    >>> is_shared(params, "encoder")
    {'encoder': {'kernel': True}, 'encoder_2': False, 'head': False}
  """
  if shared is None:
    return jax.tree.map(lambda leaf: True, params)
  function = shared if callable(shared) else _begins_with(shared)
  paths = jax.tree_util.tree_leaves_with_path(params)
  names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
  found = [bool(function(name)) for name in names]
  if not any(found):
    shown = ", ".join(sorted({name.split("/")[0] for name in names}))
    raise ValueError(f"shared: no parameter is one of {shared!r}; paths begin with {shown}")
  return jax.tree.unflatten(jax.tree.structure(params), found)


def _begins_with(shared: str | Sequence[str]) -> Callable[[str], bool]:
  prefixes = (shared,) if isinstance(shared, str) else tuple(shared)
  return lambda path: any(path == one or path.startswith(f"{one}/") for one in prefixes)


def parted(gradients: PyTree, others: PyTree, own: PyTree) -> PyTree:
  """Returns the first gradients where parameters are shared, and the others elsewhere.

  Args:
    gradients: in the structure of the parameters.
    others: in the same structure.
    own: from `is_shared`.

  Example:
    >>> parted({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}, {"a": True, "b": False})
    {'a': 1.0, 'b': 4.0}
  """
  return jax.tree.map(lambda one, other, is_own: one if is_own else other, gradients, others, own)
