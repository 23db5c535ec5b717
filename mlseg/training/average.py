"""The exponential moving average of a model's variables, which is evaluated instead of them."""

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def update(average: PyTree, variables: PyTree, decay: float, num_updates: jax.Array) -> PyTree:
  """Returns the average after one more update: a ← d a + (1 - d) θ, d = min(decay, (1+t) / (10+t)).

  t counts the updates before this one. The decay of the first updates is small, so that the random
  start, from which the average begins, soon counts nothing: its share after t updates of a decay of
  1 is 9! t! / (9 + t)!, below 1e-6 after 20. All floats are averaged, the running statistics of
  batch normalisation too; other numbers are the newest.

  Source: the schedule of the decay is that of `tf.train.ExponentialMovingAverage` with
    `num_updates`; averages of statistics are those of timm's `ModelEmaV2`.

  Args:
    average: a, a pytree of arrays.
    variables: θ, of the same structure.
    decay: in (0, 1).
    num_updates: t, [] int32.

  Example:
    >>> a = jnp.float32(0.0)
    >>> for t in range(3):
    ...   a = update(a, jnp.float32(1.0), 0.15, jnp.int32(t))
    >>> f"{1 - a:.6f}"  # 0.1 · 0.15 · 0.15
    '0.002250'
  """
  # 1 - d, without the rounding of a decay near 1.
  share = jnp.maximum(1 - decay, 9 / (10 + num_updates))

  def one(old: jax.Array, new: jax.Array) -> jax.Array:
    if not jnp.issubdtype(new.dtype, jnp.inexact):
      return new
    return old + share.astype(old.dtype) * (new - old)

  return jax.tree.map(one, average, variables)
