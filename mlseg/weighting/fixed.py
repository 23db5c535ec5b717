"""Weights that do not change."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import (
  EmptyState,
  Losses,
  LossWeighting,
  Weights,
  check_number,
  num_losses,
  ravel,
)


def fixed(weights: Weights = 1.0) -> LossWeighting:
  """Gives weights that do not change, by default 1, so that the total is the plain sum.

  Formula: w_k(t) = w_k

  Needs: losses

  Use when: weights are known, or as the baseline that every other method has to beat.

  Source: the baseline of Golnari & Diba 2026, table 1.

  Args:
    weights: finite and not negative; one number for all losses, or a pytree like the losses, or K
      numbers in the order of `jax.tree.leaves` of the losses (for a dict: of its sorted keys).

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where a weight is negative or not finite; in `init`, where the weights do not match
      the losses.

  Example:
    >>> weighting = fixed({"dice": 1.0, "focal": 0.5})
    >>> losses = {"dice": jnp.float32(0.3), "focal": jnp.float32(0.1)}
    >>> weights, state = weighting.update(losses, weighting.init(losses))
    >>> {name: float(weight) for name, weight in weights.items()}
    {'dice': 1.0, 'focal': 0.5}
  """
  structure: Any = jax.tree.structure(weights)
  values = [value for leaf in jax.tree.leaves(weights) for value in np.ravel(leaf)]
  for value in values:
    check_number("weights", value, 0)
  is_number = jax.tree_util.treedef_is_leaf(structure) and np.ndim(weights) == 0
  in_order = isinstance(weights, list | tuple | np.ndarray | jax.Array)

  def init(losses: Losses) -> EmptyState:
    number, like = num_losses(losses), jax.tree.structure(losses)
    if not is_number and not (len(values) == number and (in_order or structure == like)):
      raise ValueError(
        f"weights: must be one number, {number} numbers, or like the losses {like}, got {weights!r}"
      )
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, gram, key, extra
    vector, unravel = ravel(losses)
    constants = jnp.asarray(np.array(values), vector.dtype)
    return unravel(jnp.broadcast_to(constants, vector.shape)), state

  return LossWeighting(init, update)
