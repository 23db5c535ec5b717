"""Weights that follow schedules of optax over the steps of training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, num_losses
from mlseg.weighting.checks import check_number
from mlseg.weighting.presence import ravel_present


class ScheduledState(NamedTuple):
  """The number of steps."""

  num_updates: jax.Array  # [], int32


def scheduled(schedules: Any = 1.0) -> LossWeighting:
  """Gives each loss the weight that its schedule has for the number of updates so far.

  Formula: w_k(t) = f_k(t), t = 0, 1, ...

  A weight that is negative or not finite is 0. Every step counts, whatever losses it has.

  Needs: losses

  Use when: one knows how the losses should take turns, such as a boundary loss that grows while the
  overlap fades; `with_auxiliary` if the other losses are to follow a method.

  Source: the schedules of optax; the growing weight of Kervadec et al. 2019, MIDL, is one.

  Args:
    schedules: functions of the number of updates, or numbers: one for all losses, K in the order of
      `jax.tree.leaves`, or a pytree like the losses.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where a number is negative or not finite; in `init`, where the schedules do not
      match the losses.

  Example:
    >>> import optax
    >>> weighting = scheduled({"boundary": optax.linear_schedule(0.0, 1.0, 2), "dice": 1.0})
    >>> losses = {"boundary": jnp.float32(0.3), "dice": jnp.float32(0.1)}
    >>> state = weighting.init(losses)
    >>> for _ in range(2):
    ...   weights, state = weighting.update(losses, state)
    >>> {name: float(weight) for name, weight in weights.items()}
    {'boundary': 0.5, 'dice': 1.0}
  """
  own = jax.tree.leaves(schedules)
  for one in own:
    if not callable(one):
      check_number("schedules", one, 0)
  functions = [one if callable(one) else _constant(one) for one in own]

  def matched(losses: Losses) -> list[Callable]:
    number = num_losses(losses)
    if jax.tree_util.treedef_is_leaf(jax.tree.structure(schedules)):
      return functions * number
    like: Any = jax.tree.structure(losses)
    in_order = isinstance(schedules, list | tuple)
    if len(functions) != number or not (in_order or jax.tree.structure(schedules) == like):
      raise ValueError(
        f"schedules: must be one, {number}, or like the losses {like}, got {schedules!r}"
      )
    return functions

  def init(losses: Losses) -> ScheduledState:
    matched(losses)
    return ScheduledState(jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, _ = ravel_present(losses, present)
    # optax mixes dtypes in its arithmetic, which the caller may have forbidden.
    with jax.numpy_dtype_promotion("standard"):
      values = [jnp.asarray(f(state.num_updates), vector.dtype) for f in matched(losses)]
    decided = jnp.stack(values)
    decided = jnp.where(jnp.isfinite(decided), jnp.maximum(decided, 0), 0)
    return unravel(decided), ScheduledState(state.num_updates + 1)

  return LossWeighting(init, update)


def _constant(value: float) -> Callable:
  return lambda step: value
