"""Applies a network that was trained on patches to images of any size, in overlapping tiles."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.models.base import Model, Outputs, Variables

# A Gaussian weighs the pixels of a tile, since those near its border have less context. SIGMA is
# its standard deviation as a share of the tile's side; FLOOR keeps the weights positive in the
# corners.
SIGMA = 1 / 8
FLOOR = 1e-3


def tile_starts(length: int, size: int, overlap: float) -> tuple[int, ...]:
  """Returns where tiles begin along an axis: evenly spaced, the last at the end.

  Args:
    length: length of the axis, at least `size`, pixels.
    size: side of a tile, pixels.
    overlap: the least share of a tile that the next one covers too, in [0, 1).

  Returns:
    The first row or column of each tile.

  Example:
    >>> tile_starts(10, 4, 0.5)
    (0, 2, 4, 6)
    >>> tile_starts(11, 4, 0.0)
    (0, 4, 7)
    >>> tile_starts(4, 4, 0.5)
    (0,)
  """
  step = max(1, math.floor(size * (1 - overlap)))
  count = 1 + math.ceil((length - size) / step)
  return tuple(int(start) for start in np.rint(np.linspace(0, length - size, count)))


def tiled(model: Model, size: int, overlap: float = 0.5) -> Model:
  """Returns a network that, outside training, predicts larger images in tiles of `size`.

  The scores of a pixel are the mean over the tiles that contain it, weighted by a Gaussian around
  each tile's middle, as in nnU-Net (Isensee et al., Nature Methods 18 (2021)). The scores of the
  image's classes are the mean over tiles. Images smaller than a tile are mirrored at their lower
  and right borders. Where there is more than one tile, the outputs have no features.

  Args:
    model: the network, trained on patches of `size`.
    size: side of a tile, pixels.
    overlap: the least share of a tile that the next one covers too, in [0, 1).
  """

  def init(key: jax.Array, images: jax.Array) -> Variables:
    return model.init(key, jnp.zeros((1, size, size, images.shape[-1])))

  def apply(
    variables: Variables, images: jax.Array, train: bool, *truth: object, **key: jax.Array
  ) -> tuple[Outputs, Variables]:
    height, width = images.shape[1:3]
    if train or (height, width) == (size, size):
      return model.apply(variables, images, train, *truth, **key)
    missing = [(0, max(0, size - side)) for side in (height, width)]
    padded = jnp.pad(images, ((0, 0), *missing, (0, 0)), mode="symmetric")
    outputs = _over_tiles(model, variables, padded, size, overlap)
    cut = jax.tree.map(
      lambda scores: scores[:, :height, :width] if scores.ndim == 4 else scores, outputs
    )
    return cut, {name: value for name, value in variables.items() if name != "params"}

  return Model(init, apply, model.classify, model.has_findings)


def _over_tiles(
  model: Model, variables: Variables, images: jax.Array, size: int, overlap: float
) -> Outputs:
  """Returns the blended scores of images [B, H, W, I] of at least a tile's size."""
  height, width = images.shape[1:3]
  rows, columns = (tile_starts(length, size, overlap) for length in (height, width))
  corners = np.array([(row, column) for row in rows for column in columns], np.int32)
  line = np.exp(-0.5 * (((np.arange(size) + 0.5) / size - 0.5) / SIGMA) ** 2)
  window = np.maximum(np.outer(line, line), FLOOR).astype(np.float32)
  total = np.zeros((height, width), np.float32)
  for row, column in corners:
    total[row : row + size, column : column + size] += window

  def of_tile(corner: jax.Array) -> Outputs:
    start = (0, corner[0], corner[1], 0)
    tile = jax.lax.dynamic_slice(images, start, (len(images), size, size, images.shape[-1]))
    outputs = model.predict(variables, tile)
    return outputs._replace(features=None, detections=None)

  def add(sums: Outputs, corner: jax.Array) -> tuple[Outputs, None]:
    def one(whole: jax.Array, scores: jax.Array) -> jax.Array:
      if scores.ndim == 2:
        return whole + scores / len(corners)
      start = (0, corner[0], corner[1], 0)
      before = jax.lax.dynamic_slice(whole, start, scores.shape)
      return jax.lax.dynamic_update_slice(whole, before + scores * window[..., None], start)

    return jax.tree.map(one, sums, of_tile(corner)), None

  shapes = jax.eval_shape(of_tile, corners[0])
  zeros = jax.tree.map(
    lambda shape: jnp.zeros(
      shape.shape if len(shape.shape) == 2 else (len(images), height, width, shape.shape[-1])
    ),
    shapes,
  )
  sums, _ = jax.lax.scan(add, zeros, jnp.asarray(corners))
  return jax.tree.map(
    lambda scores: scores / total[..., None] if scores.ndim == 4 else scores, sums
  )
