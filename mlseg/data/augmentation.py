"""Augmentation inside the compiled step: flips, affine and elastic maps, intensity changes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data import padding, warping
from mlseg.data.pipeline import to_float
from mlseg.errors import UserError

# By default, accelerators round the factors of a matrix product to about 10 bits, which is too few
# for the coordinates of pixels.
EXACT = jax.lax.Precision.HIGHEST


def augment(
  key: jax.Array,
  images: jax.Array,
  masks: jax.Array,
  *,
  flip_horizontal: float = 0.0,
  flip_vertical: float = 0.0,
  rotation: float = 0.0,
  shear: float = 0.0,
  scale: float = 0.0,
  elastic: float = 0.0,
  elastic_sigma: float = 10.0,
  brightness: float = 0.0,
  contrast: float = 0.0,
  patch: int = 0,
  slices: int = 1,
) -> tuple[jax.Array, jax.Array]:
  """Returns each image and its mask under one random map, and the image with a random intensity.

  The image is sampled bilinearly, the mask at the nearest pixel. Values outside of the image are 0,
  the background. An augmentation that is off costs nothing.

  A patch is cut at a random position within the borders of its picture, and mapped around its
  middle. Where it reads beyond the borders of the picture, picture and mask are mirrored.

  The slices of a volume lie one below the other in one picture. They share one map, but each is
  mapped within itself. A slice that is 0 everywhere is absent: it stays 0, and its mask unchanged.

  The elastic map displaces every pixel by two fields of white noise smoothed by a Gaussian. The map
  of Simard, Steinkraus & Platt 2003 with their α and σ is about `elastic` = α / (2 √(3π) σ) with
  the same σ. Here the noise is drawn on a grid with a node every σ, which costs less.

  Args:
    key: used only here.
    images: [B, H, W, I] uint8.
    masks: [B, H, W], classes.
    flip_horizontal: probability of a left-right flip.
    flip_vertical: probability of an up-down flip.
    rotation: largest angle, degrees; the angle is uniform up to it, either way.
    shear: largest angle of the shear along the rows, degrees, below 90.
    scale: largest relative change of size, below 1.
    elastic: standard deviation of the displacement along an axis, pixels.
    elastic_sigma: standard deviation of the Gaussian, pixels.
    brightness: largest shift of the intensity.
    contrast: largest relative change of the distance to the image's mean, at most 1.
    patch: side of the patches; 0: whole images.
    slices: S, the number of slices in a picture; 1 with patches.

  Returns:
    [B, H, W, I] float32 in [0, 1], and [B, H, W] in the dtype of the masks; with patches, H and W
    are the side of a patch.

  Raises:
    UserError: a value is out of its range.
  """
  _check(flip_horizontal=(flip_horizontal, 1.0), flip_vertical=(flip_vertical, 1.0))
  _check(rotation=(rotation, 180.0), shear=(shear, 89.0), scale=(scale, 0.99))
  _check(brightness=(brightness, 1.0), contrast=(contrast, 1.0))
  _check(elastic=(elastic, 1000.0))
  if elastic and not (math.isfinite(elastic_sigma) and elastic_sigma > 0):
    raise UserError(f"config.augmentation.elastic_sigma must be positive, not {elastic_sigma}")
  whole, (count, height, width) = (images.shape, masks.shape), masks.shape
  height //= slices
  images, masks = images.reshape(-1, height, width, whole[0][3]), masks.reshape(-1, height, width)
  before, present = masks, images.any((1, 2, 3)) if slices > 1 else None
  turn = functools.partial(
    flip, key, flip_horizontal=flip_horizontal, flip_vertical=flip_vertical, slices=slices
  )
  if not patch:
    images, masks = turn(images, masks)
  shape = (count, patch, patch) if patch else (count, height, width)
  coordinates = _coordinates(key, shape, rotation, shear, scale, elastic, elastic_sigma)
  if patch:
    sides = jnp.stack(padding.sizes(masks))
    corner = _corners(jax.random.fold_in(key, 8), sides, patch)[..., None, None]
    inner = _grid(shape) if coordinates is None else coordinates
    coordinates = _mirrored(corner + inner, sides)
  if coordinates is None:
    images = to_float(images)
  else:
    images, masks = warping.sample(images, masks, *jnp.repeat(coordinates, slices, axis=1))
    images = images / 255.0
  if patch:
    images, masks = turn(images, masks)
  images = _intensity(key, images, contrast, brightness, slices)
  if present is None:
    return images, masks
  images = jnp.where(present[:, None, None, None], images, 0)
  masks = jnp.where(present[:, None, None], masks, before)
  return images.reshape(whole[0]), masks.reshape(whole[1])


def _coordinates(
  key: jax.Array,
  shape: tuple[int, int, int],
  rotation: float,
  shear: float,
  scale: float,
  elastic: float,
  elastic_sigma: float,
) -> jax.Array | None:
  """Returns the source coordinates [2, B, H, W] of pixels under random maps; None: unchanged."""
  coordinates = None
  if rotation or shear or scale:
    coordinates = _affine(_random_matrix(key, shape[0], rotation, shear, scale), shape)
  if elastic:
    moved = elastic * _smooth_fields(jax.random.fold_in(key, 7), shape, elastic_sigma)
    coordinates = moved + (_grid(shape) if coordinates is None else coordinates)
  return coordinates


def flip(
  key: jax.Array,
  *arrays: jax.Array,
  flip_horizontal: float,
  flip_vertical: float,
  slices: int = 1,
) -> tuple[jax.Array, ...]:
  """Returns arrays of one batch with the same examples flipped that `augment` flips under a key.

  Args:
    key: that of `augment`.
    arrays: [B, H, W, ...] each.
    flip_horizontal: probability of a left-right flip.
    flip_vertical: probability of an up-down flip.
    slices: the number of consecutive examples that share a flip.
  """
  keys = _keys(key)
  for index, axis, chance in ((0, 2, flip_horizontal), (1, 1, flip_vertical)):
    if chance:
      drawn = jax.random.bernoulli(keys[index], chance, (len(arrays[0]) // slices,))
      flips = jnp.repeat(drawn, slices)
      arrays = tuple(
        jnp.where(flips.reshape(-1, *[1] * (array.ndim - 1)), jnp.flip(array, axis), array)
        for array in arrays
      )
  return arrays


def _keys(key: jax.Array) -> jax.Array:
  """Returns the keys of two flips, angle, slant, size, contrast and brightness."""
  return jax.random.split(key, 7)


def _uniform(key: jax.Array, count: int, largest: float) -> jax.Array:
  return jax.random.uniform(key, (count,), minval=-largest, maxval=largest)


def _intensity(
  key: jax.Array, images: jax.Array, contrast: float, brightness: float, slices: int
) -> jax.Array:
  """Returns images with a random contrast and brightness, shared by the slices of a volume."""
  count = len(images) // slices
  factors, shifts = (
    jnp.repeat(_uniform(_keys(key)[index], count, largest), slices)[:, None, None, None]
    for index, largest in ((5, contrast), (6, brightness))
  )
  if contrast:
    means = images.mean((1, 2, 3), keepdims=True)
    images = means + (images - means) * (1.0 + factors)
  if brightness:
    images = images + shifts
  return images.clip(0.0, 1.0) if contrast or brightness else images


def _check(**limits: tuple[float, float]) -> None:
  for name, (value, largest) in limits.items():
    if not (0 <= value <= largest and math.isfinite(value)):
      raise UserError(f"config.augmentation.{name} must be in [0, {largest:g}], not {value}")


def _random_matrix(
  key: jax.Array, count: int, rotation: float, shear: float, scale: float
) -> jax.Array:
  """Returns the inverse matrices [B, 2, 2] of random affine maps."""
  angle, slant, size = (
    _uniform(_keys(key)[index], count, largest)
    for index, largest in ((2, rotation), (3, shear), (4, scale))
  )
  return _inverse_matrix(jnp.deg2rad(angle), jnp.tan(jnp.deg2rad(slant)), 1.0 + size)


def _inverse_matrix(angle: jax.Array, slant: jax.Array, size: jax.Array) -> jax.Array:
  """Returns the matrices [B, 2, 2] from coordinates in the result to those in the source.

  Coordinates are (row, column) relative to the centre. The map from source to result scales, then
  shears columns by rows, then rotates.
  """
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  one, zero = jnp.ones_like(angle), jnp.zeros_like(angle)
  rotate = jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)
  shear = jnp.stack([jnp.stack([one, zero], -1), jnp.stack([-slant, one], -1)], -2)
  return jnp.matmul(shear, rotate, precision=EXACT) / size[:, None, None]


def _grid(shape: tuple[int, ...]) -> jax.Array:
  """Returns the rows and the columns [2, B, H, W] of pixels."""
  return jnp.stack([jax.lax.broadcasted_iota(jnp.float32, shape, axis) for axis in (1, 2)])


def _affine(matrix: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Returns the source coordinates [2, B, H, W] of pixels under matrices [B, 2, 2]."""
  centre = [(side - 1) / 2 for side in shape[1:]]
  rows, columns = (line - middle for line, middle in zip(_grid(shape), centre, strict=True))
  parts = matrix[..., None, None]
  return jnp.stack(
    [parts[:, i, 0] * rows + parts[:, i, 1] * columns + middle for i, middle in enumerate(centre)]
  )


def _corners(key: jax.Array, sides: jax.Array, patch: int) -> jax.Array:
  """Returns random corners [2, B] of patches in pictures with heights and widths [2, B].

  A patch that is larger than its picture has the picture in its middle.
  """
  room = sides - patch
  drawn = jnp.floor(jax.random.uniform(key, sides.shape) * (jnp.maximum(room, 0) + 1))
  return drawn + jnp.minimum(room, 0) // 2


def _mirrored(coordinates: jax.Array, sides: jax.Array) -> jax.Array:
  """Returns coordinates [2, B, H, W] mirrored at the middle of the outermost pixels of pictures."""
  last = (sides - 1).astype(jnp.float32)[..., None, None]
  period = jnp.maximum(2 * last, 1)
  along = jnp.mod(coordinates, period)
  return jnp.minimum(along, period - along).clip(0, last)


def _smooth_fields(key: jax.Array, shape: tuple[int, ...], sigma: float) -> jax.Array:
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
