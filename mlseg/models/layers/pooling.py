"""Changes of resolution without parameters: max pooling, and repetition of pixels."""

import functools

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


# For the even and then the odd rows of the images: the rows of a 3×3 window in which they are, and
# how many windows further that window is than the one with half their number.
_PARITIES = (((1, 0),), ((0, 1), (2, 0)))


def max_pool3(images: jax.Array) -> jax.Array:
  """Returns the maximum of each 3×3 window with stride 2; one pixel beyond the edge counts as -inf.

  The gradient goes to the first of equal maxima, as in PyTorch.

  Args:
    images: [B, H, W, C].

  Returns:
    [B, ceil(H/2), ceil(W/2), C].

  Example:
    >>> max_pool3(jnp.arange(9.0).reshape(1, 3, 3, 1)).ravel().tolist()
    [4.0, 5.0, 7.0, 8.0]
  """
  return _max_pool3(images, (images.shape[1], images.shape[2]))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool3(images: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns `max_pool3` of images of this height and width."""
  return _max_pool3_forward(images, size)[0]


def _max_pool3_forward(images, size):
  """Returns the maxima, and the index 0 to 8 of each in its window."""
  height, width = (-(-side // 2) for side in size)
  edges = ((1, 2 * height - size[0]), (1, 2 * width - size[1]))
  padded = jnp.pad(images, ((0, 0), *edges, (0, 0)), constant_values=-jnp.inf)
  windows = [
    padded[:, row : row + 2 * height - 1 : 2, column : column + 2 * width - 1 : 2]
    for row in range(3)
    for column in range(3)
  ]
  maximum, best = windows[0], jnp.zeros((), jnp.int8)
  for index, pixel in enumerate(windows[1:], 1):
    best = jnp.where(pixel > maximum, jnp.int8(index), best)
    maximum = jnp.maximum(maximum, pixel)
  return maximum, best


def _max_pool3_backward(size, best, cotangent):
  height, width = cotangent.shape[1:3]
  further = ((0, 0), (0, 1), (0, 1), (0, 0))
  best, cotangent = jnp.pad(best, further, constant_values=-1), jnp.pad(cotangent, further)

  def phase(rows, columns):
    total = jnp.zeros((), cotangent.dtype)
    for row, down in rows:
      for column, right in columns:
        window = (slice(None), slice(down, down + height), slice(right, right + width))
        total += jnp.where(best[window] == 3 * row + column, cotangent[window], 0)
    return total

  rows = [jnp.stack([phase(r, c) for c in _PARITIES], axis=3) for r in _PARITIES]
  merged = _merge(jnp.stack(rows, axis=2))
  return (materialised(merged[:, : size[0], : size[1]]),)


_max_pool3.defvjp(_max_pool3_forward, _max_pool3_backward)


def repeat2(images: jax.Array) -> jax.Array:
  """Returns images [B, H, W, C] with each pixel repeated to 2×2: [B, 2H, 2W, C]."""
  batch, height, width, channels = images.shape
  wide = images[:, :, None, :, None, :]
  return _merge(jnp.broadcast_to(wide, (batch, height, 2, width, 2, channels)))


def _merge(windows: jax.Array) -> jax.Array:
  """Returns [B, H, 2, W, 2, C] as [B, 2H, 2W, C]."""
  batch, height, _, width, _, channels = windows.shape
  return windows.reshape(batch, 2 * height, 2 * width, channels)
