"""Sums and means over the pixels and the examples that count. All losses use these functions."""

import jax
import jax.numpy as jnp


def pixel_sum(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the sum over the valid pixels of each image: sum_i m_i v_i.

  Args:
    values: [B, H, W, ...].
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B, ...].

  Example:
    >>> import jax.numpy as jnp
    >>> pixel_sum(jnp.ones([1, 2, 2]), jnp.array([[[1, 1], [1, 0]]])).tolist()
    [3.0]
  """
  if valid is not None:
    counts = _expand(valid, values.ndim)
    values = jnp.where(counts, values, jnp.zeros((), values.dtype))
  return values.sum(axis=(1, 2))


def pixel_mean(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the mean over the valid pixels of each image, 0 where there are none.

  Args:
    values: [B, H, W].
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B].

  Example:
    >>> import jax.numpy as jnp
    >>> valid = jnp.array([[[1, 0]], [[0, 0]]])
    >>> pixel_mean(jnp.array([[[2.0, 4.0]], [[2.0, 4.0]]]), valid).tolist()
    [2.0, 0.0]
  """
  if valid is None:
    return values.mean(axis=(1, 2))
  return pixel_sum(values, valid) / jnp.maximum(pixel_count(values, valid), 1)


def pixel_count(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns how many pixels of each image are valid.

  Args:
    values: [B, H, W, ...], of which only shape and dtype are used.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], of the dtype of values.

  Example:
    >>> import jax.numpy as jnp
    >>> pixel_count(jnp.ones([1, 2, 2, 3]), jnp.array([[[1, 1], [1, 0]]])).tolist()
    [3.0]
  """
  if valid is None:
    return jnp.full(values.shape[:1], values.shape[1] * values.shape[2], values.dtype)
  return valid.astype(bool).sum(axis=(1, 2)).astype(values.dtype)


def reduce(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the mean over the valid examples, 0 with gradient 0 where there are none.

  Args:
    values: [B], the losses of the examples.
    valid: [B], nonzero where an example counts (padding does not); None: all count.

  Returns:
    A scalar.

  Example:
    >>> import jax.numpy as jnp
    >>> reduce(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])).tolist()
    2.0
  """
  if valid is None:
    return values.mean()
  counts = valid.astype(bool)
  total = jnp.where(counts, values, jnp.zeros((), values.dtype)).sum()
  return total / jnp.maximum(counts.sum().astype(values.dtype), 1)


def _expand(valid: jax.Array, ndim: int) -> jax.Array:
  return valid.astype(bool).reshape(valid.shape + (1,) * (ndim - valid.ndim))
