"""GO4Align: losses in groups, with one weight for each group."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  all_finite,
  normalize,
  num_losses,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_losses.groups import group_means
from mlseg.weighting.presence import only, ravel_present
from mlseg.weighting.simplex import share, shares_of

_LARGEST_STEP = 20.0  # in the logarithm of a share


class Go4AlignState(NamedTuple):
  """The shares, which remember how large each loss has been."""

  shares: jax.Array  # [K], sum 1


def go4align(num_groups: int = 2, step_size: float = 1e-4) -> LossWeighting:
  """Puts losses of like weights into groups, and gives each group the mean weight of its losses.

  Formula: w_k = mean of v over the group of k, v_k = p_k Σ_j L_j / L_k, p_k ← p_k e^(-η L_k) / Σ_j
  p_j e^(-η L_j)

  The v_k make the losses equally large; the shares p_k, which begin at 1/K, take weight from losses
  that have been large. The groups are those of k-means over v_1 … v_K in this step. A loss counts
  in η L_k as at most 20 / η above the smallest one.

  Where a loss is not positive or not finite, the shares stay and v_k = K p_k, which is what equal
  losses give; so it is where a weight is too large for the dtype.

  Needs: losses

  Use when: there are many positive losses, of which some behave alike; not for losses that come
  near 0, since their weights grow without bound. With one group all losses have one weight, which
  changes the step size alone.

  Differs: the authors' code begins k-means with losses drawn at random, which may end in a local
  optimum; mlseg finds the best groups, so equal losses have equal weights whatever the seed is.

  Differs: the number of groups has no default in the authors' class, and is 1 in their command.

  Source: Shen et al. 2024, NeurIPS, arXiv 2404.06486; the formula is that of the authors' code.

  Args:
    num_groups: the largest number of groups; K or more for a weight of its own for each loss.
    step_size: η >= 0.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = go4align(num_groups=2, step_size=0.0)
    >>> losses = jnp.array([1.0, 4.0, 5.0])
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> [round(float(weight), 4) for weight in weights]  # of 10 / 3 L_k: 3.3333 | 0.8333, 0.6667
    [3.3333, 0.75, 0.75]
  """
  check_integer("num_groups", num_groups, 1)
  check_number("step_size", step_size, 0)

  def init(losses: Losses) -> Go4AlignState:
    return Go4AlignState(uniform(jnp.zeros(num_losses(losses), state_dtype(losses))))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    enters = all_finite(vector) & (vector > 0).all()
    vector = jnp.where(enters, vector, 1)
    held = shares_of(jnp.asarray(state.shares), mask)
    excess = step_size * (vector - only(vector, mask, jnp.inf).min())
    moved = normalize(held * jnp.exp(-jnp.clip(excess, 0, _LARGEST_STEP)), mask)
    # No share becomes 0, from which it would never return.
    moved = jnp.maximum(moved, jnp.finfo(moved.dtype).eps)
    shares = jnp.where(enters, moved, held)
    decided = _weights(shares, vector, num_groups, mask)
    equal = _weights(shares, jnp.ones_like(vector), num_groups, mask)
    decided = jnp.where(all_finite(only(decided, mask)), decided, equal)
    return unravel(decided), Go4AlignState(share(shares, state.shares, mask))

  return LossWeighting(init, update)


def _weights(
  shares: jax.Array, losses: jax.Array, num_groups: int, present: jax.Array | None
) -> jax.Array:
  """Returns the mean of p Σ_j L_j / L over the group of each loss, [K]."""
  logs = jnp.log(losses)
  total = jax.nn.logsumexp(only(logs, present, -jnp.inf))
  log_scores = only(jnp.log(shares) + total - logs, present, -jnp.inf)
  largest = log_scores.max()
  # Grouped as parts of the largest, whose squares are within every dtype's range.
  parts = group_means(jnp.exp(log_scores - largest), num_groups, present)
  return jnp.exp(largest) * parts
