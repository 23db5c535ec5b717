"""Hand-made values, relations between losses, their hyper-parameters, and the reduction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses


def _random(seed=0, num_classes=2):
  rng = np.random.default_rng(seed)
  masks = np.eye(num_classes, dtype=np.float32)[rng.integers(0, num_classes, [3, 5, 4])]
  return jnp.array(rng.normal(size=masks.shape), jnp.float32), jnp.array(masks)


def test_focal_without_focus_is_cross_entropy():
  logits, masks = _random()
  focal = losses.focal(logits, masks, gamma=0, alpha=1.0)
  np.testing.assert_allclose(focal, losses.cross_entropy(logits, masks), rtol=1e-6)


def test_tversky_holds_dice_and_iou():
  logits, masks = _random(1, 3)
  # Half weights halve the denominator, and with it the part that smoothing has.
  dice = losses.tversky(logits, masks, alpha=0.5, beta=0.5, smooth=5e-6)
  np.testing.assert_allclose(dice, losses.soft_dice(logits, masks), rtol=1e-5)
  iou = losses.tversky(logits, masks, alpha=1.0, beta=1.0)
  np.testing.assert_allclose(iou, losses.soft_iou(logits, masks), rtol=1e-5)


def test_tversky_alpha_is_for_false_positives():
  masks = jnp.array([[[[0.0, 1.0]] * 2 + [[1.0, 0.0]] * 6]])
  too_much = 40 * jnp.array([[[[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 5]])
  # Class 1: tp 2, fp 1, fn 0; class 0: tp 5, fp 0, fn 1.
  expected = 1 - (2 / (2 + 0.9) + 5 / (5 + 0.2)) / 2
  value = losses.tversky(too_much, masks, alpha=0.9, beta=0.2)
  np.testing.assert_allclose(value, [expected], rtol=1e-4)


def test_class_balanced_dice_weighs_the_rare_class_more():
  masks = jnp.array([[[[0.0, 1.0]] * 2 + [[1.0, 0.0]] * 6]])
  missed = 40 * jnp.array([[[[1.0, 0.0]] * 8]])
  # Dice: class 0 is 12/14, class 1 is 0; r = (3/4, 1/4), so w = (1/4, 3/4) for both conventions.
  for class_weights in ("paper", "inverse"):
    value = losses.class_balanced_dice(missed, masks, class_weights=class_weights)
    np.testing.assert_allclose(value, [1 - 12 / 14 / 4], rtol=1e-4)


def test_overlap_of_empty_masks_is_whole_where_nothing_is_predicted():
  masks = jnp.eye(3)[jnp.zeros([1, 8, 8], int)]
  for loss in (losses.soft_dice, losses.soft_iou, losses.tversky):
    np.testing.assert_allclose(loss(200 * masks, masks), 0, atol=1e-6)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda x: losses.focal(x, x, gamma=-1), r"gamma: must be finite and >= 0, got -1"),
    (lambda x: losses.focal(x, x, alpha=(1.0,)), r"alpha: must be one number or one per class"),
    (lambda x: losses.focal(x, x, alpha=(1.0, -2.0)), r"alpha: must be finite and >= 0"),
    (lambda x: losses.tversky(x, x, alpha=-0.1), r"alpha: must be finite and >= 0, got -0.1"),
    (lambda x: losses.tversky(x, x, beta=float("nan")), r"beta: must be finite"),
    (lambda x: losses.soft_dice(x, x, smooth=0.0), r"smooth: must be finite and > 0, got 0.0"),
    (
      lambda x: losses.class_balanced_dice(x, x, class_weights="papr"),
      r"class_weights: choose from inverse, paper; got 'papr'",
    ),
  ],
)
def test_wrong_hyper_parameters_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call(jnp.zeros([1, 2, 2, 2]))


def test_reduce_averages_the_valid_examples():
  values = jnp.array([1.0, 2.0, jnp.nan, 6.0])
  valid = jnp.array([1, 1, 0, 1])
  np.testing.assert_allclose(losses.reduce(values, valid), 3.0)
  np.testing.assert_allclose(losses.reduce(values[:2]), 1.5)
  gradient = jax.grad(losses.reduce)(values, valid)
  np.testing.assert_allclose(gradient, [1 / 3, 1 / 3, 0, 1 / 3])


@pytest.mark.parametrize("dtype", [bool, int, jnp.float32])
def test_reduce_of_nothing_is_zero_with_gradient_zero(dtype):
  value, gradient = jax.value_and_grad(losses.reduce)(jnp.array([3.0, 4.0]), jnp.zeros(2, dtype))
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


def test_padding_the_batch_does_not_change_the_reduced_loss_or_its_gradient():
  logits, masks = _random(2)
  padded = [jnp.concatenate([array, jnp.zeros_like(array)]) for array in (logits, masks)]
  valid = jnp.arange(6) < 3
  whole = lambda x, m, v: losses.reduce(losses.soft_dice(x, m), v)  # noqa: E731
  value, gradient = jax.value_and_grad(whole)(*padded, valid)
  expected, expected_gradient = jax.value_and_grad(whole)(logits, masks, None)
  np.testing.assert_allclose(value, expected, rtol=1e-6)
  np.testing.assert_allclose(gradient[:3], expected_gradient, rtol=1e-5, atol=1e-9)
  np.testing.assert_array_equal(gradient[3:], 0)


def test_pixel_mean_equals_numpy():
  values = np.random.default_rng(0).normal(size=[2, 5, 4]).astype(np.float32)
  valid = np.random.default_rng(1).random([2, 5, 4]) < 0.4
  expected = [values[b][valid[b]].mean() for b in range(2)]
  np.testing.assert_allclose(
    losses.pixel_mean(jnp.array(values), jnp.array(valid)), expected, rtol=1e-5
  )
  np.testing.assert_allclose(losses.pixel_mean(jnp.array(values)), values.mean((1, 2)), rtol=1e-5)
