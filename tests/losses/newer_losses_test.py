"""Newer losses in images and volumes: formulas, and the losses that they become."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mlseg import losses
from tests.losses import formulas_any_rank
from tests.losses.any_rank_test import batch

OPTIONS = {  # of a loss, beside its defaults
  "average_calibration_error": {"num_bins": 7},
  "generalized_cross_entropy": {"q": 0.4},
  "margin_based_label_smoothing": {"margin": 1.0, "penalty": 2.0},
  "neighbor_aware_calibration": {"kernel_size": 5, "penalty": 0.5},
  "poly_cross_entropy": {"epsilon": -0.5},
  "skeleton_recall": {"iterations": 2, "radius": 1},
  "symmetric_cross_entropy": {"alpha": 2.0, "beta": 0.3, "log_of_zero": -7.0},
  "top_k_cross_entropy": {"share": 0.37},
  "unified_focal": {"weight": 0.3, "delta": 0.8, "gamma": 0.2, "asymmetric": False},
  "dice_semimetric": {},
  "jaccard_metric": {},
  "matthews": {},
}
SHAPES = {"image": (2, 9, 8), "volume": (2, 6, 7, 5)}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_agrees_with_its_formula(name, shape):
  loss = jax.jit(functools.partial(getattr(losses, name), **OPTIONS[name]))
  formula = functools.partial(getattr(formulas_any_rank, name), **OPTIONS[name])
  for seed in range(25):
    logits, masks = batch(shape, seed)
    pairs = zip(logits.astype(float), masks.astype(float), strict=True)
    expected = [formula(x, g) for x, g in pairs]
    np.testing.assert_allclose(
      loss(logits, masks), expected, rtol=2e-5, atol=2e-6, err_msg=f"case {seed}"
    )


def test_losses_become_others_at_a_limit():
  logits, masks = (jnp.array(array) for array in batch((3, 4, 5, 3)))
  cross_entropy = losses.cross_entropy(logits, masks)
  pairs = [
    (losses.top_k_cross_entropy(logits, masks, share=1.0), cross_entropy),
    (losses.poly_cross_entropy(logits, masks, epsilon=0.0), cross_entropy),
    (losses.generalized_cross_entropy(logits, masks, q=1e-4), cross_entropy),
    (losses.symmetric_cross_entropy(logits, masks, alpha=1.0, beta=0.0), cross_entropy),
    (losses.margin_based_label_smoothing(logits, masks, penalty=0.0), cross_entropy),
    (losses.neighbor_aware_calibration(logits, masks, penalty=0.0), cross_entropy),
    (losses.jaccard_metric(logits, masks), losses.soft_iou(logits, masks)),
    (losses.dice_semimetric(logits, masks), losses.soft_dice(logits, masks)),
    (
      losses.unified_focal(logits, masks, weight=0.3, delta=0.5, gamma=0.0, smooth=5e-6),
      0.15 * cross_entropy + 0.7 * losses.soft_dice(logits, masks),
    ),
  ]
  for value, expected in pairs:
    np.testing.assert_allclose(value, expected, rtol=1e-3)


def test_soft_labels_are_best_predicted_by_their_shares():
  logits, other = (jnp.array(batch((2, 4, 5), seed)[0]) for seed in (0, 1))
  shares = jax.nn.softmax(logits)
  for loss in (losses.jaccard_metric, losses.dice_semimetric):
    np.testing.assert_allclose(loss(logits, shares), 0, atol=1e-6)
    assert (loss(other, shares) > 0.1).all()
  assert (losses.soft_dice(logits, shares) > 0.1).all()  # this is why they are
  gradient = jax.grad(lambda x: losses.cross_entropy(x, shares).sum())(logits)
  np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_given_skeletons_are_recalled():
  logits, masks = batch((2, 12, 11))
  lines = np.random.default_rng(0).random(masks.shape) < 0.2
  value = losses.skeleton_recall(jnp.array(logits), jnp.array(masks), skeletons=jnp.array(lines))
  p = np.asarray(jax.nn.softmax(logits))
  recall = (p * lines).sum((1, 2)) / lines.sum((1, 2))
  np.testing.assert_allclose(value, 1 - recall[:, 1:].mean(-1), rtol=1e-5)


def test_blobs_are_the_connected_regions_of_each_class():
  masks = batch((3, 10, 12))[1]
  blobs = losses.label_blobs(masks)
  for image, mask in zip(blobs, masks, strict=True):
    regions = [ndimage.label(mask[..., c], np.ones((3, 3))) for c in (1, 2)]
    assert image.max() == sum(number for _, number in regions)
    np.testing.assert_array_equal(image > 0, mask[..., 1:].any(-1))
    for region in (labels == b for labels, number in regions for b in range(1, number + 1)):
      assert len(np.unique(image[region])) == 1


@pytest.mark.parametrize("shape", [(3, 10, 12), (2, 5, 6, 4)], ids=["image", "volume"])
def test_blob_loss_is_the_mean_of_the_losses_without_the_other_blobs(shape):
  loss = functools.partial(losses.soft_dice, include_background=False)
  compiled = jax.jit(losses.blob(loss, max_blobs=12, alpha=0.5, beta=2.0))
  for seed in range(10):
    logits, masks = batch(shape, seed, num_classes=2)
    masks[-1] = [1, 0]  # an image without blobs
    blobs = losses.label_blobs(masks)
    assert 0 < blobs.max() <= 12
    p = np.asarray(jax.nn.softmax(logits.astype(float)))[..., 1]
    expected = []
    for q, g, own in zip(p, masks[..., 1], blobs, strict=True):
      dice = lambda q, g: (2 * (q * g).sum() + 1e-5) / (q.sum() + g.sum() + 1e-5)  # noqa: E731
      each = [1 - dice(q * ((own == 0) | (own == b)), own == b) for b in range(1, own.max() + 1)]
      expected.append(0.5 * (1 - dice(q, g)) + 2 * (np.mean(each) if each else 0))
    value = compiled(jnp.array(logits), jnp.array(masks), components=jnp.array(blobs))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_blob_loss_has_finite_gradients_and_leaves_out_ignored_blobs():
  logits, masks = (jnp.array(array) for array in batch((2, 6, 6), num_classes=2))
  components = jnp.zeros([2, 6, 6], int).at[:, :2, :2].set(1).at[:, 4:, 4:].set(2)
  masks = jnp.eye(2)[(components > 0).astype(int)]
  valid = jnp.ones([2, 6, 6]).at[:, 4:].set(0)
  loss = losses.blob(losses.soft_dice, max_blobs=3, alpha=0.0)
  value = loss(logits, masks, components=components, valid=valid)
  expected = losses.soft_dice(logits[:, :4], masks[:, :4])
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  gradient = jax.grad(lambda x: loss(x, masks, components=components, valid=valid).sum())
  for scale in (1.0, 1e30):
    assert jnp.isfinite(gradient(scale * logits)).all()


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda x: losses.top_k_cross_entropy(x, x, share=0.0), r"share: must be in \(0, 1\], got 0.0"),
    (lambda x: losses.poly_cross_entropy(x, x, epsilon=-2), "epsilon: must be finite and >= -1"),
    (lambda x: losses.generalized_cross_entropy(x, x, q=1.5), r"q: must be in \(0, 1\], got 1.5"),
    (lambda x: losses.symmetric_cross_entropy(x, x, beta=-1), "beta: must be finite and >= 0"),
    (lambda x: losses.symmetric_cross_entropy(x, x, log_of_zero=0), "log_of_zero: must be finite"),
    (lambda x: losses.margin_based_label_smoothing(x, x, margin=-1), "margin: must be finite"),
    (
      lambda x: losses.neighbor_aware_calibration(x, x, kernel_size=2),
      "kernel_size: must be an od",
    ),
    (lambda x: losses.neighbor_aware_calibration(x, x, distance="l3"), "distance: choose from l1"),
    (lambda x: losses.average_calibration_error(x, x, num_bins=0), r"num_bins: must be in \[1, 10"),
    (lambda x: losses.unified_focal(x, x, delta=2), r"delta: must be in \[0, 1\], got 2"),
    (lambda x: losses.unified_focal(x, x, gamma=1), r"gamma: must be in \[0, 1\), got 1"),
    (lambda x: losses.matthews(x, x, smooth=0.0), "smooth: must be finite and > 0"),
    (lambda x: losses.skeleton_recall(x, x, radius=-1), "radius: must be >= 0, got -1"),
    (lambda x: losses.skeleton_recall(x, x, skeletons=x[0]), "skeletons: must have the shape"),
    (lambda x: losses.blob(losses.focal, max_blobs=0), "max_blobs: must be >= 1, got 0"),
    (lambda x: losses.blob(losses.focal, beta=-1.0), "beta: must be finite and >= 0"),
    (lambda x: losses.blob(losses.focal)(x, x, components=x), "components: must be"),
  ],
)
def test_wrong_hyper_parameters_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call(jnp.zeros([1, 2, 2, 2]))
