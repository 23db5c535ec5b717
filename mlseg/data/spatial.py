"""Random spatial maps: affine and elastic coordinates, and patches within images."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# By default, accelerators round the factors of a matrix product to about 10 bits, which is too few
# for the coordinates of pixels.
EXACT = jax.lax.Precision.HIGHEST


class SpatialChange(NamedTuple):
  """How far the maps of `augmentation.augment` may go, which describes each number."""

  rotation: float = 0.0
  shear: float = 0.0
  scale: float = 0.0
  elastic: float = 0.0
  elastic_sigma: float = 10.0
  probability: float = 1.0


def uniform(key: jax.Array, count: int, largest: float) -> jax.Array:
  """Returns numbers [count] uniform in [-largest, largest)."""
  return jax.random.uniform(key, (count,), minval=-largest, maxval=largest)


def coordinates(
  key: jax.Array, keys: jax.Array, shape: tuple[int, int, int], change: SpatialChange
) -> jax.Array | None:
  """Returns the source coordinates [2, B, H, W] of pixels under random maps; None: unchanged.

  Args:
    key: of the elastic map, and of which kind is applied to which image.
    keys: [3], of angle, slant and size.
    shape: B, H, W.
    change: how far the maps may go.
  """
  drawn, found = _draw(key, keys, shape[0], change), None
  if change.rotation or change.shear or change.scale:
    angle, slant = jnp.deg2rad(drawn["rotation"]), jnp.tan(jnp.deg2rad(drawn["shear"]))
    found = affine(inverse_matrix(angle, slant, 1.0 + drawn["scale"]), shape)
  if change.elastic:
    fields = smooth_fields(jax.random.fold_in(key, 7), shape, change.elastic_sigma)
    moved = drawn["elastic"][:, None, None] * fields
    found = moved + (grid(shape) if found is None else found)
  return found


def _draw(
  key: jax.Array, keys: jax.Array, count: int, change: SpatialChange
) -> dict[str, jax.Array]:
  """Returns what is drawn for each image [count], by map; 0 where an image does not undergo it."""
  names = "rotation", "shear", "scale"
  drawn = {
    name: uniform(own, count, getattr(change, name)) for own, name in zip(keys, names, strict=True)
  }
  return thinned(
    jax.random.fold_in(key, 9),
    drawn | {"elastic": jnp.full((count,), change.elastic)},
    change.probability,
  )


def thinned(
  key: jax.Array, drawn: dict[str, jax.Array], probability: float
) -> dict[str, jax.Array]:
  """Returns arrays [B] by name, each of whose numbers is kept with a probability, and else 0."""
  if probability >= 1:
    return drawn
  shape = len(drawn), *next(iter(drawn.values())).shape
  kept = jax.random.bernoulli(key, probability, shape)
  return {
    name: jnp.where(own, values, 0.0)
    for own, (name, values) in zip(kept, drawn.items(), strict=True)
  }


def inverse_matrix(angle: jax.Array, slant: jax.Array, size: jax.Array) -> jax.Array:
  """Returns the matrices [B, 2, 2] from coordinates in the result to those in the source.

  Coordinates are (row, column) relative to the centre. The map from source to result scales, then
  shears columns by rows, then rotates.
  """
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  one, zero = jnp.ones_like(angle), jnp.zeros_like(angle)
  rotate = jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)
  shear = jnp.stack([jnp.stack([one, zero], -1), jnp.stack([-slant, one], -1)], -2)
  return jnp.matmul(shear, rotate, precision=EXACT) / size[:, None, None]


def grid(shape: tuple[int, ...]) -> jax.Array:
  """Returns the rows and the columns [2, B, H, W] of pixels."""
  return jnp.stack([jax.lax.broadcasted_iota(jnp.float32, shape, axis) for axis in (1, 2)])


def affine(matrix: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Returns the source coordinates [2, B, H, W] of pixels under matrices [B, 2, 2]."""
  centre = [(side - 1) / 2 for side in shape[1:]]
  rows, columns = (line - middle for line, middle in zip(grid(shape), centre, strict=True))
  parts = matrix[..., None, None]
  return jnp.stack(
    [parts[:, i, 0] * rows + parts[:, i, 1] * columns + middle for i, middle in enumerate(centre)]
  )


def corners(key: jax.Array, sides: jax.Array, patch: int) -> jax.Array:
  """Returns random corners [2, B] of patches in pictures with heights and widths [2, B].

  A patch that is larger than its picture has the picture in its middle.
  """
  room = sides - patch
  drawn = jnp.floor(jax.random.uniform(key, sides.shape) * (jnp.maximum(room, 0) + 1))
  return drawn + jnp.minimum(room, 0) // 2


def mirrored(positions: jax.Array, sides: jax.Array) -> jax.Array:
  """Returns coordinates [2, B, H, W] mirrored at the middle of the outermost pixels of pictures."""
  last = (sides - 1).astype(jnp.float32)[..., None, None]
  period = jnp.maximum(2 * last, 1)
  along = jnp.mod(positions, period)
  return jnp.minimum(along, period - along).clip(0, last)


def smooth_fields(key: jax.Array, shape: tuple[int, ...], sigma: float) -> jax.Array:
  """Returns two random fields [2, B, H, W] of mean 0 and variance 1, smooth over sigma pixels."""
  down, along = (_bumps(size, sigma) for size in shape[1:])
  noise = jax.random.normal(key, (2, shape[0], down.shape[1], along.shape[1]))
  return jnp.einsum("hi,...ij,wj->...hw", down, noise, along, precision=EXACT)


def _bumps(size: int, sigma: float) -> np.ndarray:
  """Returns [size, nodes], a Gaussian around each node; the squares at each pixel sum to 1."""
  count = math.ceil(size / sigma) + 8  # four more nodes at each end
  nodes = (size - 1) / 2 + sigma * (np.arange(count) - (count - 1) / 2)
  bumps = np.exp(-0.5 * ((np.arange(size)[:, None] - nodes) / sigma) ** 2)
  return (bumps / np.sqrt(np.square(bumps).sum(1, keepdims=True))).astype(np.float32)
