"""Smooth Tchebycheff scalarization: the gradient of a smooth maximum of the losses."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  Weights,
  all_finite,
  num_losses,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_losses import history
from mlseg.weighting.from_losses.scalarization import of_gradient, preferences
from mlseg.weighting.presence import number_of, only, ravel_present


class SmoothTchebycheffState(NamedTuple):
  """The mean losses n to which the logarithms are relative."""

  nadir: jax.Array  # [K]
  num_updates: jax.Array  # [K], int32: steps with this loss whose losses are positive and finite


def smooth_tchebycheff(
  mu: float = 0.1,
  preference: Weights | None = None,
  log: bool = False,
  warm_up: int = 0,
  nadir_updates: int = 1,
) -> LossWeighting:
  """Minimises a smooth maximum of the losses, or of their logarithms.

  Formula: w_k = ∂/∂L_k μ log Σ_j exp(λ_j L_j / μ) = λ_k softmax_k(λ L / μ)

  With `log` the total is K μ log Σ_j exp(Kλ_j log(L_j / n_j) / μ), so that w_k =
  K² λ_k softmax_k(Kλ log(L / n) / μ) / L_k, where n is the mean of the losses over `nadir_updates`
  steps after the first `warm_up` steps. Until n is known the total is Σ_k log L_k, so w_k = 1/L_k.

  The ideal point is 0. Where a loss is not finite, w_k = λ_k / K, as for equal scores. With `log`,
  weights are 1/K where a loss is not positive or not finite, or a weight is too large for the
  dtype; a step with such a loss is not counted.

  Needs: losses

  Use when: the worst loss should be improved first, and with `log` if the losses have different
  units; weights sum to 1/K without `log`, so put `rescale` behind it or raise the learning rate.

  Differs: the paper scalarizes the losses themselves. The authors' multi-task code scalarizes their
  logarithms relative to the means of one epoch; that is `log` here, with epochs 0-3 as `warm_up`
  and epoch 4 as `nadir_updates`.

  Source: Lin et al. 2024, ICML, arXiv 2402.19078.

  Args:
    mu: μ >= 1e-6, small for the maximum itself.
    preference: λ >= 0, as in `cosmos`; None for 1/K.
    log: whether the maximum is over logarithms.
    warm_up: steps before n is measured; only with `log`.
    nadir_updates: the number of steps whose mean is n, >= 1; used with `log`.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where the preference does not
      match the losses.

  Example:
    >>> weighting = smooth_tchebycheff(mu=1.0, preference=1.0)
    >>> losses = jnp.array([1.0, 2.0])
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> [round(float(weight), 4) for weight in weights]
    [0.2689, 0.7311]
  """
  check_number("mu", mu, 1e-6)
  check_integer("warm_up", warm_up, 0)
  check_integer("nadir_updates", nadir_updates, 1)
  if warm_up and not log:
    raise ValueError(f"warm_up: must be 0 unless log, got {warm_up}")

  def gradient(losses, preferred, present):
    scores = preferred * losses
    # Without the largest score, dividing by a small mu cannot overflow above.
    below = only(scores - only(scores, present, -jnp.inf).max(), present) / mu
    weights = preferred * jax.nn.softmax(below, where=present)
    return weights, preferred / number_of(losses, present)

  plain = of_gradient(gradient, preference)
  if not log:
    return plain

  def init(losses: Losses) -> SmoothTchebycheffState:
    plain.init(losses)
    ones = jnp.ones(num_losses(losses), state_dtype(losses))
    return SmoothTchebycheffState(ones, jnp.zeros(ones.size, jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    is_positive = (vector >= float(jnp.finfo(vector.dtype).tiny)).all()
    enters, number = history.enters(vector, present) & is_positive, number_of(vector, present)
    vector = jnp.where(enters, vector, 1)
    measured = state.num_updates - warm_up
    share = 1 / (jnp.maximum(measured, 0) + 1).astype(vector.dtype)
    mean = (1 - share) * state.nadir + share * vector
    entered = only(jnp.broadcast_to(enters, vector.shape), present, False)
    measuring = entered & (measured >= 0) & (measured < nadir_updates)
    scaled = number * preferences(preference, losses, present)
    scores = scaled * (jnp.log(vector) - jnp.log(state.nadir)) / mu
    unknown = only(measured < nadir_updates, present, False).any()
    slopes = jnp.where(unknown, 1, number * scaled * jax.nn.softmax(scores, where=present))
    decided = slopes / vector
    useful = enters & all_finite(only(decided, present))
    next_state = SmoothTchebycheffState(
      jnp.where(measuring, mean, state.nadir), state.num_updates + entered.astype(jnp.int32)
    )
    return unravel(jnp.where(useful, decided, uniform(vector, present))), next_state

  return LossWeighting(init, update)
