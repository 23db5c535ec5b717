"""An auxiliary loss whose weight follows a schedule and decays over training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg.weighting.base import Losses, LossWeighting, State, num_losses
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.presence import as_mask, ravel_present


class WithAuxiliaryState(NamedTuple):
  """The state of the weighting of the other losses, and the number of steps."""

  inner: State
  num_updates: jax.Array  # [], int32


def with_auxiliary(
  weighting: LossWeighting,
  name: str,
  initial: float = 5.0,
  decay: float = 0.05,
  decay_every: int = 100,
  schedule: optax.Schedule | None = None,
) -> LossWeighting:
  """Weights one loss of a dict by a schedule, and the others by a weighting.

  Formula: γ(t) = γ₀ exp(-λ t) for the auxiliary loss, t = floor(updates / decay_every)

  With a `schedule` of optax the weight is γ = schedule(updates), or 0 where that is negative or not
  finite. The inner weighting does not see the auxiliary loss, neither in the losses nor in
  `weights` and `gram`.

  Models that are trained side by side may have different numbers: `update` takes the extra argument
  `auxiliary`, a pair (γ₀, λ) of scalars, in place of `initial` and `decay`.

  Needs: what the inner weighting needs

  Use when: a loss should steer only the start of training, or its weight should not be taken from
  the others.

  Differs: the paper does not state the unit of t; the authors' demo advances t once per 100
  batches, which is `decay_every` here.

  Source: Golnari & Diba 2026, eqs. 1-2; the defaults are those of the authors' demo.

  Args:
    weighting: decides the weights of the other losses.
    name: the key of the auxiliary loss.
    initial: γ₀ >= 0.
    decay: λ >= 0, per unit of t.
    decay_every: updates per unit of t.
    schedule: a function of the number of updates so far; it replaces the three arguments above.

  Returns:
    A LossWeighting for dicts of losses.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where the losses are not a dict
      with `name` and at least one more.

  Example:
    >>> from mlseg.weighting import fixed
    >>> weighting = with_auxiliary(fixed(), "focal", decay_every=1)
    >>> losses = {"dice": jnp.float32(0.3), "focal": jnp.float32(0.1)}
    >>> state = weighting.init(losses)
    >>> for _ in range(2):
    ...   weights, state = weighting.update(losses, state)
    >>> {name: round(float(weight), 4) for name, weight in weights.items()}
    {'dice': 1.0, 'focal': 4.7561}
    >>> weighting = with_auxiliary(fixed(), "focal", schedule=optax.linear_schedule(2.0, 0.0, 4))
    >>> state = weighting.init(losses)
    >>> for _ in range(2):
    ...   weights, state = weighting.update(losses, state)
    >>> {name: round(float(weight), 4) for name, weight in weights.items()}
    {'dice': 1.0, 'focal': 1.5}
  """
  check_number("initial", initial, 0)
  check_number("decay", decay, 0)
  check_integer("decay_every", decay_every, 1)

  def gamma_at(num_updates, auxiliary):
    if schedule is not None:
      return schedule(num_updates)
    start, rate = (initial, decay) if auxiliary is None else auxiliary
    return start * jnp.exp(-rate * (num_updates // decay_every).astype(jnp.float32))

  def init(losses: Losses) -> WithAuxiliaryState:
    if not isinstance(losses, dict) or name not in losses or len(losses) < 2:
      keys = sorted(losses) if isinstance(losses, dict) else losses
      raise ValueError(
        f"name: losses must be a dict with {name!r} and at least one more, got {keys}"
      )
    num_losses(losses)
    return WithAuxiliaryState(weighting.init(_without(losses, name)), jnp.zeros((), jnp.int32))

  def update(
    losses, state, *, weights=None, gram=None, key=None, present=None, auxiliary=None, **extra
  ):
    others = [index for index, other in enumerate(sorted(losses)) if other != name]
    mask = as_mask(losses, present)
    if mask is not None:
      present = mask[np.array(others)]
    if gram is not None:
      gram = gram[np.ix_(others, others)]
    if weights is not None:
      weights = _without(weights, name)
    inner_weights, inner = weighting.update(
      _without(losses, name),
      state.inner,
      weights=weights,
      gram=gram,
      key=key,
      present=present,
      **extra,
    )
    own_present = None if mask is None else mask[sorted(losses).index(name)][None]
    own, unravel, _ = ravel_present({name: losses[name]}, own_present)
    # optax mixes dtypes in its arithmetic, which the caller may have forbidden.
    with jax.numpy_dtype_promotion("standard"):
      gamma = jnp.asarray(gamma_at(state.num_updates, auxiliary), own.dtype)
    own_weight = unravel(jnp.where(jnp.isfinite(gamma), jnp.maximum(gamma, 0), 0)[None])
    return {**inner_weights, **own_weight}, WithAuxiliaryState(inner, state.num_updates + 1)

  return LossWeighting(init, update, weighting.needs_gram, weighting.decides_first)


def _without(losses: dict, name: str) -> dict:
  return {key: value for key, value in losses.items() if key != name}
