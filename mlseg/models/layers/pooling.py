"""Changes of resolution without parameters: 2×2 max pooling, and repetition of pixels."""

import jax
import jax.numpy as jnp

from mlseg.models.layers.convolution import materialised


@jax.custom_vjp
def max_pool(images: jax.Array) -> jax.Array:
  """Returns the maximum of each 2×2 window with stride 2.

  The gradient goes to the first of equal maxima, as in `flax.linen.max_pool`.

  Args:
    images: [B, H, W, C], H and W even.

  Returns:
    [B, H/2, W/2, C].
  """
  return _max_pool_forward(images)[0]


def _max_pool_forward(images):
  """Returns the maxima, and the index 0 to 3 of each in its window: one byte, not four floats."""
  batch, height, width, channels = images.shape
  windows = images.reshape(batch, height // 2, 2, width // 2, 2, channels)
  maximum, best = windows[:, :, 0, :, 0], jnp.zeros((), jnp.int8)
  for index in (1, 2, 3):
    pixel = windows[:, :, index // 2, :, index % 2]
    best = jnp.where(pixel > maximum, jnp.int8(index), best)
    maximum = jnp.maximum(maximum, pixel)
  return maximum, best


def _max_pool_backward(best, cotangent):
  indices = jnp.arange(4, dtype=jnp.int8).reshape(2, 1, 2, 1)
  wins = best[:, :, None, :, None, :] == indices
  return (materialised(_merge(jnp.where(wins, cotangent[:, :, None, :, None, :], 0))),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def repeat2(images: jax.Array) -> jax.Array:
  """Returns images [B, H, W, C] with each pixel repeated to 2×2: [B, 2H, 2W, C]."""
  batch, height, width, channels = images.shape
  wide = images[:, :, None, :, None, :]
  return _merge(jnp.broadcast_to(wide, (batch, height, 2, width, 2, channels)))


def _merge(windows: jax.Array) -> jax.Array:
  """Returns [B, H, 2, W, 2, C] as [B, 2H, 2W, C]."""
  batch, height, _, width, _, channels = windows.shape
  return windows.reshape(batch, 2 * height, 2 * width, channels)
