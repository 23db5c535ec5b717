"""Numbers that a hyper-parameter gives per loss."""

from typing import Any

import jax
import numpy as np

from mlseg.weighting.base import Losses, Weights, check_number, num_losses


def check_per_loss(name: str, values: Weights | None, lower: float) -> None:
  """Raises ValueError unless numbers given per loss are finite and at least `lower`.

  Args:
    name: of the argument.
    values: of the argument: one number, or K, or a pytree of numbers, or None.
    lower: the smallest value allowed.

  Example:
    >>> check_per_loss("preference", (1.0, -1.0), 0.0)
    Traceback (most recent call last):
    ...
    ValueError: preference: must be a finite number in [0.0, inf], got np.float64(-1.0)
  """
  for leaf in jax.tree.leaves(values):
    for value in np.ravel(leaf):
      check_number(name, value, lower)


def per_loss(name: str, values: Weights | None, losses: Losses) -> np.ndarray:
  """Returns one number per loss.

  Args:
    name: of the argument.
    values: one number for all, or K in the order of `jax.tree.leaves`, or a pytree like the losses;
      None for 1/K.
    losses: a pytree of K scalars, or one array [K].

  Returns:
    [K].

  Raises:
    ValueError: where the values do not match the losses.

  Example:
    >>> per_loss("preference", {"focal": 1.0, "dice": 2.0}, {"dice": 0.1, "focal": 0.2}).tolist()
    [2.0, 1.0]
  """
  number = num_losses(losses)
  values = 1 / number if values is None else values
  like: Any = jax.tree.structure(losses)
  if jax.tree_util.treedef_is_leaf(jax.tree.structure(values)) and np.ndim(values) == 0:
    return np.full(number, values)
  numbers = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(values)])
  in_order = isinstance(values, list | tuple | np.ndarray | jax.Array)
  if numbers.size != number or not (in_order or jax.tree.structure(values) == like):
    raise ValueError(
      f"{name}: must be one number, {number} numbers, or like the losses {like}, got {values!r}"
    )
  return numbers
