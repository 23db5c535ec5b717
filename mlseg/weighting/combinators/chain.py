"""A chain of weightings, and combinators that smooth or bound the weights of the one before."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  EmptyState,
  Losses,
  LossWeighting,
  State,
  all_finite,
  num_losses,
  ravel_weights,
  shrink,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_number
from mlseg.weighting.presence import number_of, only, ravel_present


class ChainState(NamedTuple):
  """The states of the weightings of a chain."""

  members: tuple[State, ...]  # one per weighting, in order


class EmaState(NamedTuple):
  """The moving average of the weights."""

  average: jax.Array  # [K]
  num_seen: jax.Array  # [K], int32: steps with finite weights in which the loss was present


def chain(*weightings: LossWeighting) -> LossWeighting:
  """Applies weightings in turn; each gets the losses and the weights of the one before.

  Formula: w = (the last ∘ ... ∘ the first)(L, w given)

  A method replaces the weights before it, and a combinator changes them. So a chain has one method
  first, and then combinators. Each weighting gets the random key folded with its index.

  Needs: what its weightings need

  Use when: the weights of a method should be smoothed, bounded or scaled.

  Args:
    *weightings: at least one.

  Returns:
    A LossWeighting; its weights are those of the last one.

  Raises:
    ValueError: where no weighting is given.

  Example:
    >>> from mlseg.weighting import fixed
    >>> weighting = chain(fixed((9.0, 1.0)), bounded(0.2, 0.8))
    >>> losses = jnp.array([0.5, 0.5])
    >>> weights, state = weighting.update(losses, weighting.init(losses))
    >>> print(weights)
    [8. 2.]
  """
  if not weightings:
    raise ValueError("weightings: must be at least one, got none")

  def init(losses: Losses) -> ChainState:
    return ChainState(tuple(weighting.init(losses) for weighting in weightings))

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    states = []
    for index, (weighting, inner) in enumerate(zip(weightings, state.members, strict=True)):
      inner_key = None if key is None else jax.random.fold_in(key, index)
      weights, inner = weighting.update(
        losses, inner, weights=weights, gram=gram, key=inner_key, **extra
      )
      states.append(inner)
    return weights, ChainState(tuple(states))

  return LossWeighting(
    init,
    update,
    needs_gram=any(weighting.needs_gram for weighting in weightings),
    decides_first=any(weighting.decides_first for weighting in weightings),
  )


def ema(decay: float = 0.9) -> LossWeighting:
  """Smooths weights over steps by an exponential moving average.

  Formula: a(t) = decay a(t-1) + (1 - decay) w(t), a(0) = w(0)

  The average is a convex combination of the weights so far, so it keeps their sum. Weights that are
  not finite are left out. Until there are finite ones, the result is uniform, 1/K.

  Needs: weights of a chain

  Use when: weights jump from step to step; it delays them by about 1 / (1 - decay) steps.

  Source: named as future work by Golnari & Diba 2026.

  Args:
    decay: in [0, 1]; with 0 nothing changes, with 1 the first weights stay.

  Returns:
    A LossWeighting for use in a `chain`.

  Raises:
    ValueError: where decay is out of its range.

  Example:
    >>> weighting = ema(0.5)
    >>> losses = jnp.zeros(2)
    >>> state = weighting.init(losses)
    >>> for weights in jnp.array([[1.0, 0.0], [0.0, 1.0]]):
    ...   average, state = weighting.update(losses, state, weights=weights)
    >>> print(average)
    [0.5 0.5]
  """
  check_number("decay", decay, 0, 1)

  def init(losses: Losses) -> EmaState:
    number = num_losses(losses)
    average = jnp.full(number, 1 / number, state_dtype(losses))
    return EmaState(average, jnp.zeros(number, jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    current = ravel_weights(weights, vector, present).astype(state.average.dtype)
    mixed = decay * state.average + (1 - decay) * current
    average = jnp.where(state.num_seen == 0, current, mixed)
    enters = only(jnp.broadcast_to(all_finite(current), vector.shape), present, False)
    average = jnp.where(enters, average, state.average)
    return unravel(average), EmaState(average, state.num_seen + enters.astype(jnp.int32))

  return LossWeighting(init, update)


def bounded(lower: float = 0.0, upper: float = 1.0) -> LossWeighting:
  """Bounds the share of each weight in the sum of weights, and keeps the sum.

  Formula: w_k → S clip(w_k / S + τ, lower, upper), S = Σ_j w_j, τ such that the sum is S

  The new shares are the point of the bounded simplex that is nearest to w / S. Weights within the
  bounds do not change. Where S is not positive or a weight is not finite, weights are 1/K.

  Needs: weights of a chain

  Use when: no loss may lose its weight or get all of it, as can happen with Bayesian memory fusion;
  put it last, since a combinator behind it may leave the bounds again.

  Source: named as future work ("limits on the weight adjustment") by Golnari & Diba 2026.

  Args:
    lower: of each share, 0 <= lower <= 1/K.
    upper: of each share, 1/K <= upper <= 1.

  Returns:
    A LossWeighting for use in a `chain`.

  Raises:
    ValueError: where a bound is out of its range; in `init`, where it is for this K.

  Example:
    >>> weighting = bounded(0.1, 0.6)
    >>> losses = jnp.zeros(3)
    >>> weights = jnp.array([0.875, 0.125, 0.0])
    >>> bounded_weights, _ = weighting.update(losses, weighting.init(losses), weights=weights)
    >>> [round(float(weight), 4) for weight in bounded_weights]
    [0.6, 0.2625, 0.1375]
  """
  check_number("lower", lower, 0, 1)
  check_number("upper", upper, lower, 1)

  def init(losses: Losses) -> EmptyState:
    share = 1 / num_losses(losses)
    check_number("lower", lower, 0, share)
    check_number("upper", upper, share, 1)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    return unravel(_bound(ravel_weights(weights, vector, present), lower, upper, present)), state

  return LossWeighting(init, update)


def _bound(weights: jax.Array, lower: float, upper: float, present: jax.Array | None) -> jax.Array:
  """Returns the weights [K] with each share of their sum in [lower, upper]."""
  # Few present losses may have to share more than their bounds allow.
  highest = upper if present is None else jnp.maximum(upper, 1 / number_of(weights, present))
  equal = uniform(weights, present)
  shrunk, factor = shrink(weights)
  total = shrunk.sum()
  useful = all_finite(weights) & (total > 0)
  shares = jnp.where(useful, shrunk / jnp.where(useful, total, 1), equal)
  within = only((shares >= lower) & (shares <= highest), present, True).all()
  projected = _project(shares, lower, highest, present) * total / factor
  bound = jnp.where(within, weights, projected)
  return jnp.where(useful & all_finite(bound), bound, equal)


def _project(
  shares: jax.Array, lower: float, upper: float | jax.Array, present: jax.Array | None
) -> jax.Array:
  """Returns clip(shares + tau, lower, upper) with the tau for which it sums to 1.

  The sum is a piecewise linear function of tau, with a corner wherever a share reaches a bound, so
  tau is found by linear interpolation between two corners.
  """

  def moved(shift: jax.Array) -> jax.Array:
    return only(jnp.clip(shares[None] + shift[:, None], lower, upper), present)

  shifts = jnp.sort(jnp.concatenate([lower - shares, upper - shares]))
  tau = jnp.interp(1.0, moved(shifts).sum(axis=1), shifts)
  return moved(tau[None])[0]
