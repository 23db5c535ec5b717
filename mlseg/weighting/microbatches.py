"""A function of a batch, computed part by part in the memory of one part."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def mean_over_parts(function: Callable[..., PyTree], args: tuple, num_parts: int) -> PyTree:
  """Returns the mean of function(*args) over parts of the last argument, in the memory of one.

  Results that are not floats are those of the last part.

  Args:
    function: of `args`.
    args: the last one is the batch, a pytree of arrays [B, ...].
    num_parts: divides B.

  Raises:
    ValueError: where the parts do not divide the batch.

  Example:
    >>> batch = jnp.array([1.0, 2.0, 3.0, 6.0])
    >>> float(mean_over_parts(jnp.mean, (batch,), 2))
    3.0
  """
  if num_parts == 1:
    return function(*args)
  *others, batch = args
  parts = jax.tree.map(lambda leaf: _split(leaf, num_parts), batch)
  shapes = jax.eval_shape(function, *others, jax.tree.map(lambda leaf: leaf[0], parts))

  def add(total, part):
    def combine(old, new):
      averages = jnp.issubdtype(new.dtype, jnp.inexact)
      return old + new.astype(old.dtype) / num_parts if averages else new

    return jax.tree.map(combine, total, function(*others, part)), None

  total, _ = jax.lax.scan(add, jax.tree.map(_zeros, shapes), parts)
  return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), total, shapes)


def _split(leaf: jax.Array, num_parts: int) -> jax.Array:
  """Returns [B, ...] as [num_parts, B / num_parts, ...].

  A part takes examples from all over the batch: where the batch is split over devices, each device
  has its share of every part.
  """
  if jnp.ndim(leaf) == 0 or leaf.shape[0] % num_parts:
    raise ValueError(
      f"num_microbatches: must divide the batch, got {num_parts} for shape {jnp.shape(leaf)}"
    )
  return jnp.reshape(leaf, (-1, num_parts, *leaf.shape[1:])).swapaxes(0, 1)


def _zeros(like: jax.ShapeDtypeStruct) -> jax.Array:
  """Returns zeros to sum into: in float32 at least where they are floats."""
  inexact = jnp.issubdtype(like.dtype, jnp.inexact)
  return jnp.zeros(
    like.shape, jnp.promote_types(like.dtype, jnp.float32) if inexact else like.dtype
  )
