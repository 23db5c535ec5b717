"""Random changes of the intensity of images, in the order in which nnU-Net makes them."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data.spatial import EXACT, thinned, uniform


class IntensityChange(NamedTuple):
  """How far each change of `augmentation.augment` may go, which describes each number."""

  brightness: float = 0.0
  brightness_factor: float = 0.0
  contrast: float = 0.0
  gamma: float = 0.0
  noise: float = 0.0
  blur: float = 0.0
  low_resolution: float = 1.0
  probability: float = 1.0

  @property
  def before_clipping(self) -> bool:
    """Whether a change may leave the range of 0 to 1."""
    return bool(self.noise or self.brightness_factor or self.contrast or self.brightness)


def change(
  key: jax.Array, keys: jax.Array, images: jax.Array, changes: IntensityChange, slices: int = 1
) -> jax.Array:
  """Returns images [N, H, W, I] in [0, 1] with a random intensity.

  In this order: noise, blur, factor of the brightness, contrast, shift of the brightness; clipped
  to [0, 1]; low resolution, gamma. The order is nnU-Net's, which has no shift and does not clip.

  Args:
    key: of all but contrast and shift, and of which change is applied to which image.
    keys: [2], of contrast and shift.
    images: float32.
    changes: how far they may go.
    slices: the number of consecutive images that share what is drawn, but for the noise, which
      differs in every pixel.
  """
  drawn = {
    name: jnp.repeat(values, slices)[:, None, None, None]
    for name, values in _draw(key, keys, len(images) // slices, changes).items()
  }
  if changes.noise:
    pixels = jax.random.normal(jax.random.fold_in(key, 13), images.shape)
    images = images + drawn["noise"] * pixels
  if changes.blur:
    images = blur(images, drawn["blur"].reshape(-1), changes.blur)
  if changes.brightness_factor:
    images = images * (1.0 + drawn["brightness_factor"])
  if changes.contrast:
    means = images.mean((1, 2, 3), keepdims=True)
    images = means + (images - means) * (1.0 + drawn["contrast"])
  if changes.brightness:
    images = images + drawn["brightness"]
  if changes.before_clipping:
    images = images.clip(0.0, 1.0)
  if changes.low_resolution > 1:
    images = low_resolution(images, 1.0 + drawn["low_resolution"].reshape(-1))
  if changes.gamma:
    images = gamma(images, jnp.exp2(drawn["gamma"]))
  return images


def _draw(
  key: jax.Array, keys: jax.Array, count: int, changes: IntensityChange
) -> dict[str, jax.Array]:
  """Returns by change what is drawn for each image, [count]; 0 where it is not applied."""
  either_way = {
    "contrast": keys[0],
    "brightness": keys[1],
    "brightness_factor": jax.random.fold_in(key, 16),
    "gamma": jax.random.fold_in(key, 11),
  }
  drawn = {name: uniform(own, count, getattr(changes, name)) for name, own in either_way.items()}
  upwards = (
    ("noise", 12, changes.noise),
    ("blur", 14, changes.blur),
    ("low_resolution", 15, changes.low_resolution - 1.0),
  )
  for name, number, largest in upwards:
    own = jax.random.fold_in(key, number)
    drawn[name] = jax.random.uniform(own, (count,), maxval=largest)
  return thinned(jax.random.fold_in(key, 10), drawn, changes.probability)


def gamma(images: jax.Array, exponents: jax.Array) -> jax.Array:
  """Returns images whose intensities v become l + (h - l) ((v - l) / (h - l))^γ.

  Args:
    images: [N, H, W, I]; l and h are the lowest and the highest value of an image.
    exponents: γ, [N, 1, 1, 1], positive.
  """
  low, high = (find(images, (1, 2, 3), keepdims=True) for find in (jnp.min, jnp.max))
  span = high - low
  relative = (images - low) / jnp.where(span > 0, span, 1.0)
  return low + span * relative**exponents


def blur(images: jax.Array, sigmas: jax.Array, largest: float) -> jax.Array:
  """Returns images under Gaussian filters, mirrored at their borders (the border pixel twice).

  The filters are cut at three times the largest standard deviation. They are those of
  `scipy.ndimage.gaussian_filter(image, sigma, radius=math.ceil(3 * largest))`.

  Args:
    images: [N, H, W, I].
    sigmas: [N], standard deviations, pixels; 0: an image stays as it is.
    largest: of the standard deviations.
  """
  radius = math.ceil(3 * largest)
  distances = np.arange(-radius, radius + 1, dtype=np.float32)
  weights = jnp.exp(-0.5 * jnp.square(distances / jnp.maximum(sigmas, 1e-3)[:, None]))
  weights = weights / weights.sum(1, keepdims=True)
  for axis in (1, 2):
    size = images.shape[axis]
    widths = [(radius, radius) if n == axis else (0, 0) for n in range(4)]
    wide = jnp.pad(images, widths, mode="symmetric")
    parts = [jax.lax.slice_in_dim(wide, n, n + size, axis=axis) for n in range(2 * radius + 1)]
    images = sum(
      (weights[:, n, None, None, None] * part for n, part in enumerate(parts)),
      jnp.zeros_like(images),
    )
  return images


def low_resolution(images: jax.Array, factors: jax.Array) -> jax.Array:
  """Returns images reduced by factors, and enlarged to their size again.

  A side of H pixels becomes round(H / factor) by means over areas, as of OpenCV's INTER_AREA, and
  H again by linear interpolation, as of INTER_LINEAR.

  Args:
    images: [N, H, W, I].
    factors: [N], at least 1; 1: an image stays as it is.
  """
  down, along = (_there_and_back(side, factors) for side in images.shape[1:3])
  return jnp.einsum("nij,njwc,nkw->nikc", down, images, along, precision=EXACT)


def _there_and_back(side: int, factors: jax.Array) -> jax.Array:
  """Returns the matrices [N, H, H] that reduce a line of pixels and enlarge it again."""
  count = jnp.maximum(jnp.round(side / factors), 1.0)[:, None, None]
  width = side / count  # of a pixel of the small image, in pixels of the large one
  rows = np.arange(side, dtype=np.float32)[:, None]
  columns = np.arange(side, dtype=np.float32)
  ends = jnp.minimum((rows + 1) * width, columns + 1)
  reduce = jnp.maximum(ends - jnp.maximum(rows * width, columns), 0.0) / width
  middles = ((rows + 0.5) / width - 0.5).clip(0.0, count - 1)
  enlarge = jnp.maximum(1.0 - jnp.abs(middles - columns), 0.0)
  return jnp.matmul(enlarge, reduce, precision=EXACT)
