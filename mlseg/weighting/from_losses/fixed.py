"""Weights that do not change, the baseline of every other method."""

import functools

import jax.numpy as jnp

from mlseg.weighting.base import EmptyState, Losses, LossWeighting, Weights
from mlseg.weighting.checks import check_per_loss, per_loss
from mlseg.weighting.presence import ravel_present


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
  check_per_loss("weights", weights, 0)

  constants = functools.partial(per_loss, "weights", weights)

  def init(losses: Losses) -> EmptyState:
    constants(losses)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    return unravel(jnp.asarray(constants(losses), vector.dtype)), state

  return LossWeighting(init, update)
