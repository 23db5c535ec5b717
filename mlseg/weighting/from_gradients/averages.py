"""Functions that `moco` and `db_mtl` share: both average the gradient of each loss over time.

The averages take K times the memory of the parameters.
"""

from typing import Any

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, num_losses, ravel
from mlseg.weighting.presence import only
from mlseg.weighting.stacked import total, wide_dtype

PyTree = Any
EPSILON = 1e-8  # added to norms and losses that are divided by, as in the reference code


def loss_vector(losses: Losses, like: jax.Array, present: jax.Array | None = None) -> jax.Array:
  """Returns the losses as a vector [K].

  Args:
    losses: a pytree of K scalars, or one array [K].
    like: [K], an array whose dtype the vector gets.
    present: [K], bool, or None for all; the others become 1.

  Raises:
    ValueError: where losses is None or has another number of losses.

  Example:
    >>> loss_vector({"b": 2.0, "a": 1.0}, jnp.zeros(2)).tolist()
    [1.0, 2.0]
  """
  if losses is None or num_losses(losses) != like.size:
    raise ValueError(f"losses: must be given, K = {like.size} of them, got {losses!r}")
  return only(ravel(losses)[0].astype(like.dtype), present, 1)


def step_number(num_updates: jax.Array, like: jax.Array) -> jax.Array:
  """Returns t, the number of the step that is taken now, from 1.

  Args:
    num_updates: [], int32, the steps before.
    like: an array whose dtype t gets.

  Example:
    >>> float(step_number(jnp.int32(0), jnp.zeros(2)))
    1.0
  """
  return num_updates.astype(like.dtype) + 1


def norms_of(gradients: PyTree, like: jax.Array) -> jax.Array:
  """Returns the lengths of K gradients, [K].

  Args:
    gradients: a pytree of arrays [K, ...].
    like: [K], an array whose dtype the lengths get.

  Example:
    >>> norms_of({"a": jnp.array([[3.0, 4.0], [0.0, 1.0]])}, jnp.zeros(2)).tolist()
    [5.0, 1.0]
  """
  squares = jax.tree.map(lambda g: g.astype(wide_dtype(g)) ** 2, gradients)
  return jnp.sqrt(total(squares, like))


def scale_each(factors: jax.Array, gradients: PyTree) -> PyTree:
  """Returns s_k g_k, in the dtype of the factors.

  Args:
    factors: s, [K].
    gradients: a pytree of arrays [K, ...].

  Example:
    >>> scale_each(jnp.array([2.0, 3.0]), {"a": jnp.ones((2, 1))})["a"].tolist()
    [[2.0], [3.0]]
  """

  def scale(leaf: jax.Array) -> jax.Array:
    return factors.reshape(-1, *[1] * (leaf.ndim - 1)) * leaf.astype(factors.dtype)

  return jax.tree.map(scale, gradients)


def move_towards(averages: PyTree, gradients: PyTree, rate: jax.Array) -> PyTree:
  """Returns y + rate (g - y), in the dtypes of the averages.

  Args:
    averages: y, a pytree of arrays.
    gradients: g, a pytree of arrays of the same shapes.
    rate: [], in [0, 1].

  Example:
    >>> float(move_towards(jnp.float32(0.0), jnp.float32(8.0), jnp.float32(0.25)))
    2.0
  """

  def move(average: jax.Array, gradient: jax.Array) -> jax.Array:
    return average + rate.astype(average.dtype) * (gradient.astype(average.dtype) - average)

  return jax.tree.map(move, averages, gradients)
