"""Residual-based attention: points whose residuals stay large count more and more."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, all_finite, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.presence import keep_absent, number_of, only, ravel_present


class ResidualAttentionState(NamedTuple):
  """The multipliers of the residuals."""

  multipliers: jax.Array  # [K]: 0 before the first update


def residual_based_attention(decay: float = 0.999, rate: float = 0.01) -> LossWeighting:
  """Weights the squared residuals of single points by how large they have been (RBA).

  Formula: w_k = λ_k² / K, λ_k ← γ λ_k + η √L_k / max_j √L_j

  The K losses are the squared residuals r_k² of K points, so that the total is the mean of
  (λ_k r_k)², with λ_k up to η / (1 - γ). Points have to be the same in every step; several sets of
  points, such as those inside and on the boundary, each have a weighting of their own, or one under
  `vmap`. A negative loss counts as 0. Where a loss is not finite, or all are 0, the λ_k stay. While
  all λ_k are 0, they count as η.

  Needs: losses

  Use when: the points of a physics-informed network, or the pixels of one image, are learned at
  very different speeds; for losses of different kinds it compares numbers that have other units.

  Source: Anagnostopoulos et al. 2024, Computer Methods in Applied Mechanics and Engineering 421,
  arXiv 2307.00379, with its γ and η.

  Args:
    decay: γ, in [0, 1).
    rate: η > 0.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = residual_based_attention(decay=0.5, rate=1.0)
    >>> squares = jnp.array([4.0, 1.0])
    >>> state = weighting.init(squares)
    >>> for _ in range(2):
    ...   weights, state = weighting.update(squares, state)
    >>> state.multipliers.tolist(), weights.tolist()  # 0.5 (1, 0.5) + (1, 0.5), squared, halved
    ([1.5, 0.75], [1.125, 0.28125])
  """
  check_number("decay", decay, 0, 1)
  check_number("rate", rate, 1e-12, 1e6)
  if decay == 1:
    raise ValueError("decay: must be below 1, got 1")

  def init(losses: Losses) -> ResidualAttentionState:
    return ResidualAttentionState(jnp.zeros(num_losses(losses), state_dtype(losses)))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    finite = all_finite(vector)
    sizes = jnp.sqrt(only(jnp.maximum(jnp.where(finite, vector, 0), 0), mask))
    largest = sizes.max()
    enters = finite & (largest > 0)
    shares = sizes / jnp.where(enters, largest, 1)
    moved = jnp.where(enters, decay * state.multipliers + rate * shares, state.multipliers)
    next_state = keep_absent(ResidualAttentionState(moved), state, mask)
    multipliers = next_state.multipliers
    # Before any residual is known all points count alike.
    unknown = only(multipliers, mask).max() == 0
    multipliers = jnp.where(unknown, rate, multipliers)
    return unravel(multipliers**2 / number_of(vector, mask)), next_state

  return LossWeighting(init, update)
