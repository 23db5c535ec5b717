"""Augmentation inside the compiled step: flips, affine and elastic maps, intensity changes."""

import functools
import math

import jax
import jax.numpy as jnp

from mlseg.data import intensity, padding, spatial, warping
from mlseg.data.intensity import IntensityChange
from mlseg.data.pipeline import to_float
from mlseg.data.spatial import SpatialChange
from mlseg.errors import UserError


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
  brightness_factor: float = 0.0,
  contrast: float = 0.0,
  gamma: float = 0.0,
  noise: float = 0.0,
  blur: float = 0.0,
  low_resolution: float = 1.0,
  spatial_probability: float = 1.0,
  intensity_probability: float = 1.0,
  patch: int = 0,
  slices: int = 1,
) -> tuple[jax.Array, jax.Array]:
  """Returns each image and its mask under one random map, and the image with a random intensity.

  The image is sampled bilinearly, the mask at the nearest pixel. Values outside of the image are 0,
  the background. An augmentation that is off costs nothing.

  A patch is cut at a random position within the borders of its picture, and mapped around its
  middle. Where it reads beyond the borders of the picture, picture and mask are mirrored.

  The slices of a volume lie one below the other in one picture. They share what is drawn, but each
  is mapped within itself, and its pixels have noise of their own. A slice that is 0 everywhere is
  absent: it stays 0, and its mask unchanged.

  The elastic map displaces every pixel by two fields of white noise smoothed by a Gaussian. The map
  of Simard, Steinkraus & Platt 2003 with their α and σ is about `elastic` = α / (2 √(3π) σ) with
  the same σ. Here the noise is drawn on a grid with a node every σ, which costs less.

  The kinds of changes, and their order, are those of nnU-Net (Isensee et al., Nature Methods 18
  (2021) 203-211, supplementary information), whose γ of 0.7 to 1.5 is about `gamma` = 0.55.

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
    brightness_factor: largest relative change of the intensity, at most 1.
    contrast: largest relative change of the distance to the image's mean, at most 1.
    gamma: largest |log2 γ| of the exponent of the intensity, see `intensity.gamma`; log2 γ is
      uniform up to it, either way.
    noise: largest standard deviation of Gaussian noise; the deviation is uniform from 0.
    blur: largest standard deviation of a Gaussian filter, pixels; uniform from 0.
    low_resolution: largest factor by which an image is reduced and enlarged again, see
      `intensity.low_resolution`; uniform from 1.
    spatial_probability: of each map (rotation, shear, scale, elastic), that an image undergoes it.
    intensity_probability: of each change of the intensity, that it is made in an image.
    patch: side of the patches; 0: whole images.
    slices: S, the number of slices in a picture; 1 with patches.

  Returns:
    [B, H, W, I] float32 in [0, 1], and [B, H, W] in the dtype of the masks; with patches, H and W
    are the side of a patch.

  Raises:
    UserError: a value is out of its range.
  """
  maps = SpatialChange(rotation, shear, scale, elastic, elastic_sigma, spatial_probability)
  changes = IntensityChange(
    brightness, brightness_factor, contrast, gamma, noise, blur, low_resolution,
    intensity_probability,
  )  # fmt: skip
  _check(flip_horizontal, flip_vertical, maps, changes)
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
  coordinates = spatial.coordinates(key, _keys(key)[2:5], shape, maps)
  if patch:
    sides = jnp.stack(padding.sizes(masks))
    corner = spatial.corners(jax.random.fold_in(key, 8), sides, patch)[..., None, None]
    inner = spatial.grid(shape) if coordinates is None else coordinates
    coordinates = spatial.mirrored(corner + inner, sides)
  if coordinates is None:
    images = to_float(images)
  else:
    images, masks = warping.sample(images, masks, *jnp.repeat(coordinates, slices, axis=1))
    images = images / 255.0
  if patch:
    images, masks = turn(images, masks)
  images = intensity.change(key, _keys(key)[5:], images, changes, slices)
  if present is None:
    return images, masks
  images = jnp.where(present[:, None, None, None], images, 0)
  masks = jnp.where(present[:, None, None], masks, before)
  return images.reshape(whole[0]), masks.reshape(whole[1])


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
  """Returns the keys of two flips, angle, slant, size, contrast and brightness.

  Further keys are folded from the numbers after these: 7 to 9 in `spatial` and `augment`, 10 to 16
  in `intensity`.
  """
  return jax.random.split(key, 7)


def _check(
  flip_horizontal: float, flip_vertical: float, maps: SpatialChange, changes: IntensityChange
) -> None:
  """Raises a UserError where a value is out of its range."""
  largest = {
    "rotation": 180.0, "shear": 89.0, "scale": 0.99, "elastic": 1000.0, "brightness": 1.0,
    "brightness_factor": 1.0, "contrast": 1.0, "gamma": 4.0, "noise": 1.0, "blur": 10.0,
  }  # fmt: skip
  values = maps._asdict() | changes._asdict()
  ranges = {name: (values[name], 0.0, high) for name, high in largest.items()} | {
    "flip_horizontal": (flip_horizontal, 0.0, 1.0),
    "flip_vertical": (flip_vertical, 0.0, 1.0),
    "low_resolution": (changes.low_resolution, 1.0, 16.0),
    "spatial_probability": (maps.probability, 0.0, 1.0),
    "intensity_probability": (changes.probability, 0.0, 1.0),
  }
  for name, (value, low, high) in ranges.items():
    if not (low <= value <= high and math.isfinite(value)):
      raise UserError(f"config.augmentation.{name} must be in [{low:g}, {high:g}], not {value}")
  sigma = maps.elastic_sigma
  if maps.elastic and not (math.isfinite(sigma) and sigma > 0):
    raise UserError(f"config.augmentation.elastic_sigma must be positive, not {sigma}")
