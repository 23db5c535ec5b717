"""Random flips, affine maps and intensity changes, inside the compiled step."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from mlseg.errors import UserError

# Accelerators round the factors of a product to about 10 bits unless told otherwise: too few for
# the place of a pixel.
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
  brightness: float = 0.0,
  contrast: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
  """Returns each image and its mask under one random map, and the image under a random intensity.

  The image is sampled bilinearly, the mask at the nearest pixel; outside lies 0, the background.
  What is off costs nothing; with all off the arguments come back as they are.

  Args:
    key: one use of it.
    images: [B, H, W, I] float32 in [0, 1].
    masks: [B, H, W], classes.
    flip_horizontal: probability of a left-right flip.
    flip_vertical: probability of an up-down flip.
    rotation: largest angle, degrees; the angle is uniform up to it, either way.
    shear: largest angle of the shear along the rows, degrees, below 90.
    scale: largest relative change of size, below 1.
    brightness: largest shift of the intensity.
    contrast: largest relative change of the distance to the image's mean, at most 1.

  Raises:
    UserError: a value is out of its range.
  """
  _check(flip_horizontal=(flip_horizontal, 1.0), flip_vertical=(flip_vertical, 1.0))
  _check(rotation=(rotation, 180.0), shear=(shear, 89.0), scale=(scale, 0.99))
  _check(brightness=(brightness, 1.0), contrast=(contrast, 1.0))
  keys = jax.random.split(key, 7)
  count = images.shape[0]
  images, masks = flip(
    key, images, masks, flip_horizontal=flip_horizontal, flip_vertical=flip_vertical
  )

  def uniform(index: int, largest: float) -> jax.Array:
    return jax.random.uniform(keys[index], (count,), minval=-largest, maxval=largest)

  if rotation or shear or scale:
    angle = jnp.deg2rad(uniform(2, rotation))
    slant = jnp.tan(jnp.deg2rad(uniform(3, shear)))
    size = 1.0 + uniform(4, scale)
    images, masks = jax.vmap(_transform)(images, masks, _inverse_matrix(angle, slant, size))
  if contrast:
    means = images.mean((1, 2, 3), keepdims=True)
    images = means + (images - means) * (1.0 + uniform(5, contrast)[:, None, None, None])
  if brightness:
    images = images + uniform(6, brightness)[:, None, None, None]
  if contrast or brightness:
    images = images.clip(0.0, 1.0)
  return images, masks


def flip(
  key: jax.Array, *arrays: jax.Array, flip_horizontal: float, flip_vertical: float
) -> tuple[jax.Array, ...]:
  """Returns arrays of one batch, those of some examples flipped: the ones that `augment` flips.

  Args:
    key: that of `augment`, whose own use of it this is.
    arrays: [B, H, W, ...] each.
    flip_horizontal: probability of a left-right flip.
    flip_vertical: probability of an up-down flip.
  """
  keys = jax.random.split(key, 7)
  for index, axis, chance in ((0, 2, flip_horizontal), (1, 1, flip_vertical)):
    if chance:
      flips = jax.random.bernoulli(keys[index], chance, arrays[0].shape[:1])
      arrays = tuple(
        jnp.where(flips.reshape(-1, *[1] * (array.ndim - 1)), jnp.flip(array, axis), array)
        for array in arrays
      )
  return arrays


def _check(**limits: tuple[float, float]) -> None:
  for name, (value, largest) in limits.items():
    if not (0 <= value <= largest and math.isfinite(value)):
      raise UserError(f"config.augmentation.{name} must be in [0, {largest:g}], not {value}")


def _inverse_matrix(angle: jax.Array, slant: jax.Array, size: jax.Array) -> jax.Array:
  """Returns [B, 2, 2]: from a place in the result, (row, column) off the centre, to its source.

  The map itself is: scale, then shear columns by rows, then rotate.
  """
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  one, zero = jnp.ones_like(angle), jnp.zeros_like(angle)
  rotate = jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)
  shear = jnp.stack([jnp.stack([one, zero], -1), jnp.stack([-slant, one], -1)], -2)
  return jnp.matmul(shear, rotate, precision=EXACT) / size[:, None, None]


def _transform(image: jax.Array, mask: jax.Array, matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns an image [H, W, I] and its mask [H, W], each pixel from where the matrix says."""
  height, width = mask.shape
  centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
  rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
  places = jnp.stack([rows, columns], -1) - centre
  sources = jnp.matmul(places, matrix.T, precision=EXACT) + centre
  source = list(jnp.moveaxis(sources, -1, 0))
  channels = jnp.moveaxis(image, -1, 0)
  moved = jax.vmap(lambda channel: map_coordinates(channel, source, order=1))(channels)
  return jnp.moveaxis(moved, 0, -1), map_coordinates(mask, source, order=0)
