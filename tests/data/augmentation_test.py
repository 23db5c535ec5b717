"""Augmentation: exact where it can be, image and mask together, nothing where it is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mlseg.data import augmentation, spatial, warping
from mlseg.errors import UserError

ALL = {
  "flip_horizontal": 0.5,
  "flip_vertical": 0.5,
  "rotation": 30.0,
  "shear": 10.0,
  "scale": 0.2,
  "elastic": 1.5,
}


def _batch(count=4, size=32):
  """Returns images [B, H, W, 1] that show their masks: blocks, class 1 white and class 0 black."""
  rows, columns = np.mgrid[:size, :size]
  grid = ((rows // 8 + 2 * (columns // 8)) % 3 == 0) & (rows > 4)
  masks = np.stack([np.roll(grid, 3 * i, 0) for i in range(count)]).astype(np.uint8)
  return jnp.asarray(255 * masks[..., None]), jnp.asarray(masks)


def test_all_off_returns_the_pictures_as_they_are():
  images, masks = _batch()
  moved, moved_masks = augmentation.augment(jax.random.key(0), images, masks)
  np.testing.assert_array_equal(moved, np.float32(images) / 255)
  assert moved_masks is masks


def test_flips_are_exact():
  images, masks = _batch()
  key = jax.random.key(0)
  moved, moved_masks = augmentation.augment(key, images, masks, flip_horizontal=1.0)
  np.testing.assert_array_equal(moved, np.float32(images[:, :, ::-1]) / 255)
  np.testing.assert_array_equal(moved_masks, masks[:, :, ::-1])
  moved, moved_masks = augmentation.augment(key, images, masks, flip_vertical=1.0)
  np.testing.assert_array_equal(moved, np.float32(images[:, ::-1]) / 255)
  np.testing.assert_array_equal(moved_masks, masks[:, ::-1])


def test_maps_are_flipped_with_the_images_that_augment_flips():
  images, masks = _batch(40, 8)
  options = {"flip_horizontal": 0.5, "flip_vertical": 0.3}
  key = jax.random.key(7)
  moved, moved_masks = augmentation.augment(key, images, masks, **options)
  maps, labels = augmentation.flip(key, images, masks, **options)
  assert (maps != images).any()
  np.testing.assert_array_equal(np.float32(maps) / 255, moved)
  np.testing.assert_array_equal(labels, moved_masks)


def test_half_of_the_images_are_flipped():
  images, masks = _batch(400, 8)
  images = images // 2 + jnp.arange(8, dtype=jnp.uint8)[None, None, :, None]
  moved, _ = augmentation.augment(jax.random.key(1), images, masks, flip_horizontal=0.5)
  change = np.abs(np.asarray(moved) - np.float32(images) / 255)
  share = np.mean(np.any(change > 1e-3, axis=(1, 2, 3)))
  assert 0.4 < share < 0.6


def test_image_and_mask_move_together():
  images, masks = _batch()
  moved, moved_masks = augmentation.augment(jax.random.key(2), images, masks, **ALL)
  assert (moved_masks != masks).mean() > 0.1  # they did move
  assert set(np.unique(moved_masks)) <= {0, 1}
  # Nearest and bilinear agree wherever the bilinear value is clearly inside or outside.
  clear = np.abs(np.asarray(moved[..., 0]) - 0.5) > 0.499
  assert clear.mean() > 0.5
  np.testing.assert_array_equal(np.asarray(moved[..., 0] > 0.5)[clear], moved_masks[clear] > 0)


def _transform(image, mask, matrix):
  """Returns an image and its mask under the inverse of a matrix [1, 2, 2]."""
  places = spatial.affine(matrix, mask[None].shape)
  moved, moved_mask = warping.sample(image[None], mask[None], *places)
  return np.asarray(moved[0]), np.asarray(moved_mask[0])


def test_the_affine_map_equals_scipys():
  _, masks = _batch(2)
  image = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
  matrix = spatial.inverse_matrix(*(jnp.array([x]) for x in (0.4, 0.2, 1.3)))
  moved, moved_mask = _transform(jnp.asarray(image)[..., None], masks[0], matrix)
  centre = np.full(2, 15.5)
  options = {"offset": centre - np.asarray(matrix[0]) @ centre, "mode": "grid-constant"}
  expected = ndimage.affine_transform(np.float32(image), matrix[0], order=1, **options)
  np.testing.assert_allclose(moved[..., 0], expected, atol=2e-2)
  expected = ndimage.affine_transform(np.asarray(masks[0]), matrix[0], order=0, **options)
  assert (moved_mask == expected).mean() > 0.995


def test_a_quarter_turn_is_numpys_and_a_doubling_shows_the_middle():
  images, masks = _batch(1)
  for turns, angle in ((1, 90.0), (2, 180.0)):
    matrix = spatial.inverse_matrix(jnp.deg2rad(jnp.array([angle])), jnp.zeros(1), jnp.ones(1))
    _, turned = _transform(images[0], masks[0], matrix)
    np.testing.assert_array_equal(turned, np.rot90(masks[0], turns))
  matrix = spatial.inverse_matrix(jnp.zeros(1), jnp.zeros(1), jnp.full(1, 2.0))
  _, larger = _transform(images[0], masks[0], matrix)
  middle = np.asarray(masks[0])[8:24, 8:24]
  assert (larger == middle.repeat(2, 0).repeat(2, 1)).mean() > 0.95


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])  # of masks
@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_samples_equal_scipys_everywhere(channels, dtype):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, 9, 12, channels), np.uint8)
  masks = rng.integers(0, 256 if dtype == np.uint8 else 100_000_000, (3, 9, 12), dtype)
  rows = rng.uniform(-3, 12, (3, 7, 5)).astype(np.float32)
  columns = rng.uniform(-3, 15, (3, 7, 5)).astype(np.float32)
  moved, moved_masks = warping.sample(*map(jnp.asarray, (images, masks, rows, columns)))
  assert moved_masks.dtype == dtype
  for n in range(3):
    places, options = [rows[n], columns[n]], {"mode": "grid-constant"}
    for channel in range(channels):
      values = np.float32(images[n, ..., channel])
      expected = ndimage.map_coordinates(values, places, order=1, **options)
      np.testing.assert_allclose(moved[n, ..., channel], expected, atol=1e-3)
    expected = ndimage.map_coordinates(masks[n], places, order=0, **options)
    np.testing.assert_array_equal(moved_masks[n], expected)


def test_the_elastic_map_moves_by_a_sum_of_bumps():
  images, masks = _batch(2)
  key, elastic, sigma = jax.random.key(5), 3.0, 4.0
  moved, moved_masks = augmentation.augment(
    key, images, masks, elastic=elastic, elastic_sigma=sigma
  )
  noise = np.asarray(jax.random.normal(jax.random.fold_in(key, 7), (2, 2, 16, 16)))
  nodes = 15.5 + sigma * (np.arange(16) - 7.5)
  bumps = np.exp(-((np.arange(32)[:, None] - nodes) ** 2) / (2 * sigma**2))
  bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
  for n in range(2):
    shift = elastic * np.stack([bumps @ field[n] @ bumps.T for field in noise])
    assert np.abs(shift).max() > 3
    places, options = np.mgrid[:32, :32] + shift, {"mode": "grid-constant"}
    values = np.float32(images[n, ..., 0]) / 255
    expected = ndimage.map_coordinates(values, places, order=1, **options)
    np.testing.assert_allclose(moved[n, ..., 0], expected, atol=1e-4)
    expected = ndimage.map_coordinates(np.asarray(masks[n]), places, order=0, **options)
    assert (np.asarray(moved_masks[n]) == expected).mean() > 0.995


def test_elastic_displacements_are_as_large_and_smooth_as_simards():
  sigma, alpha = 6.0, 100.0
  fields = np.asarray(spatial.smooth_fields(jax.random.key(0), (64, 48, 40), sigma))
  noise = np.random.default_rng(0).uniform(-1, 1, (128, 80, 80))
  smooth = [alpha * ndimage.gaussian_filter(one, sigma, mode="wrap") for one in noise]
  theirs = np.stack(smooth)
  ours = alpha / (2 * np.sqrt(3 * np.pi) * sigma) * fields.reshape(128, 48, 40)
  np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.05)
  np.testing.assert_allclose(fields.std((0, 1)), 1, atol=0.35)  # everywhere, also at the borders
  for lag in (3, 6, 12):
    found, wanted = (np.mean(x[:, lag:] * x[:, :-lag]) / np.mean(x**2) for x in (ours, theirs))
    assert abs(found - wanted) < 0.06
    assert abs(found - np.exp(-(lag**2) / (4 * sigma**2))) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("chance", [0.0, 0.3])
def test_maps_are_applied_to_a_share_of_the_images(chance):
  images, masks = _batch(200, 16)
  key = jax.random.key(8)
  moved = {}
  for name, value in {"rotation": 90.0, "elastic": 3.0}.items():
    found, _ = augmentation.augment(key, images, masks, **{name: value}, spatial_probability=chance)
    moved[name] = np.abs(np.asarray(found) - np.float32(images) / 255).max((1, 2, 3)) > 1e-3
    assert abs(moved[name].mean() - chance) < 0.1
  both = (moved["rotation"] & moved["elastic"]).mean()
  assert abs(both - chance**2) < 0.07  # one map by itself, whatever the other


def test_intensity_changes_leave_masks_and_the_range():
  images, masks = _batch()
  images = 64 + images // 2
  moved, kept = augmentation.augment(jax.random.key(3), images, masks, brightness=0.4, contrast=0.5)
  np.testing.assert_array_equal(kept, masks)
  assert moved.min() >= 0
  assert moved.max() <= 1
  shift, _ = augmentation.augment(jax.random.key(3), images, masks, brightness=0.2)
  change = np.asarray(shift - images / 255.0).reshape(4, -1)
  np.testing.assert_allclose(change, change[:, :1].repeat(change.shape[1], 1), atol=1e-6)
  assert len(np.unique(change[:, 0].round(6))) == 4
  assert np.abs(change).max() <= 0.2


@pytest.mark.slow
def test_jit_scan_and_vmap_give_the_same():
  images, masks = _batch()
  keys = jax.random.split(jax.random.key(4), 3)
  options = {**ALL, "brightness": 0.1, "contrast": 0.1}

  def one(key):
    return augmentation.augment(key, images, masks, **options)

  expected = [one(key) for key in keys]
  for actual in (jax.vmap(one)(keys), jax.lax.map(jax.jit(one), keys)):
    for index, (image, mask) in enumerate(expected):
      assert (np.abs(actual[0][index] - image) < 1e-3).mean() > 0.999
      assert (np.asarray(actual[1][index]) == np.asarray(mask)).mean() > 0.999


@pytest.mark.parametrize(
  "name",
  [*ALL, "brightness", "brightness_factor", "contrast", "gamma", "noise", "blur", "low_resolution",
   "spatial_probability", "intensity_probability"],
)  # fmt: skip
@pytest.mark.parametrize("value", [-0.1, 2e6, float("nan")])
def test_a_value_out_of_range_is_named(name, value):
  images, masks = _batch(1)
  with pytest.raises(UserError, match=rf"config\.augmentation\.{name} must be in"):
    augmentation.augment(jax.random.key(0), images, masks, **{name: value})


@pytest.mark.slow
def test_slices_of_a_volume_share_their_map_and_absent_ones_stay():
  rng = np.random.default_rng(2)
  count, slices, size = 3, 4, 16
  one = rng.integers(1, 256, (count, 1, size, size, 1), np.uint8)
  volumes = np.repeat(one, slices, axis=1)  # all slices of a volume alike
  masks = (volumes[..., 0] > 128).astype(np.uint8)
  volumes[1, 2:], masks[1, 2:] = 0, 255
  tall = volumes.reshape(count, slices * size, size, 1), masks.reshape(count, slices * size, size)
  options = {
    "flip_horizontal": 0.5, "flip_vertical": 0.5, "rotation": 40.0, "scale": 0.2, "elastic": 1.5,
    "elastic_sigma": 4.0, "brightness": 0.2, "contrast": 0.2,
  }  # fmt: skip
  key = jax.random.key(4)
  moved, moved_masks = augmentation.augment(key, *map(jnp.asarray, tall), **options, slices=slices)
  assert moved.shape == tall[0].shape
  moved = np.asarray(moved).reshape(volumes.shape)
  moved_masks = np.asarray(moved_masks).reshape(masks.shape)
  alone = augmentation.augment(key, jnp.asarray(one[:, 0]), jnp.asarray(masks[:, 0]), **options)
  for n, s in np.ndindex(count, slices):
    if n == 1 and s >= 2:
      assert not moved[n, s].any()
      assert (moved_masks[n, s] == 255).all()
    else:
      np.testing.assert_allclose(moved[n, s], alone[0][n], atol=1e-6)
      np.testing.assert_array_equal(moved_masks[n, s], alone[1][n])
