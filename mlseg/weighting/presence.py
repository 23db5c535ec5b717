"""Losses that are absent in some steps, as that of a task without labels in a batch.

`update(..., present=)` of every weighting takes the losses that a step has. An absent loss gets the
weight 0 and leaves no trace, whatever its value is: the present ones are weighted as if there were
no others, each with its own history.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import Losses, State, Weights, ravel


def ravel_present(
  losses: Losses, present: Weights | None
) -> tuple[jax.Array, Callable[[jax.Array], Weights], jax.Array | None]:
  """Returns the losses as a vector in which the absent ones are 1, and the mask of the others.

  Args:
    losses: a pytree of K scalars, or one array [K].
    present: which losses the step has: bools in the structure of the losses, or [K] in the order of
      `jax.tree.leaves`; None for all.

  Returns:
    The vector [K]; the function that gives such a vector the structure of the losses, with 0 for
    the absent ones; and the mask [K], or None.

  Raises:
    ValueError: where `present` does not match the losses.

  Example:
    >>> losses = {"a": jnp.float32(3.0), "b": jnp.float32(jnp.nan)}
    >>> vector, unravel, mask = ravel_present(losses, {"a": True, "b": False})
    >>> vector.tolist(), mask.tolist(), {name: float(w) for name, w in unravel(vector).items()}
    ([3.0, 1.0], [True, False], {'a': 3.0, 'b': 0.0})
  """
  vector, unravel = ravel(losses)
  mask = as_mask(losses, present)
  if mask is None:
    return vector, unravel, None
  return jnp.where(mask, vector, 1), lambda values: unravel(jnp.where(mask, values, 0)), mask


def as_mask(losses: Losses, present: Weights | None) -> jax.Array | None:
  """Returns which losses are present as a vector [K] of bools, or None where all are.

  Args:
    losses: a pytree of K scalars, or one array [K].
    present: bools in the structure of the losses, or [K] in the order of `jax.tree.leaves`.

  Raises:
    ValueError: where `present` does not match the losses.

  Example:
    >>> as_mask(jnp.zeros(2), [True, True, False])
    Traceback (most recent call last):
    ...
    ValueError: present: must be 2 bools, or like the losses PyTreeDef(*), got [True, True, False]
  """
  if present is None:
    return None
  size = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(losses))
  leaves: list[Any] = jax.tree.leaves(present)
  like: Any = jax.tree.structure(losses)
  in_order = isinstance(present, list | tuple | np.ndarray | jax.Array)
  fits = in_order or jax.tree.structure(present) == like
  if not fits or sum(int(np.size(leaf)) for leaf in leaves) != size:
    raise ValueError(f"present: must be {size} bools, or like the losses {like}, got {present!r}")
  return jnp.concatenate([jnp.ravel(jnp.asarray(leaf)).astype(bool) for leaf in leaves])


def number_of(vector: jax.Array, present: jax.Array | None) -> int | jax.Array:
  """Returns the number of present losses, at least 1: K itself, or a scalar like the vector.

  Args:
    vector: [K], the losses.
    present: [K], bool, or None.

  Example:
    >>> losses, mask = jnp.zeros(3), jnp.array([True, False, True])
    >>> number_of(losses, None), float(number_of(losses, mask))
    (3, 2.0)
  """
  if present is None:
    return vector.size
  return jnp.maximum(present.sum(), 1).astype(vector.dtype)


def only(values: jax.Array, present: jax.Array | None, otherwise: Any = 0) -> jax.Array:
  """Returns the values of the present losses, and another number for the absent ones.

  Args:
    values: [..., K].
    present: [K], bool, or None.
    otherwise: a number, or an array that broadcasts to the values.

  Example:
    >>> only(jnp.array([3.0, 4.0]), jnp.array([True, False])).tolist()
    [3.0, 0.0]
  """
  if present is None:
    return values
  return jnp.where(jnp.broadcast_to(present, values.shape), values, otherwise)


def keep_absent(new: State, old: State, present: jax.Array | None) -> State:
  """Returns the new state, in which the entries of absent losses are as before.

  Args:
    new: a pytree. Arrays [..., K] have an entry per loss; all others are taken from it as they are.
    old: a pytree of the same structure and shapes.
    present: [K], bool, or None.

  Example:
    >>> new, old = (jnp.ones(2), jnp.int32(5)), (jnp.zeros(2), jnp.int32(4))
    >>> values, count = keep_absent(new, old, jnp.array([True, False]))
    >>> values.tolist(), int(count)
    ([1.0, 0.0], 5)
  """
  if present is None:
    return new

  def choose(one: jax.Array, other: jax.Array) -> jax.Array:
    per_loss = jnp.ndim(one) and jnp.shape(one)[-1] == present.size
    return only(jnp.asarray(one), present, other) if per_loss else one

  return jax.tree.map(choose, new, old)
