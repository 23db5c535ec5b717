"""Winograd's F(2×2, 3×3): a 3×3 convolution with 16 products for what otherwise takes 36.

Tiles of 4×4 pixels, two apart, become 16 matrix products over channels, and those tiles of 2×2 of
the result. With few channels the sums before and after the products cost more than is saved.

Source: Lavin & Gray, Fast algorithms for convolutional neural networks, CVPR 2016, sec. 4.1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_TO_TILES = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_TO_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_FROM_TILES = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])


def correlate(images: jax.Array, kernel: jax.Array, padding) -> jax.Array:
  """Returns the stride-1 cross-correlation of images with a 3×3 kernel.

  Args:
    images: [B, H, W, I].
    kernel: [3, 3, I, O].
    padding: rows of zeros above and below, columns left and right.

  Returns:
    [B, H', W', O] with H' = H + above + below - 2, and W' likewise; in float32 it differs from the
    direct sum by about 1e-6 of its largest value.
  """
  (above, below), (left, right) = padding
  batch, height, width, channels = images.shape
  height, width = height + above + below - 2, width + left + right - 2
  rows, columns = -(-height // 2), -(-width // 2)  # tiles; an odd side ends with half a tile
  edge = (2 * rows - height, 2 * columns - width)
  padded = jnp.pad(images, ((0, 0), (above, below + edge[0]), (left, right + edge[1]), (0, 0)))
  pixels = [
    [padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for j in range(4)]
    for i in range(4)
  ]
  tiles = [tile.reshape(-1, channels) for line in _both(_TO_TILES, pixels) for tile in line]
  # Without barriers XLA computes the sums again for each product that reads them.
  stacked = lax.optimization_barrier(jnp.stack(tiles))
  factors = jnp.einsum("ai,bj,ijco->abco", _TO_KERNEL, _TO_KERNEL, kernel).astype(images.dtype)
  products = jnp.matmul(stacked, factors.reshape(16, channels, -1))
  products = lax.optimization_barrier(products).reshape(4, 4, batch, rows, columns, -1)
  out = _both(_FROM_TILES, [[products[i, j] for j in range(4)] for i in range(4)])
  whole = jnp.stack([jnp.stack(line, axis=3) for line in out], axis=2)
  return whole.reshape(batch, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _both(matrix: np.ndarray, parts: list[list[jax.Array]]) -> list[list[jax.Array]]:
  """Returns M X M^T of a matrix of arrays."""
  by_row = [_combine(matrix, [line[j] for line in parts]) for j in range(len(parts[0]))]
  return [_combine(matrix, [column[i] for column in by_row]) for i in range(len(matrix))]


def _combine(matrix: np.ndarray, parts: list[jax.Array]) -> list[jax.Array]:
  """Returns M x of a vector of arrays, M of zeros and signs, by sums alone."""
  sums = []
  for signs in matrix:
    total: jax.Array | None = None
    for sign, part in zip(signs, parts, strict=True):
      if sign:
        signed = part if sign > 0 else -part
        total = signed if total is None else total + signed
    assert total is not None
    sums.append(total)
  return sums
