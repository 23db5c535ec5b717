"""Coefficient-of-variation weighting: a loss counts by how much it varies relative to its mean."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, normalize, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_losses import history
from mlseg.weighting.presence import only, ravel_present

_MEANS = ("full", "decay")
_MAX_RATIO = 1e12  # so that float32 can hold the sum of up to 10^14 squares


class CoefficientOfVariationState(NamedTuple):
  """Statistics of the losses and of their ratios to their own means, by Welford's recursion."""

  mean_loss: jax.Array  # [K]
  mean_ratio: jax.Array  # [K]
  sum_of_squares: jax.Array  # [K]: of the ratios' deviations from their mean
  num_seen: jax.Array  # [K], int32: steps with this loss whose losses are finite


def coefficient_of_variation(
  mean: Literal["full", "decay"] = "full", decay: float = 0.99
) -> LossWeighting:
  """Weights losses by how much they vary in relation to their mean.

  Formula: w_k = c_k / Σ_j c_j, c_k = std(l_k) / mean(l_k), l_k(t) = L_k(t) / mean(L_k(0..t-1))

  The weights of a step come from the steps before it alone; until every loss was in two of them
  they are 1/K.
  The standard deviation is sqrt(variance + 1e-8), so that a constant loss keeps a little weight.

  A step with a loss that is not finite changes nothing. The ratio to a mean of 0 counts as 1, and
  ratios are clipped to [-1e12, 1e12]. Where a mean ratio is not positive, which can happen if a
  loss changes its sign, weights are 1/K.

  Needs: losses

  Use when: several losses of one task have different scales and none should be tuned by hand; not
  when a loss varies because its batches are noisy, since noise raises a weight too.

  Differs: with mean='decay' the authors' code lets both means decay but not the sum of squares,
  which it divides by the number of all steps; mlseg does the same.

  Source: Groenendijk et al. 2021, WACV, arXiv 2009.01717.

  Args:
    mean: 'full', over all steps, or 'decay', m(t) = decay m(t-1) + (1 - decay) x(t).
    decay: in [0, 1], for 'decay' only.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = coefficient_of_variation()
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[1.0, 4.0], [0.5, 3.0], [0.5, 3.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 4) for weight in weights]
    [0.7, 0.3]
  """
  if mean not in _MEANS:
    raise ValueError(f"mean: choose from {', '.join(_MEANS)}; got {mean!r}")
  check_number("decay", decay, 0, 1)

  def init(losses: Losses) -> CoefficientOfVariationState:
    zeros = jnp.zeros(num_losses(losses), state_dtype(losses))
    copies = jnp.copy(zeros), jnp.copy(zeros)  # separate arrays, so that a step may overwrite each
    return CoefficientOfVariationState(zeros, *copies, jnp.zeros(zeros.size, jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    entered = _enter(state, vector, decay if mean == "decay" else None)
    enters = history.enters(vector, present)
    next_state = jax.tree.map(
      lambda new, old: jnp.where(enters, only(new, present, old), old), entered, state
    )
    return unravel(_decide(state, present)), next_state

  return LossWeighting(init, update, decides_first=True)


def _decide(state: CoefficientOfVariationState, present: jax.Array | None) -> jax.Array:
  """Returns the weights [K] that the statistics give."""
  number = jnp.maximum(state.num_seen, 1).astype(state.mean_ratio.dtype)
  deviation = jnp.sqrt(state.sum_of_squares / number + 1e-8)
  is_new = only(state.num_seen < 2, present, False).any()
  return normalize(jnp.where(is_new, 1, deviation / state.mean_ratio), present)


def _enter(
  state: CoefficientOfVariationState, losses: jax.Array, decay: float | None
) -> CoefficientOfVariationState:
  """Returns the statistics with one more step."""
  first = state.num_seen == 0
  kept = 1 - 1 / (state.num_seen + 1).astype(losses.dtype) if decay is None else decay
  kept = jnp.where(first, 0, kept).astype(losses.dtype)
  has_mean = jnp.abs(state.mean_loss) >= float(jnp.finfo(losses.dtype).tiny)
  ratio = jnp.where(has_mean, losses / jnp.where(has_mean, state.mean_loss, 1), 1)
  ratio = jnp.clip(ratio, -_MAX_RATIO, _MAX_RATIO)
  mean_ratio = kept * state.mean_ratio + (1 - kept) * ratio
  squares = (ratio - state.mean_ratio) * (ratio - mean_ratio)
  return CoefficientOfVariationState(
    kept * state.mean_loss + (1 - kept) * losses,
    mean_ratio,
    state.sum_of_squares + squares,
    state.num_seen + 1,
  )
