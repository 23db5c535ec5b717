"""Checks of the hyper-parameters of a weighting, and numbers that are given per loss."""

import math
from typing import Any

import jax
import numpy as np

from mlseg.weighting.base import Losses, Weights, num_losses


def check_number(name: str, value: float, lower: float, upper: float = math.inf) -> None:
  """Raises ValueError unless a hyper-parameter is a finite number in [lower, upper].

  Args:
    name: of the argument.
    value: of the argument.
    lower: the smallest value allowed.
    upper: the largest value allowed.

  Example:
    >>> check_number("decay", 1.5, 0.0, 1.0)
    Traceback (most recent call last):
    ...
    ValueError: decay: must be a finite number in [0.0, 1.0], got 1.5
  """
  is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
  if not is_number or not math.isfinite(value) or not lower <= value <= upper:
    raise ValueError(f"{name}: must be a finite number in [{lower}, {upper}], got {value!r}")


def check_integer(name: str, value: int, lower: int) -> None:
  """Raises ValueError unless a hyper-parameter is an integer of at least `lower`.

  Args:
    name: of the argument.
    value: of the argument.
    lower: the smallest value allowed.

  Example:
    >>> check_integer("capacity", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: capacity: must be an integer >= 1, got 0
  """
  is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
  if not is_integer or value < lower:
    raise ValueError(f"{name}: must be an integer >= {lower}, got {value!r}")


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
