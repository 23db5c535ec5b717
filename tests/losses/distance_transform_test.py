"""The distance transform in the program against scipy's, and the maps made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mlseg import losses
from mlseg.losses import distance_transform
from tests.losses.formulas import signed_distance
from tests.metrics.random_masks import random_labels

SHAPES = ((20, 17), (9, 40), (1, 12), (12, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_scipy_on_random_regions(shape):
  compiled = jax.jit(losses.distance_to)
  for seed in range(150):
    region = (
      random_labels(seed, num_classes=2, batch=4, shape=shape)[seed % 4] > 0
      if min(shape) > 1
      else np.random.default_rng(seed).random(shape) < 0.3
    )
    expected = ndimage.distance_transform_edt(~region) if region.any() else np.zeros(shape)
    np.testing.assert_allclose(compiled(region), expected, rtol=1e-6)


def test_is_exact_in_large_images():
  region = np.zeros([300, 500], bool)
  region[299, 499] = True
  assert float(losses.distance_to(jnp.array(region))[0, 0]) == np.float32(np.hypot(299, 499))


def test_signed_distances_are_those_of_the_boundary_loss():
  masks = np.eye(3)[random_labels(0, num_classes=3, batch=4, shape=(16, 13))]
  maps = losses.signed_distances(jnp.array(masks))
  expected = [[signed_distance(masks[b, ..., c] > 0) for c in range(3)] for b in range(4)]
  np.testing.assert_allclose(maps, np.moveaxis(expected, 1, -1), rtol=1e-6)


def test_pixels_that_do_not_count_belong_to_no_side():
  masks = jnp.array([0.0, 0, 0, 1, 1]).reshape([1, 1, 5, 1])
  valid = jnp.array([[[1, 1, 0, 1, 1]]])
  # Distances to the region: 3, 2; of the region to the rest, less one: 1, 2. The third pixel is
  # two from the last of the rest, but is not a part of it.
  maps = losses.signed_distances(masks, valid)[0, 0, :, 0]
  np.testing.assert_array_equal(maps[jnp.array([0, 1, 3, 4])], [3, 2, -1, -2])
  across = distance_transform.boundary_distances(masks, valid)[0, 0, :, 0]
  np.testing.assert_array_equal(across[jnp.array([0, 1, 3, 4])], [3, 2, 2, 3])


def test_vmap_equals_a_batch():
  regions = random_labels(3, num_classes=2, batch=4, shape=(8, 9)) > 0
  np.testing.assert_array_equal(jax.vmap(losses.distance_to)(regions), losses.distance_to(regions))
