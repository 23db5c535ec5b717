"""Changes of the intensity: each equals a formula of numpy, scipy or OpenCV, within its range."""

import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from mlseg.data import augmentation, intensity

# By change, a value at which it shows.
ALL = {
  "brightness": 0.1, "brightness_factor": 0.3, "contrast": 0.3, "gamma": 0.7, "noise": 0.05,
  "blur": 1.0, "low_resolution": 2.0,
}  # fmt: skip


def _images(count=4, size=24, channels=1, low=60, high=200):
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.integers(low, high, (count, size, size, channels), np.uint8))


def _changed(key, images, **options):
  masks = jnp.zeros(images.shape[:3], jnp.uint8)
  moved, kept = augmentation.augment(jax.random.key(key), images, masks, **options)
  np.testing.assert_array_equal(kept, masks)
  return np.asarray(moved)


def test_gamma_raises_the_intensity_within_the_range_of_each_image():
  images = np.random.default_rng(1).uniform(0.2, 0.9, (3, 8, 9, 2)).astype(np.float32)
  images[2] = 0.5  # of one intensity, which stays
  exponents = np.float32([0.5, 2.2, 3.0])
  found = intensity.gamma(jnp.asarray(images), exponents[:, None, None, None])
  for image, exponent, one in zip(images[:2], exponents, np.asarray(found), strict=False):
    low, high = image.min(), image.max()
    expected = low + (high - low) * ((image - low) / (high - low)) ** exponent
    np.testing.assert_allclose(one, expected, atol=1e-6)
  np.testing.assert_array_equal(found[2], images[2])


def test_the_logarithm_of_gamma_is_uniform_either_way():
  pixels = np.uint8([[0, 51], [102, 255]])  # 102 / 255 = 0.4
  images = jnp.asarray(np.repeat(pixels[None, ..., None], 400, 0))
  exponents = np.log(_changed(0, images, gamma=1.5)[:, 1, 0, 0]) / math.log(0.4)
  assert stats.kstest(np.log2(exponents), stats.uniform(-1.5, 3.0).cdf).pvalue > 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_normal_and_its_deviation_uniform(channels):
  images = jnp.full((300, 12, 12, channels), 127, jnp.uint8)
  noise = _changed(1, images, noise=0.08) - 127 / 255
  deviations = noise.std((1, 2, 3))
  assert stats.kstest(deviations, stats.uniform(0, 0.08).cdf).pvalue > 0.01
  relative = (noise / deviations[:, None, None, None])[deviations > 0.004]
  assert stats.kstest(relative.reshape(-1)[::7], "norm").pvalue > 0.01
  if channels > 1:  # each channel has noise of its own
    assert abs(np.corrcoef(relative[..., 0].reshape(-1), relative[..., 1].reshape(-1))[0, 1]) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("largest", [1.0, 2.5, 9.0])
def test_blur_equals_scipys(largest):
  images = np.random.default_rng(2).uniform(0, 1, (4, 20, 24, 3)).astype(np.float32)
  sigmas = largest * np.float32([0.0, 0.2, 0.6, 1.0])
  found = np.asarray(intensity.blur(jnp.asarray(images), jnp.asarray(sigmas), largest))
  np.testing.assert_allclose(found[0], images[0], atol=1e-6)
  radius = math.ceil(3 * largest)
  for n, sigma in enumerate(sigmas[1:], start=1):
    for channel in range(3):
      expected = ndimage.gaussian_filter(images[n, ..., channel], sigma, radius=radius)
      np.testing.assert_allclose(found[n, ..., channel], expected, atol=2e-6)


def test_low_resolution_equals_opencvs():
  images = np.random.default_rng(3).uniform(0, 1, (5, 20, 33, 3)).astype(np.float32)
  factors = np.float32([1.0, 1.3, 2.0, 3.7, 16.0])
  found = np.asarray(intensity.low_resolution(jnp.asarray(images), jnp.asarray(factors)))
  np.testing.assert_allclose(found[0], images[0], atol=1e-6)
  for image, factor, one in zip(images[1:], factors[1:], found[1:], strict=True):
    small = round(33 / factor), round(20 / factor)
    expected = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    expected = cv2.resize(expected, (33, 20), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(one, expected, atol=2e-5)


def test_the_factor_of_the_brightness_is_uniform_either_way():
  images = _images(300, 4)
  ratios = _changed(3, images, brightness_factor=0.2) / (np.float32(images) / 255)
  np.testing.assert_allclose(ratios, ratios[:, :1, :1].repeat(4, 1).repeat(4, 2), rtol=1e-5)
  assert stats.kstest(ratios[:, 0, 0, 0], stats.uniform(0.8, 0.4).cdf).pvalue > 0.01


def test_changes_are_made_in_their_order_each_as_it_would_be_by_itself():
  images = _images(low=100, high=140)  # so that nothing is clipped
  whole = np.float32(images) / 255
  names = (
    "noise",
    "blur",
    "brightness_factor",
    "contrast",
    "brightness",
    "low_resolution",
    "gamma",
  )
  options = {name: ALL[name] / 4 if name == "noise" else ALL[name] for name in names}
  alone = {name: _changed(5, images, **{name: options[name]}) for name in names}
  means = whole.mean((1, 2, 3), keepdims=True)
  factor = (alone["brightness_factor"] / whole)[:, :1, :1]
  contrast = ((alone["contrast"] - means) / (whole - means))[:, :1, :1]
  keys = {n: jax.random.fold_in(jax.random.key(5), n) for n in (11, 14, 15)}
  sigmas = jax.random.uniform(keys[14], (4,), maxval=ALL["blur"])
  factors = 1 + jax.random.uniform(keys[15], (4,), maxval=ALL["low_resolution"] - 1)
  most = ALL["gamma"]
  exponents = np.exp2(jax.random.uniform(keys[11], (4, 1, 1, 1), minval=-most, maxval=most))
  expected = intensity.blur(jnp.asarray(alone["noise"]), sigmas, ALL["blur"]) * factor
  means = expected.mean((1, 2, 3), keepdims=True)
  expected = means + (expected - means) * contrast + (alone["brightness"] - whole)
  expected = intensity.gamma(intensity.low_resolution(expected, factors), exponents)
  np.testing.assert_allclose(_changed(5, images, **options), expected, atol=1e-4)


@pytest.mark.parametrize("name", list(ALL))
def test_each_change_is_made_in_a_share_of_the_images_and_differs_between_them(name):
  images = _images(200, 6)
  whole = np.float32(images) / 255
  found = np.abs(_changed(6, images, **{name: ALL[name]}, intensity_probability=0.3) - whole)
  share = (found.max((1, 2, 3)) > 1e-5).mean()
  # A factor of less than 1.1 reduces no side of 6 pixels.
  assert abs(share - 0.3 * (0.9 if name == "low_resolution" else 1.0)) < 0.1
  never = _changed(6, images, **{name: ALL[name]}, intensity_probability=0.0)
  np.testing.assert_allclose(never, whole, atol=1e-6)
  made = found.mean((1, 2, 3))[found.max((1, 2, 3)) > 1e-5]
  assert len(np.unique(made.round(7))) > 0.8 * len(made)


def test_changes_are_made_independently_of_each_other():
  images = _images(400, 4)
  whole = np.float32(images) / 255
  made = np.stack([
    np.abs(_changed(7, images, **{name: ALL[name]}, intensity_probability=0.5) - whole)
    .max((1, 2, 3)) > 1e-5
    for name in ("brightness", "brightness_factor", "contrast", "gamma", "noise", "blur")
  ])  # fmt: skip
  correlation = np.corrcoef(made) - np.eye(len(made))
  assert np.abs(correlation).max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_all_changes_stay_in_the_range_and_vmap_and_jit_give_the_same(channels):
  images = _images(3, 16, channels, low=0, high=256)
  masks = jnp.zeros(images.shape[:3], jnp.uint8)
  keys = jax.random.split(jax.random.key(9), 3)

  def one(key):
    return augmentation.augment(
      key, images, masks, **ALL | {"brightness": 1.0, "noise": 1.0}, rotation=20.0,
      intensity_probability=0.8,
    )[0]  # fmt: skip

  together = np.asarray(jax.jit(jax.vmap(one))(keys))
  assert np.isfinite(together).all()
  assert together.min() >= 0
  assert together.max() <= 1 + 1e-6
  for key, found in zip(keys, together, strict=True):
    np.testing.assert_allclose(found, one(key), atol=1e-3)


@pytest.mark.slow
def test_slices_of_a_patient_share_what_is_drawn_and_absent_ones_stay_zero():
  slices, size = 3, 12
  one = np.asarray(_images(2, size))
  volumes = np.repeat(one[:, None], slices, 1)
  volumes[1, 2] = 0
  tall = jnp.asarray(volumes.reshape(2, slices * size, size, 1))
  options = {name: value for name, value in ALL.items() if name != "noise"}
  found = _changed(10, tall, **options, slices=slices).reshape(volumes.shape)
  alone = _changed(10, jnp.asarray(one), **options)
  for n, s in np.ndindex(2, slices):
    expected = np.zeros_like(alone[n]) if (n, s) == (1, 2) else alone[n]
    np.testing.assert_allclose(found[n, s], expected, atol=1e-6)
  noisy = _changed(10, tall, noise=0.1, slices=slices).reshape(volumes.shape)
  assert not noisy[1, 2].any()
  noise = noisy - volumes / 255.0
  assert abs(noise[0, 0].std() / noise[0, 1].std() - 1) < 0.25  # of one standard deviation
  assert np.abs(noise[0, 0] - noise[0, 1]).max() > 0.01  # but not the same


@pytest.mark.slow
def test_patches_are_changed_as_images():
  images = _images(4, 24)
  masks = jnp.ones(images.shape[:3], jnp.uint8)
  key, options = jax.random.key(11), {"gamma": 0.7, "blur": 1.0, "low_resolution": 2.0}
  cut, _ = augmentation.augment(key, images, masks, patch=16)
  as_bytes = jnp.rint(cut * 255).astype(jnp.uint8)
  expected, _ = augmentation.augment(key, as_bytes, masks[:, :16, :16], **options)
  found, labels = augmentation.augment(key, images, masks, patch=16, **options)
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert labels.shape == (4, 16, 16)
