"""The laws of DESIGN over all losses; a new loss is one line in LOSSES and one numpy formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses

SMOOTH = 1e-5


def _softmax(logits):
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def _cross_entropy(logits, masks):
  p = _softmax(logits)[masks.astype(bool)].reshape(masks.shape[:3])
  return -np.log(p).mean((1, 2))


def _focal(logits, masks, gamma, alpha):
  p = _softmax(logits)[masks.astype(bool)].reshape(masks.shape[:3])
  weights = np.broadcast_to(alpha, masks.shape)[masks.astype(bool)].reshape(masks.shape[:3])
  return -(weights * (1 - p) ** gamma * np.log(p)).mean((1, 2))


def _tversky_scores(logits, masks, alpha, beta):
  p = _softmax(logits)
  tp = (p * masks).sum((1, 2))
  fp = (p * (1 - masks)).sum((1, 2))
  fn = ((1 - p) * masks).sum((1, 2))
  return (tp, fp, fn), (tp + SMOOTH) / (tp + alpha * fp + beta * fn + SMOOTH)


def _tversky(logits, masks, alpha=0.7, beta=0.3):
  return 1 - _tversky_scores(logits, masks, alpha, beta)[1].mean(-1)


def _dice_per_class(logits, masks):
  (tp, fp, fn), _ = _tversky_scores(logits, masks, 0.5, 0.5)
  return (2 * tp + SMOOTH) / (2 * tp + fp + fn + SMOOTH)


def _class_balanced_dice(logits, masks, weigh):
  weights = weigh(masks.mean((1, 2)))
  weights = weights / weights.sum(-1, keepdims=True)
  return 1 - (weights * _dice_per_class(logits, masks)).sum(-1)


# name: (the loss, its formula in numpy)
LOSSES = {
  "cross_entropy": (losses.cross_entropy, _cross_entropy),
  "focal": (losses.focal, functools.partial(_focal, gamma=2, alpha=0.25)),
  "focal_per_class": (
    functools.partial(losses.focal, gamma=3, alpha=(0.2, 0.5, 1.0)),
    functools.partial(_focal, gamma=3, alpha=np.array([0.2, 0.5, 1.0])),
  ),
  "focal_fractional": (
    functools.partial(losses.focal, gamma=0.5, alpha=1.0),
    functools.partial(_focal, gamma=0.5, alpha=1.0),
  ),
  "soft_iou": (losses.soft_iou, functools.partial(_tversky, alpha=1, beta=1)),
  "soft_dice": (losses.soft_dice, lambda x, m: 1 - _dice_per_class(x, m).mean(-1)),
  "tversky": (losses.tversky, _tversky),
  "class_balanced_dice": (
    losses.class_balanced_dice,
    functools.partial(_class_balanced_dice, weigh=lambda part: 1 - part),
  ),
  "class_balanced_dice_inverse": (
    functools.partial(losses.class_balanced_dice, class_weights="inverse"),
    functools.partial(_class_balanced_dice, weigh=lambda part: 1 / (part + 1e-6)),
  ),
}
CLASSES = 3
over_losses = pytest.mark.parametrize(("loss", "formula"), LOSSES.values(), ids=LOSSES)


def _masks(kind: str, seed: int = 0, size: int = 6) -> np.ndarray:
  """Returns one-hot masks [2, size, size, 3]: nothing, all, one pixel, or random pixels."""
  labels = np.zeros([2, size, size], int)
  if kind == "full":
    labels[:] = 1
  elif kind == "one pixel":
    labels[0, 2, 3], labels[1, 0, 0] = 1, 2
  elif kind == "random":
    labels = np.random.default_rng(seed).integers(0, CLASSES, labels.shape)
  return np.eye(CLASSES, dtype=np.float32)[labels]


def _logits(seed: int = 0, shape=(2, 6, 6, CLASSES), scale: float = 2.0) -> np.ndarray:
  return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


MASKS = ["empty", "full", "one pixel", "random"]


@over_losses
@pytest.mark.parametrize("kind", MASKS)
def test_equals_its_formula(loss, formula, kind):
  logits, masks = _logits(1), _masks(kind)
  expected = formula(logits.astype(np.float64), masks.astype(np.float64))
  np.testing.assert_allclose(loss(jnp.array(logits), jnp.array(masks)), expected, rtol=2e-5)


@over_losses
def test_gradient_equals_finite_differences_in_float64(loss, formula):
  with jax.enable_x64(True):
    masks = _masks("random").astype(np.float64)
    logits, direction = _logits(2).astype(np.float64), _logits(3).astype(np.float64)
    value = lambda x: loss(jnp.asarray(x), jnp.asarray(masks)).sum()  # noqa: E731
    gradient = jax.grad(value)(logits)
    assert gradient.dtype == jnp.float64
    slope = np.vdot(np.asarray(gradient), direction)
    step = 1e-6
    measured = (value(logits + step * direction) - value(logits - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, measured, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
      loss(jnp.asarray(logits), jnp.asarray(masks)), formula(logits, masks), 1e-9
    )


@over_losses
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda d: d.__name__)
def test_value_and_gradient_are_finite(loss, formula, kind, dtype):
  del formula
  masks = jnp.array(_masks(kind))
  largest = float(jnp.finfo(dtype).max)
  extremes = np.random.default_rng(0).choice([-np.inf, -largest, -90, 0, 90, largest, np.inf], 216)
  for logits in (_logits(4), _logits(4, scale=80), extremes.reshape(masks.shape), 0 * _logits()):
    values, pull_back = jax.vjp(lambda x: loss(x, masks), jnp.array(logits, dtype))
    (gradient,) = pull_back(jnp.ones_like(values))
    assert values.dtype == jnp.float32
    assert gradient.dtype == dtype
    assert jnp.isfinite(values).all()
    assert jnp.isfinite(gradient).all()


@over_losses
def test_perfect_prediction_is_better_than_uniform_and_wrong_is_worse(loss, formula):
  del formula
  masks = jnp.array(_masks("random"))
  perfect, uniform, wrong = (loss(scale * masks, masks) for scale in (30.0, 0.0, -30.0))
  np.testing.assert_allclose(perfect, 0, atol=1e-5)
  assert (perfect < uniform).all()
  assert (uniform < wrong).all()


@over_losses
def test_permuting_the_batch_permutes_the_result(loss, formula):
  del formula
  logits, masks = _logits(5, (5, 6, 6, CLASSES)), np.repeat(_masks("random"), 3, axis=0)[:5]
  order = np.array([3, 0, 4, 1, 2])
  permuted = loss(jnp.array(logits[order]), jnp.array(masks[order]))
  np.testing.assert_allclose(permuted, loss(jnp.array(logits), jnp.array(masks))[order], rtol=1e-6)


@over_losses
def test_masks_may_have_any_dtype(loss, formula):
  del formula
  logits, masks = jnp.array(_logits(6)), _masks("random")
  with jax.numpy_dtype_promotion("strict"):
    values = [loss(logits, jnp.array(masks, dtype)) for dtype in (bool, jnp.uint8, jnp.bfloat16)]
  for value in values:
    np.testing.assert_array_equal(value, loss(logits, jnp.array(masks)))


@over_losses
@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_ignored_pixels_are_as_if_cut_off(loss, formula, dtype):
  del formula
  logits, masks = jnp.array(_logits(7)), jnp.array(_masks("random"))
  valid = np.zeros([2, 6, 6], dtype)
  valid[:, 1:5, :3] = 1
  cut = loss(logits[:, 1:5, :3], masks[:, 1:5, :3])
  np.testing.assert_allclose(loss(logits, masks, valid=jnp.array(valid)), cut, rtol=1e-5)


@over_losses
def test_an_image_without_valid_pixels_has_loss_and_gradient_zero(loss, formula):
  del formula
  logits, masks, valid = jnp.array(_logits(8)), jnp.array(_masks("random")), jnp.zeros([2, 6, 6])
  values, pull_back = jax.vjp(lambda x: loss(x, masks, valid=valid), logits)
  np.testing.assert_array_equal(values, 0)
  np.testing.assert_array_equal(pull_back(jnp.ones(2))[0], 0)


@over_losses
@pytest.mark.parametrize(
  ("shapes", "message"),
  [
    (([2, 6, 6, 3], [2, 6, 6, 2], None), "masks: must have the shape of logits"),
    (([6, 6, 3], [6, 6, 3], None), "logits: must be"),
    (([2, 6, 6, 1], [2, 6, 6, 1], None), "C >= 2"),
    (([2, 6, 6, 3], [2, 6, 6, 3], [2, 6, 6, 1]), "valid: must be"),
  ],
)
def test_wrong_shapes_are_refused(loss, formula, shapes, message):
  del formula
  logits, masks, valid = (None if shape is None else jnp.zeros(shape) for shape in shapes)
  with pytest.raises(ValueError, match=message):
    loss(logits, masks, valid=valid)


@over_losses
def test_jit_equals_eager(loss, formula):
  del formula
  logits, masks = jnp.array(_logits(9)), jnp.array(_masks("one pixel"))
  np.testing.assert_allclose(jax.jit(loss)(logits, masks), loss(logits, masks), rtol=1e-5)


def test_every_public_loss_is_in_the_table():
  helpers = {"pixel_mean", "pixel_sum", "reduce"}
  assert set(losses.__all__) - helpers <= set(LOSSES)
