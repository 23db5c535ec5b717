"""Sums and means over the pixels and the examples that count. All losses use these functions.

A pixel counts where `valid` is true or a nonzero integer. If `valid` has a floating dtype, it is
the weight of each pixel, which is not negative.
"""

import math

import jax
import jax.numpy as jnp


def pixel_sum(values: jax.Array, valid: jax.Array | None = None, *, num_axes: int = 2) -> jax.Array:
  """Returns the sum over the valid pixels of each image: sum_i m_i v_i.

  Args:
    values: [B, H, W, ...], or with any number of spatial axes.
    valid: [B, H, W], whether a pixel counts, or its weight; None: all count.
    num_axes: of values, the number of spatial axes where valid is None.

  Returns:
    [B, ...].

  Example:
    >>> import jax.numpy as jnp
    >>> pixel_sum(jnp.ones([1, 2, 2]), jnp.array([[[1, 1], [1, 0]]])).tolist()
    [3.0]
    >>> pixel_sum(jnp.ones([1, 2, 2]), jnp.array([[[1.0, 0.5], [0.0, 0.0]]])).tolist()
    [1.5]
  """
  if valid is None:
    return values.sum(axis=tuple(range(1, 1 + num_axes)))
  shape = valid.shape + (1,) * (values.ndim - valid.ndim)
  weights = pixel_weights(valid, values.dtype).reshape(shape)
  weighted = values * weights if jnp.issubdtype(valid.dtype, jnp.floating) else values
  # A product alone would not leave out a value that is not finite.
  counted = jnp.where(weights > 0, weighted, jnp.zeros((), values.dtype))
  return counted.sum(axis=tuple(range(1, valid.ndim)))


def class_sum(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the sum over the valid pixels of each image, for each class.

  Args:
    values: [B, ..., C].
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B, C].

  Example:
    >>> import jax.numpy as jnp
    >>> class_sum(jnp.ones([1, 2, 2, 5, 3])).tolist()
    [[20.0, 20.0, 20.0]]
  """
  return pixel_sum(values, valid, num_axes=values.ndim - 2)


def pixel_mean(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the mean over the valid pixels of each image, 0 where there are none.

  With weights it is sum_i m_i v_i / sum_i m_i.

  Args:
    values: [B, ...].
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B].

  Example:
    >>> import jax.numpy as jnp
    >>> valid = jnp.array([[[1, 0]], [[0, 0]]])
    >>> pixel_mean(jnp.array([[[2.0, 4.0]], [[2.0, 4.0]]]), valid).tolist()
    [2.0, 0.0]
    >>> pixel_mean(jnp.array([[2.0, 4.0]]), jnp.array([[0.3, 0.1]])).tolist()
    [2.5]
  """
  if valid is None:
    return values.mean(axis=tuple(range(1, values.ndim)))
  return pixel_sum(values, valid) / divisor(pixel_count(values, valid))


def pixel_count(
  values: jax.Array, valid: jax.Array | None = None, *, num_axes: int = 2
) -> jax.Array:
  """Returns how many pixels of each image are valid, or the sum of their weights.

  Args:
    values: [B, H, W, ...], of which only shape and dtype are used.
    valid: [B, H, W], whether a pixel counts, or its weight; None: all count.
    num_axes: of values, the number of spatial axes where valid is None.

  Returns:
    [B], of the dtype of values.

  Example:
    >>> import jax.numpy as jnp
    >>> pixel_count(jnp.ones([1, 2, 2, 3]), jnp.array([[[1, 1], [1, 0]]])).tolist()
    [3.0]
  """
  if valid is None:
    return jnp.full(values.shape[:1], math.prod(values.shape[1 : 1 + num_axes]), values.dtype)
  axes = tuple(range(1, valid.ndim))
  if jnp.issubdtype(valid.dtype, jnp.floating):
    return pixel_weights(valid, values.dtype).sum(axis=axes)
  return valid.astype(bool).sum(axis=axes).astype(values.dtype)


def pixel_weights(valid: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """Returns the weight of each pixel: of floating numbers their value, of others 0 or 1.

  Args:
    valid: any shape and dtype, not negative.
    dtype: of the result.

  Example:
    >>> import jax.numpy as jnp
    >>> pixel_weights(jnp.array([0, 255]), jnp.float32).tolist()
    [0.0, 1.0]
    >>> pixel_weights(jnp.array([0.0, 2.5]), jnp.float32).tolist()
    [0.0, 2.5]
  """
  is_weight = jnp.issubdtype(valid.dtype, jnp.floating)
  return (valid if is_weight else valid.astype(bool)).astype(dtype)


def divisor(sizes: jax.Array) -> jax.Array:
  """Returns sizes by which one may divide: 1 instead of 0.

  Args:
    sizes: any shape, not negative.

  Example:
    >>> import jax.numpy as jnp
    >>> divisor(jnp.array([0.0, 0.5])).tolist()
    [1.0, 0.5]
  """
  return jnp.where(sizes > 0, sizes, jnp.ones((), sizes.dtype))


def reduce(values: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the mean over the valid examples, 0 with gradient 0 where there are none.

  Args:
    values: [B], the losses of the examples.
    valid: [B], whether an example counts (padding does not), or its weight; None: all count.

  Returns:
    A scalar.

  Example:
    >>> import jax.numpy as jnp
    >>> reduce(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])).tolist()
    2.0
  """
  if valid is None:
    return values.mean()
  return pixel_mean(values[None], valid[None])[0]
