"""Gradient-norm balance: weights that give the gradients of all losses one length."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, all_finite, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_gram.gram import is_finite, mean, normalize, require, some
from mlseg.weighting.presence import keep_absent, number_of, ravel_present

_SHORTEST = 1e-5  # of the mean length: what is added to every length


class NormBalanceState(NamedTuple):
  """The moving averages of the weights."""

  weights: jax.Array  # [K]


def gradient_norm_balance(
  decay: float = 0.9, numerator: Literal["mean", "sum"] = "mean"
) -> LossWeighting:
  """Weights losses by the inverse lengths of their gradients, averaged over time.

  Formula: w_k ← decay w_k + (1 - decay) n / (‖g_k‖ + 1e-5 n), n = (1/K) Σ_j ‖g_j‖

  With numerator='sum' n in the numerator is Σ_j ‖g_j‖, which multiplies all new weights by K.
  Weights start at 1, and stay where a loss or an inner product is not finite, or all gradients are
  0. No new weight is above 1e5 (1e5 K for 'sum').

  Needs: Gram matrix

  Use when: the gradients of losses differ by orders of magnitude, as those of an equation and of
  its boundary conditions; then every loss moves the parameters alike. A loss at its minimum, with
  short gradients of noise alone, gets a large weight.

  Differs: the paper divides the sum of the lengths by each length, every thousand steps, which is
  `every(gradient_norm_balance(numerator="sum"), 1000)`; the authors' code JAX-PI divides their
  mean, as here by default.

  Source: Wang et al. 2023, "An expert's guide to training physics-informed neural networks", arXiv
  2308.08468, algorithm 1; the number 1e-5 is that of JAX-PI.

  Args:
    decay: of the moving average, in [0, 1]; with 0 only the last step counts.
    numerator: 'mean' or 'sum'.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = gradient_norm_balance(decay=0.5)
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([1.0, 9.0]))
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 3) for weight in weights]  # (1 + 2 / 1) / 2, (1 + 2 / 3) / 2
    [1.5, 0.833]
  """
  check_number("decay", decay, 0, 1)
  if numerator not in ("mean", "sum"):
    raise ValueError(f"numerator: choose from mean, sum; got {numerator!r}")

  def init(losses: Losses) -> NormBalanceState:
    return NormBalanceState(jnp.ones(num_losses(losses), state_dtype(losses)))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    gram = require(gram, vector, mask)
    enters = is_finite(gram) & all_finite(vector)
    scaled, _ = normalize(jnp.where(enters, gram, 0))  # whose lengths have no extreme numbers
    lengths = jnp.sqrt(jnp.diagonal(scaled))
    average = mean(lengths, some(mask))
    enters &= average > 0
    divisor = jnp.where(enters, lengths + _SHORTEST * average, 1)
    factor = number_of(vector, mask) if numerator == "sum" else 1
    moved = decay * state.weights + (1 - decay) * factor * average / divisor
    next_state = keep_absent(NormBalanceState(jnp.where(enters, moved, state.weights)), state, mask)
    return unravel(next_state.weights), next_state

  return LossWeighting(init, update, needs_gram=True)
