"""Parameters that a weighting learns beside those of the network, with its own optimiser."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import State, all_finite
from mlseg.weighting.presence import keep_absent, only

ADAM = optax.adam(0.025)  # within 40 steps a logarithm can follow losses that change by a factor e
MAX_LOG = 20.0  # of a weight, so that the optimum can be reached for losses from 2e-9 to 5e8
_MAX_GRADIENT = 100.0  # since optimisers square gradients and keep the squares


class LearnedState(NamedTuple):
  """The learned parameters, and the state of their optimiser."""

  parameters: jax.Array  # [K]; [2, K] for `robust`: the logits of the shapes, and log c²
  optimizer_state: State


def start(parameters: jax.Array, optimizer: optax.GradientTransformation) -> LearnedState:
  """Returns the first state.

  Args:
    parameters: [..., K].
    optimizer: of the parameters.

  Example:
    >>> start(jnp.zeros(2), optax.sgd(1.0)).parameters.tolist()
    [0.0, 0.0]
  """
  return LearnedState(parameters, optimizer.init(parameters))


def descend(
  state: LearnedState,
  gradient: jax.Array,
  losses: jax.Array,
  optimizer: optax.GradientTransformation,
  lower: float | jax.Array,
  upper: float | jax.Array,
  present: jax.Array | None = None,
) -> LearnedState:
  """Returns the state after one step of the optimiser, the parameters clipped to their range.

  The gradient is clipped to [-100, 100] first. Where a loss is not finite, or the step leads to a
  state that is not finite, or no loss is present, nothing changes.

  Args:
    state: of the parameters [..., K].
    gradient: [..., K], with respect to the parameters.
    losses: [K], from which the gradient was computed.
    optimizer: of the parameters.
    lower: the smallest values, a number or an array that broadcasts to [..., K].
    upper: the largest values.
    present: [K], bool: the losses whose parameters may move, or None for all.

  Example:
    >>> optimizer = optax.sgd(0.5)
    >>> state = start(jnp.zeros(2), optimizer)
    >>> gradient, losses = jnp.array([1.0, -8.0]), jnp.ones(2)
    >>> descend(state, gradient, losses, optimizer, -3.0, 3.0).parameters.tolist()
    [-0.5, 3.0]
  """
  gradient = jnp.clip(gradient, -_MAX_GRADIENT, _MAX_GRADIENT)
  moved, optimizer_state = step(
    state.parameters, gradient, state.optimizer_state, optimizer, present
  )
  clipped = only(jnp.clip(moved, lower, upper), present, state.parameters)
  moved_state = LearnedState(clipped, optimizer_state)
  # Checked before clipping, which would hide an infinite update.
  enters = all_finite(only(losses, present)) & all_finite(moved) & _is_finite(moved_state)
  if present is not None:
    enters &= present.any()
  return jax.tree.map(lambda new, old: jnp.where(enters, new, old), moved_state, state)


def step(
  parameters: jax.Array,
  gradient: jax.Array,
  optimizer_state: State,
  optimizer: optax.GradientTransformation,
  present: jax.Array | None = None,
) -> tuple[jax.Array, State]:
  """Returns the parameters and the state of their optimiser after one step of it.

  An optimiser that mixes its entries, as by a norm, finds zeros in place of those of absent losses.

  Args:
    parameters: [..., K].
    gradient: [..., K].
    optimizer_state: the entries [..., K] in it are per loss.
    optimizer: of the parameters.
    present: [K], bool: the losses whose entries may change, or None for all.

  Example:
    >>> optimizer, parameters = optax.sgd(0.5), jnp.zeros(2)
    >>> begin, present = optimizer.init(parameters), jnp.array([True, False])
    >>> step(parameters, jnp.ones(2), begin, optimizer, present)[0].tolist()
    [-0.5, 0.0]
  """
  before = parameters, optimizer_state
  if present is not None:
    gradient = only(gradient, present)
    zeros = jax.tree.map(jnp.zeros_like, before)
    parameters, optimizer_state = keep_absent(before, zeros, present)
  # optax mixes dtypes in its arithmetic, which the caller may have forbidden.
  with jax.numpy_dtype_promotion("standard"):
    updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
    moved = optax.apply_updates(parameters, updates)
  return keep_absent((moved, optimizer_state), before, present)


def _is_finite(state: LearnedState) -> jax.Array:
  """Returns whether no float in the state is NaN or infinite, as a scalar."""
  leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
  floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
  return jnp.stack([all_finite(leaf) for leaf in floats]).all()
