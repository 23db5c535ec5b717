"""Sampling images and masks at coordinates between pixels."""

import jax
import jax.numpy as jnp

_WORD = 4  # bytes


def sample(
  images: jax.Array, masks: jax.Array, rows: jax.Array, columns: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns images sampled bilinearly, and masks sampled from the nearest pixel, at coordinates.

  Values outside of an image are 0, as in
  `scipy.ndimage.map_coordinates(..., order, mode="grid-constant")`. The channels of a pixel and its
  class are read as one word of four bytes, because most time is spent reading from scattered
  positions. Masks that are not uint8 are read separately.

  Args:
    images: [B, H, W, I] uint8.
    masks: [B, H, W], integers.
    rows: [B, H', W'] float32, the coordinates in pixels.
    columns: [B, H', W'] float32.

  Returns:
    [B, H', W', I] float32, from 0 to 255, and [B, H', W'] in the dtype of the masks.
  """
  height, width = masks.shape[1:]
  row, column = jnp.floor(rows), jnp.floor(columns)
  down, right = rows - row, columns - column
  inside = (rows > -1) & (rows < height) & (columns > -1) & (columns < width)
  # The index of the upper left neighbour, in an image with a border of one pixel.
  index = (row.astype(jnp.int32) + 1) * (width + 2) + column.astype(jnp.int32) + 1
  index = _computed_once(jnp.where(inside, index, 0))
  is_lower, is_right = down >= 0.5, right >= 0.5  # the nearest neighbour
  with_masks = masks.dtype == jnp.uint8
  pixels = jnp.concatenate([images, masks[..., None]], -1) if with_masks else images
  channels: list[jax.Array] = []
  for words in _words(pixels):
    corners = [_read(words, index + offset) for offset in (0, 1, width + 2, width + 3)]
    for number in range(_WORD):
      a, b, c, d = (_byte(corner, number) for corner in corners)
      if len(channels) < images.shape[-1]:
        upper, lower = a + right * (b - a), c + right * (d - c)
        value = upper + down * (lower - upper)
      else:
        value = jnp.where(is_lower, jnp.where(is_right, d, c), jnp.where(is_right, b, a))
      channels.append(jnp.where(inside, value, 0))
  colours = jnp.stack(channels[: images.shape[-1]], -1)
  if with_masks:
    return colours, channels[images.shape[-1]].astype(masks.dtype)
  nearest = index + jnp.where(is_lower, width + 2, 0) + jnp.where(is_right, 1, 0)
  return colours, _read(masks, jnp.where(inside, nearest, 0))


def _computed_once(indices: jax.Array) -> jax.Array:
  """Returns non-negative integers unchanged, in a way that XLA on the CPU computes once.

  XLA on the CPU computes cheap expressions again for each of their uses, here for the four corners,
  which then take three times as long. It rates a remainder as expensive, and computes it once. An
  `optimization_barrier` would do the same only under compiler options (`models.materialise`).
  """
  if jax.default_backend() != "cpu":
    return indices
  return jax.lax.rem(indices, jnp.asarray(jnp.iinfo(indices.dtype).max, indices.dtype))


def _words(images: jax.Array) -> list[jax.Array]:
  """Returns the channels of images in groups of four, as arrays [B, H, W] uint32."""
  padding = -images.shape[-1] % _WORD
  padded = jnp.pad(images, ((0, 0), (0, 0), (0, 0), (0, padding)))
  parts = jnp.split(padded, padded.shape[-1] // _WORD, axis=-1)
  return [jax.lax.bitcast_convert_type(part, jnp.uint32) for part in parts]


def _read(array: jax.Array, indices: jax.Array) -> jax.Array:
  """Returns values [B, H', W'] of an array [B, H, W] with a border of zeros, by flat indices."""
  bordered = jnp.pad(array, ((0, 0), (1, 1), (1, 1)))
  count, size = len(array), bordered[0].size
  first = size * jnp.arange(count, dtype=jnp.int32)
  flat = bordered.reshape(-1).at[indices + first.reshape(-1, 1, 1)]
  return flat.get(mode="promise_in_bounds")


def _byte(words: jax.Array, number: int) -> jax.Array:
  """Returns the byte of a number (0 the lowest) of each word as float32."""
  byte = (words >> (8 * number)) & 255
  return byte.astype(jnp.int32).astype(jnp.float32)  # a signed integer is converted faster
