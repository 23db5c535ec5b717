"""Combinators for when a weighting decides: every few steps, once per epoch, after a warm-up."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  State,
  Weights,
  all_finite,
  num_losses,
  ravel,
  ravel_weights,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_integer
from mlseg.weighting.presence import only, ravel_present


class EveryState(NamedTuple):
  """The state of the inner weighting, and the weights that it last gave."""

  inner: State
  weights: jax.Array  # [K]: 1/K before the first update
  num_updates: jax.Array  # [], int32


class PerEpochState(NamedTuple):
  """The state of the inner weighting, the weights of this epoch, and its mean losses so far."""

  inner: State
  weights: jax.Array  # [K]: 1/K before the first update
  losses: jax.Array  # [K]: mean over the counted steps of this epoch
  gram: jax.Array  # [K, K]: mean over the same steps; [0, 0] where none is needed
  num_entered: jax.Array  # [K, K], int32: the counted steps of this epoch that had both losses
  num_updates: jax.Array  # [], int32


class WarmUpState(NamedTuple):
  """The state of the inner weighting, and the number of steps."""

  inner: State
  num_updates: jax.Array  # [], int32


def every(weighting: LossWeighting, steps: int) -> LossWeighting:
  """Updates a weighting every few steps, and keeps its weights in between.

  Formula: w(t) = inner weights of step n floor(t / n), from the losses of that step alone

  The inner state does not change in between. Where the inner weights are not finite, the weights
  from before stay; at first these are 1/K. A loss that is absent when the weights are decided keeps
  its own from before.

  The inner weighting is not computed in between, except under `vmap`, which computes both branches
  of a condition. The caller of `update` computes a Gram matrix at every step all the same.

  Needs: what the inner weighting needs

  Use when: the weighting itself costs time, or its weights should not follow each batch; not to
  smooth noise, because the losses in between are ignored: `ema` and `per_epoch` average.

  Args:
    weighting: the inner weighting.
    steps: n >= 1; with 1 nothing changes.

  Returns:
    A LossWeighting.

  Raises:
    ValueError: where steps is out of its range; in `init`, what the inner weighting raises.

  Example:
    >>> from mlseg.weighting import geometric
    >>> weighting = every(geometric(), 2)
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[4.0, 1.0], [1.0, 1.0], [1.0, 1.0]]):
    ...   weights, state = weighting.update(losses, state)
    ...   print(weights)
    [0.25 1.  ]
    [0.25 1.  ]
    [0.5 0.5]
  """
  check_integer("steps", steps, 1)

  def init(losses: Losses) -> EveryState:
    return EveryState(weighting.init(losses), _first_weights(losses), jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    _, unravel, present = ravel_present(losses, present)

    def decide():
      decided, inner = weighting.update(
        losses, state.inner, weights=weights, gram=gram, key=key, present=present, **extra
      )
      return only(_finite_or(decided, state.weights), present, state.weights), inner

    def hold():
      return state.weights, state.inner

    decided, inner = jax.lax.cond(state.num_updates % steps == 0, decide, hold)
    return unravel(decided), EveryState(inner, decided, state.num_updates + 1)

  return LossWeighting(init, update, weighting.needs_gram, weighting.decides_first)


def per_epoch(weighting: LossWeighting, steps_per_epoch: int) -> LossWeighting:
  """Updates a weighting with the mean losses of each epoch, at its end.

  Formula: w(e) = inner weights from mean_t L(t) over the epochs 0, ..., e - 1, in all steps of
  epoch e

  The inner weighting has one update per epoch, with the mean losses of that epoch, and the epoch
  that has just ended always counts in the weights of the next one. A method that decides
  before its state has seen the losses (`decides_first`: `dynamic_weight_average`,
  `coefficient_of_variation`, most learned methods) is asked a second time for this, with the state
  that has seen the epoch. So `per_epoch(dynamic_weight_average(), n)` weights epoch e by
  L(e-1) / L(e-2), as the paper of that method does.

  In the first epoch the weights are those that the inner weighting gives for the losses of the
  first step; its state stays as it was. A method with a history gives its neutral weights then.

  A Gram matrix is averaged too; other arguments are those of the last step of an epoch. A step with
  a loss or a Gram matrix that is not finite is left out of the means, and an epoch of such steps
  alone changes nothing. Where the inner weights are not finite, the weights from before stay; at
  first these are 1/K.

  Needs: what the inner weighting needs

  Use when: a method is meant for epochs, as `dynamic_weight_average`, or the losses of single
  batches are mostly noise; not with few epochs.

  Args:
    weighting: the inner weighting.
    steps_per_epoch: calls of `update` per epoch.

  Returns:
    A LossWeighting.

  Raises:
    ValueError: where steps_per_epoch is out of its range; in `init`, what the inner weighting
      raises.

  Example:
    >>> from mlseg.weighting import geometric
    >>> weighting = per_epoch(geometric(), 2)
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[1.0, 1.0], [7.0, 1.0], [9.0, 9.0]]):
    ...   weights, state = weighting.update(losses, state)
    ...   print(weights)
    [0.5 0.5]
    [0.5 0.5]
    [0.25 1.  ]
  """
  check_integer("steps_per_epoch", steps_per_epoch, 1)

  def init(losses: Losses) -> PerEpochState:
    first, zero = _first_weights(losses), jnp.zeros((), jnp.int32)
    size = first.size if weighting.needs_gram else 0
    gram = jnp.zeros((size, size), first.dtype)
    entered = jnp.zeros((first.size, first.size), jnp.int32)
    return PerEpochState(weighting.init(losses), first, jnp.zeros_like(first), gram, entered, zero)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    vector, unravel, present = ravel_present(losses, present)
    structured = ravel(losses)[1]
    gram = gram if weighting.needs_gram else None
    state = _average(state, vector, gram, present, state.num_updates % steps_per_epoch == 0)
    seen, is_first = jnp.diagonal(state.num_entered) > 0, state.num_updates == 0
    known = seen.any()
    ends = (state.num_updates % steps_per_epoch == steps_per_epoch - 1) & known
    # The losses of the epoch so far: all, unless this step says that losses can be absent.
    of_epoch = None if present is None else jnp.where(known, seen, present)

    def decide():
      # NaN where no step was finite: the first weights are then the neutral ones of the method.
      mean_gram = None if gram is None else jnp.where(known, state.gram, jnp.nan)
      means = structured(jnp.where(known, state.losses, jnp.nan))

      def ask(inner):
        decided, inner = weighting.update(
          means, inner, weights=weights, gram=mean_gram, key=key, present=of_epoch, **extra
        )
        return only(_finite_or(decided, state.weights), of_epoch, state.weights), inner

      decided, inner = ask(state.inner)
      after = ask(inner)[0] if weighting.decides_first else decided
      inner = jax.tree.map(lambda new, old: jnp.where(ends, new, old), inner, state.inner)
      return decided, jnp.where(ends, after, decided), inner

    def hold():
      return state.weights, state.weights, state.inner

    first, decided, inner = jax.lax.cond(is_first | ends, decide, hold)
    current = jnp.where(is_first, first, state.weights)
    next_state = state._replace(inner=inner, weights=decided, num_updates=state.num_updates + 1)
    return unravel(current), next_state

  return LossWeighting(init, update, weighting.needs_gram)


def warm_up(weighting: LossWeighting, steps: int, transition_steps: int = 0) -> LossWeighting:
  """Delays the use of a weighting's weights; from the first step on it sees the losses.

  Formula: w(t) = (1 - a) v(t) + a inner weights(t), a = clip((t + 1 - n) / (m + 1), 0, 1)

  Here t counts from 0, n is `steps` and m is `transition_steps`. v are the weights from before this
  combinator in a chain, or 1/K where it is the first: `chain(fixed(), warm_up(weighting, 100))`
  begins with the plain sum. Histories fill and parameters are learned from the first step on.

  Where the inner weights are not finite, v takes their place; where v is not finite, 1/K does.

  Needs: what the inner weighting needs, weights of a chain

  Use when: the first losses are no guide to the later ones, as before the network has learned
  anything; not to wait for a history, since methods with a history wait by themselves.

  Args:
    weighting: the inner weighting.
    steps: n >= 0, steps without its weights.
    transition_steps: m >= 0, steps in which v and its weights are mixed; 0 for none.

  Returns:
    A LossWeighting.

  Raises:
    ValueError: where an argument is out of its range; in `init`, what the inner weighting raises.

  Example:
    >>> from mlseg.weighting import fixed
    >>> weighting = warm_up(fixed((1.0, 0.0)), steps=1, transition_steps=1)
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.zeros([3, 2]):
    ...   weights, state = weighting.update(losses, state)
    ...   print(weights)
    [0.5 0.5]
    [0.75 0.25]
    [1. 0.]
  """
  check_integer("steps", steps, 0)
  check_integer("transition_steps", transition_steps, 0)

  def init(losses: Losses) -> WarmUpState:
    num_losses(losses)
    return WarmUpState(weighting.init(losses), jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    vector, unravel, present = ravel_present(losses, present)
    before = _finite_or(ravel_weights(weights, vector, present), uniform(vector, present))
    decided, inner = weighting.update(
      losses, state.inner, weights=weights, gram=gram, key=key, present=present, **extra
    )
    after = _finite_or(decided, before)
    passed = (state.num_updates + 1 - steps).astype(vector.dtype)
    share = jnp.clip(passed / (transition_steps + 1), 0, 1)
    mixed = _finite_or((1 - share) * before + share * after, after)
    return unravel(mixed), WarmUpState(inner, state.num_updates + 1)

  return LossWeighting(init, update, weighting.needs_gram, weighting.decides_first)


def _first_weights(losses: Losses) -> jax.Array:
  """Returns the weights 1/K as a vector."""
  number = num_losses(losses)
  return jnp.full(number, 1 / number, state_dtype(losses))


def _finite_or(weights: Weights, otherwise: jax.Array) -> jax.Array:
  """Returns the weights as a vector; the other vector where one of them is not finite."""
  vector = ravel(weights)[0].astype(otherwise.dtype)
  return jnp.where(all_finite(vector), vector, otherwise)


def _average(
  state: PerEpochState,
  losses: jax.Array,
  gram: jax.Array | None,
  present: jax.Array | None,
  starts: jax.Array,
) -> PerEpochState:
  """Returns the state with one more step in its means, which start again with each epoch."""
  number = jnp.where(starts, 0, state.num_entered)
  pairs = jnp.ones(number.shape, bool)
  if present is not None:
    pairs = present[:, None] & present[None]
  gram = None if gram is None else jnp.where(pairs, gram, 0).astype(state.gram.dtype)
  enters = all_finite(losses) & (True if gram is None else all_finite(gram)) & pairs
  share = 1 / (number + 1).astype(losses.dtype)

  def mix(mean, value, share, enters):
    return jnp.where(enters, (1 - share) * mean + share * value, mean)  # a sum may overflow

  means = mix(state.losses, losses, jnp.diagonal(share), jnp.diagonal(enters))
  products = state.gram if gram is None else mix(state.gram, gram, share, enters)
  return state._replace(losses=means, gram=products, num_entered=number + enters.astype(jnp.int32))
