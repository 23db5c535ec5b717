"""Losses of signals and volumes, and pixels with weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mlseg import losses
from tests.losses.loss_laws_test import CLASSES, LOSSES, over_losses

NEIGHBOURS = ("boundary", "hausdorff", "cl_dice", "geometry", "neighbor", "skeleton")
over_losses_of_single_pixels = pytest.mark.parametrize(
  "loss",
  [law.loss for name, law in LOSSES.items() if not name.startswith(NEIGHBOURS)],
  ids=[name for name in LOSSES if not name.startswith(NEIGHBOURS)],
)


def batch(shape, seed=0, num_classes=CLASSES):
  """Returns logits and one-hot masks [*shape, C] of objects of some pixels."""
  rng = np.random.default_rng(seed)
  smooth = ndimage.uniform_filter(rng.normal(size=(*shape, num_classes)), (1, *[2] * len(shape)))
  masks = np.eye(num_classes, dtype=np.float32)[smooth.argmax(-1)]
  return rng.normal(0, 2, masks.shape).astype(np.float32), masks


@pytest.mark.slow
@pytest.mark.parametrize(
  "law",
  # Beyond the border of an image, neighbours have no class, and a flat volume is all border.
  [law for name, law in LOSSES.items() if name != "neighbor_aware_calibration"],
  ids=[name for name in LOSSES if name != "neighbor_aware_calibration"],
)
def test_a_flat_volume_is_an_image_and_a_flat_image_a_signal(law):
  logits, masks = batch((2, 5, 6))
  image = law.loss(jnp.array(logits), jnp.array(masks))
  for axis in (1, 3):
    flat = (jnp.expand_dims(array, axis) for array in (logits, masks))
    np.testing.assert_allclose(law.loss(*flat), image, rtol=1e-5, atol=1e-6)
  signal = law.loss(jnp.array(logits[:, 0]), jnp.array(masks[:, 0]))
  row = law.loss(jnp.array(logits[:, :1]), jnp.array(masks[:, :1]))
  np.testing.assert_allclose(signal, row, rtol=1e-5, atol=1e-6)


@over_losses_of_single_pixels
def test_the_order_of_the_pixels_of_a_volume_does_not_count(loss):
  logits, masks = batch((2, 3, 4, 5))
  valid = np.random.default_rng(1).random(masks.shape[:-1]).astype(np.float32)
  valid[valid < 0.3] = 0
  volume = loss(jnp.array(logits), jnp.array(masks), valid=jnp.array(valid))
  image = [jnp.array(array.reshape(2, 12, 5, CLASSES)) for array in (logits, masks)]
  valid = jnp.array(valid.reshape(2, 12, 5))
  np.testing.assert_allclose(loss(*image, valid=valid), volume, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@over_losses_of_single_pixels
def test_a_pixel_of_weight_two_counts_as_two_pixels(loss):
  logits, masks = batch((3, 16))
  weights = np.stack([np.random.default_rng(b).permutation(np.arange(16) % 4) for b in range(3)])
  repeated = [
    jnp.array(
      [np.repeat(image, count, axis=0) for image, count in zip(array, weights, strict=True)]
    )
    for array in (logits, masks)
  ]
  weighted = loss(jnp.array(logits), jnp.array(masks), valid=jnp.array(weights, jnp.float32))
  np.testing.assert_allclose(weighted, loss(*repeated), rtol=1e-5, atol=1e-6)


@over_losses
def test_pixels_of_weight_one_are_valid_pixels_and_gradients_are_finite(law):
  logits, masks = (jnp.array(array) for array in batch((2, 5, 6)))
  valid = jnp.array(np.random.default_rng(1).random(masks.shape[:-1]) < 0.7)
  expected = law.loss(logits, masks, valid=valid)
  np.testing.assert_array_equal(law.loss(logits, masks, valid=valid.astype(int)), expected)
  ones = law.loss(logits, masks, valid=valid.astype(jnp.float32))
  np.testing.assert_allclose(ones, expected, rtol=1e-6, atol=1e-7)
  tiny = 1e-20 * valid.astype(jnp.float32)
  gradient = jax.grad(lambda x: law.loss(x, masks, valid=tiny).sum())(logits)
  assert jnp.isfinite(gradient).all()
  np.testing.assert_array_equal(gradient[~valid], 0)


def test_means_are_weighted_as_by_numpy():
  logits, masks = batch((4, 3, 4, 5))
  weights = np.random.default_rng(2).random(masks.shape[:-1]).astype(np.float32)
  per_pixel = -(np.asarray(jax.nn.log_softmax(logits)) * masks).sum(-1)
  expected = [np.average(v, weights=w) for v, w in zip(per_pixel, weights, strict=True)]
  for scale in (1.0, 0.001):  # only their ratios count
    value = losses.cross_entropy(logits, masks, valid=jnp.array(scale * weights))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
  examples = losses.reduce(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([0.3, 0.1, 0.0]))
  np.testing.assert_allclose(examples, 1.5, rtol=1e-6)


@pytest.mark.parametrize("shape", [(7,), (5, 6, 7), (3, 4, 3, 5)])
def test_distances_equal_those_of_scipy_at_any_rank(shape):
  for seed in range(20):
    region = np.random.default_rng(seed).random(shape) < 0.1
    region.flat[seed % region.size] = True
    expected = ndimage.distance_transform_edt(~region)
    np.testing.assert_allclose(
      losses.distance_to(jnp.array(region), len(shape)), expected, rtol=1e-6
    )


def test_deep_supervision_of_volumes():
  fine, masks = (jnp.array(array) for array in batch((2, 4, 4, 4)))
  coarse = jnp.array(batch((2, 2, 2, 2))[0])
  loss = losses.deep_supervision(losses.soft_dice, weights=(0.75, 0.25))
  expected = 0.75 * losses.soft_dice(fine, masks) + 0.25 * losses.soft_dice(
    coarse, masks[:, 1::2, 1::2, 1::2]
  )
  np.testing.assert_allclose(loss([fine, coarse], masks), expected, rtol=1e-6)


@pytest.mark.slow
@over_losses
def test_vmap_equals_each(law):
  logits, masks = (jnp.array(array) for array in batch((3, 2, 4, 5)))
  valid = jnp.array(np.random.default_rng(1).random(masks.shape[:-1]) < 0.7)
  both = jax.vmap(lambda x, g, v: law.loss(x, g, valid=v))(logits, masks, valid)
  each = [law.loss(x, g, valid=v) for x, g, v in zip(logits, masks, valid, strict=True)]
  np.testing.assert_allclose(both, jnp.stack(each), rtol=1e-5, atol=1e-6)
