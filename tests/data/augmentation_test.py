"""Augmentation: exact where it can be, image and mask together, nothing where it is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mlseg.data import augmentation
from mlseg.errors import UserError

ALL = {
  "flip_horizontal": 0.5,
  "flip_vertical": 0.5,
  "rotation": 30.0,
  "shear": 10.0,
  "scale": 0.2,
}


def _batch(count=4, size=32):
  """Returns images that show their masks: a grid of blocks, class 1 white and class 0 black."""
  rows, columns = np.mgrid[:size, :size]
  grid = ((rows // 8 + 2 * (columns // 8)) % 3 == 0) & (rows > 4)
  masks = np.stack([np.roll(grid, 3 * i, 0) for i in range(count)]).astype(np.uint8)
  return jnp.asarray(masks[..., None], jnp.float32), jnp.asarray(masks)


def test_all_off_returns_the_arguments_themselves():
  images, masks = _batch()
  moved, moved_masks = augmentation.augment(jax.random.key(0), images, masks)
  assert moved is images
  assert moved_masks is masks


def test_flips_are_exact():
  images, masks = _batch()
  key = jax.random.key(0)
  moved, moved_masks = augmentation.augment(key, images, masks, flip_horizontal=1.0)
  np.testing.assert_array_equal(moved, images[:, :, ::-1])
  np.testing.assert_array_equal(moved_masks, masks[:, :, ::-1])
  moved, moved_masks = augmentation.augment(key, images, masks, flip_vertical=1.0)
  np.testing.assert_array_equal(moved, images[:, ::-1])
  np.testing.assert_array_equal(moved_masks, masks[:, ::-1])


def test_maps_are_flipped_with_the_images_that_augment_flips():
  images, masks = _batch(40, 8)
  options = {"flip_horizontal": 0.5, "flip_vertical": 0.3}
  key = jax.random.key(7)
  moved, moved_masks = augmentation.augment(key, images, masks, **options)
  maps, labels = augmentation.flip(key, images, masks, **options)
  assert (moved != images).any()
  np.testing.assert_array_equal(maps, moved)
  np.testing.assert_array_equal(labels, moved_masks)


def test_half_of_the_images_are_flipped():
  images, masks = _batch(400, 8)
  images = images + jnp.arange(8.0)[None, None, :, None]
  moved, _ = augmentation.augment(jax.random.key(1), images, masks, flip_horizontal=0.5)
  share = np.mean(np.any(np.asarray(moved) != np.asarray(images), axis=(1, 2, 3)))
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


def test_the_affine_map_equals_scipys():
  _, masks = _batch(2)
  image = np.random.default_rng(0).uniform(size=(32, 32)).astype(np.float32)
  matrix = augmentation._inverse_matrix(*(jnp.array([x]) for x in (0.4, 0.2, 1.3)))[0]
  moved, moved_mask = augmentation._transform(jnp.asarray(image)[..., None], masks[0], matrix)
  centre = np.full(2, 15.5)
  offset = centre - np.asarray(matrix) @ centre
  expected = ndimage.affine_transform(image, np.asarray(matrix), offset, order=1)
  inside = np.s_[6:26, 6:26]  # scipy and jax differ in how they treat the outermost pixel
  np.testing.assert_allclose(moved[..., 0][inside], expected[inside], atol=1e-4)
  expected = ndimage.affine_transform(np.asarray(masks[0]), np.asarray(matrix), offset, order=0)
  assert (np.asarray(moved_mask) == expected)[inside].mean() > 0.995


def test_a_quarter_turn_is_numpys_and_a_doubling_shows_the_middle():
  images, masks = _batch(1)
  for turns, angle in ((1, 90.0), (2, 180.0)):
    matrix = augmentation._inverse_matrix(
      jnp.deg2rad(jnp.array([angle])), jnp.zeros(1), jnp.ones(1)
    )
    _, turned = augmentation._transform(images[0], masks[0], matrix[0])
    np.testing.assert_array_equal(turned, np.rot90(masks[0], turns))
  matrix = augmentation._inverse_matrix(jnp.zeros(1), jnp.zeros(1), jnp.full(1, 2.0))
  _, larger = augmentation._transform(images[0], masks[0], matrix[0])
  middle = np.asarray(masks[0])[8:24, 8:24]
  assert (np.asarray(larger) == middle.repeat(2, 0).repeat(2, 1)).mean() > 0.95


def test_intensity_changes_leave_masks_and_the_range():
  images, masks = _batch()
  images = 0.25 + images / 2
  moved, kept = augmentation.augment(jax.random.key(3), images, masks, brightness=0.4, contrast=0.5)
  np.testing.assert_array_equal(kept, masks)
  assert moved.min() >= 0
  assert moved.max() <= 1
  shift, _ = augmentation.augment(jax.random.key(3), images, masks, brightness=0.2)
  change = np.asarray(shift - images).reshape(4, -1)
  np.testing.assert_allclose(change, change[:, :1].repeat(change.shape[1], 1), atol=1e-6)
  assert len(np.unique(change[:, 0].round(6))) == 4
  assert np.abs(change).max() <= 0.2


def test_jit_scan_and_vmap_give_the_same():
  images, masks = _batch()
  keys = jax.random.split(jax.random.key(4), 3)
  options = {**ALL, "brightness": 0.1, "contrast": 0.1}

  def one(key):
    return augmentation.augment(key, images, masks, **options)

  expected = [one(key) for key in keys]
  for actual in (jax.vmap(one)(keys), jax.lax.map(jax.jit(one), keys)):
    for index, (image, mask) in enumerate(expected):
      np.testing.assert_allclose(actual[0][index], image, atol=2e-5)
      assert (np.asarray(actual[1][index]) == np.asarray(mask)).mean() > 0.999


@pytest.mark.parametrize("name", [*ALL, "brightness", "contrast"])
@pytest.mark.parametrize("value", [-0.1, 200.0, float("nan")])
def test_a_value_out_of_range_is_named(name, value):
  images, masks = _batch(1)
  with pytest.raises(UserError, match=rf"config\.augmentation\.{name} must be in"):
    augmentation.augment(jax.random.key(0), images, masks, **{name: value})
