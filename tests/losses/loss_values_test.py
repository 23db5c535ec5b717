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


def test_generalized_dice_weighs_classes_by_their_inverse_size():
  masks = jnp.array([[[[0.0, 1.0]] * 2 + [[1.0, 0.0]] * 6]])
  missed = 40 * jnp.array([[[[1.0, 0.0]] * 8]])
  # Class 0: w 1/36, overlap 6, sizes 8 + 6; class 1: w 1/4, overlap 0, sizes 0 + 2.
  expected = 1 - 2 * (6 / 36) / (14 / 36 + 2 / 4)
  np.testing.assert_allclose(losses.generalized_dice(missed, masks), [expected], rtol=1e-4)


def test_lovasz_of_hard_predictions_is_the_jaccard_loss():
  masks = jnp.array([[[[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 5]])
  shifted = 100 * jnp.roll(masks, 1, axis=2)
  # Class 1: intersection 2, union 4; class 0: intersection 4, union 6.
  np.testing.assert_allclose(
    losses.lovasz_softmax(shifted, masks), [(2 / 4 + 2 / 6) / 2], rtol=1e-6
  )


def test_given_distances_are_those_that_boundary_computes():
  logits, masks = _random(3, 3)
  maps = losses.signed_distances(masks)
  for background in (False, True):
    computed = losses.boundary(logits, masks, include_background=background)
    given = losses.boundary(logits, masks, distances=maps, include_background=background)
    np.testing.assert_array_equal(given, computed)
  small = losses.boundary(logits, masks, distances=maps.astype(jnp.float16))
  np.testing.assert_allclose(small, losses.boundary(logits, masks), rtol=1e-2, atol=1e-3)


def test_boundary_has_no_gradient_with_respect_to_its_distances():
  logits, masks = _random(4)
  loss = lambda maps: losses.boundary(logits, masks, distances=maps).sum()  # noqa: E731
  np.testing.assert_array_equal(jax.grad(loss)(losses.signed_distances(masks)), 0)


def test_centre_line_dice_punishes_a_gap_that_dice_hardly_sees():
  row = jnp.zeros([1, 9, 30], int).at[:, 3:6, 2:28].set(1)
  cut, thin = row.at[:, :, 14:16].set(0), row.at[:, 5].set(0)
  masks, with_gap, thinner = (jnp.eye(2)[labels] for labels in (row, cut, thin))
  assert losses.soft_dice(99 * with_gap, masks) < losses.soft_dice(99 * thinner, masks)
  assert losses.cl_dice(99 * with_gap, masks) > losses.cl_dice(99 * thinner, masks)


def test_topology_with_one_label_per_pixel_is_cross_entropy():
  logits, masks = _random(5, 3)
  pairs = ((0, 1), (0, 2), (1, 2))
  value = losses.topology(logits, masks, exclusion=pairs, need_label=True)
  np.testing.assert_allclose(value, losses.cross_entropy(logits, masks), rtol=1e-5)


def test_topology_leaves_out_pixels_whose_labels_the_table_forbids():
  logits = jnp.array([[[[1.0, 2.0]], [[3.0, 1.0]]]]).reshape([1, 1, 2, 2])
  masks = jnp.array([[[[1, 1], [1, 0]]]])
  value = losses.topology(logits, masks, exclusion=[(0, 1)])
  np.testing.assert_allclose(value, [np.log(1 + np.exp(3) + np.exp(1)) - 3], rtol=1e-6)


def test_label_vectors_of_glands():
  # Stroma 0, gland 1, lumen 2, which lies in the gland.
  table = {"containment": [(2, 1)], "exclusion": [(0, 1), (0, 2)]}
  np.testing.assert_array_equal(
    losses.label_vectors(3, **table, need_label=True), [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
  )


def test_balanced_class_weights_are_those_of_scikit_learn():
  labels = np.repeat([0, 1, 2], [50, 30, 20])
  weights = losses.balanced_class_weights(np.bincount(labels))
  np.testing.assert_allclose(weights, [100 / 150, 100 / 90, 100 / 60])
  np.testing.assert_allclose(np.mean(np.array(weights)[labels]), 1)
  peer = pytest.importorskip("sklearn.utils.class_weight")
  expected = peer.compute_class_weight("balanced", classes=np.arange(3), y=labels)
  np.testing.assert_allclose(weights, expected)


def test_ordered_weights_lie_between_mean_and_maximum():
  logits, masks = _random(6, 4)
  mean = losses.dynamic_weighted_cross_entropy(logits, masks)
  np.testing.assert_allclose(
    losses.ordered_weighted_cross_entropy(logits, masks, alpha=1.0), mean, rtol=1e-5
  )
  values = [losses.ordered_weighted_cross_entropy(logits, masks, alpha=a) for a in (0.5, 1e-6)]
  assert (mean < values[0]).all()
  assert (values[0] < values[1]).all()


def test_ignored_labels_become_pixels_that_do_not_count():
  labels = jnp.array([[[0, 2, 255], [1, 255, 1]]])
  masks, valid = losses.one_hot_masks(labels, 3, ignore_index=255)
  assert valid.tolist() == [[[True, True, False], [True, False, True]]]
  np.testing.assert_array_equal(masks.sum(-1), valid)
  logits = jax.random.normal(jax.random.key(0), masks.shape)
  pixels = [(0, 0), (0, 1), (1, 0), (1, 2)]
  terms = [-jax.nn.log_softmax(logits[0, i, j])[labels[0, i, j]] for i, j in pixels]
  value = losses.cross_entropy(logits, masks, valid=valid)
  np.testing.assert_allclose(value, [np.mean(terms)], rtol=1e-6)


def test_deep_supervision_halves_the_weight_with_each_resolution():
  masks = jnp.eye(2)[jnp.zeros([1, 25, 10], int)]
  logits = [jnp.zeros([1, 25, 10, 2]), 9 * masks[:, :13, ::2], jnp.zeros([1, 7, 3, 2])]
  value = losses.deep_supervision(losses.cross_entropy)(logits, masks)
  expected = (4 * np.log(2) + 2 * np.log1p(np.exp(-9)) + np.log(2)) / 7
  np.testing.assert_allclose(value, [expected], rtol=1e-5)


def test_a_pixel_without_a_class_has_none_when_labels_are_smoothed():
  logits = jax.random.normal(jax.random.key(0), (1, 1, 2, 3))
  masks = jnp.array([[[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]])
  both = losses.cross_entropy(logits, masks, label_smoothing=0.3)
  first = losses.cross_entropy(logits[:, :, :1], masks[:, :, :1], label_smoothing=0.3)
  np.testing.assert_allclose(2 * both, first, rtol=1e-6)


def test_deep_supervision_has_given_distances_at_the_full_resolution_alone():
  masks = jnp.eye(2)[jnp.zeros([1, 8, 8], int).at[:, 2:6, 3:7].set(1)]
  fine, coarse = jnp.ones([1, 8, 8, 2]), jnp.zeros([1, 4, 4, 2])
  distances = jax.random.normal(jax.random.key(0), (1, 8, 8, 2))
  value = losses.deep_supervision(losses.boundary)([fine, coarse], masks, distances=distances)
  expected = (
    2 * losses.boundary(fine, masks, distances=distances)
    + losses.boundary(coarse, masks[:, 1::2, 1::2])
  ) / 3
  np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (
      lambda x: losses.cross_entropy(x, x, label_smoothing=1.0),
      r"label_smoothing: must be in \[0, 1\), got 1.0",
    ),
    (
      lambda x: losses.binary_cross_entropy(x, x, label_smoothing=float("nan")),
      r"label_smoothing: must be in \[0, 1\), got nan",
    ),
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
    (
      lambda x: losses.generalized_dice(x, x, class_weights="cubic"),
      r"class_weights: choose from simple, square, uniform; got 'cubic'",
    ),
    (lambda x: losses.soft_dice(x, x, activation="tanh"), r"activation: choose from sigmoid, soft"),
    (
      lambda x: losses.soft_dice(
        x[..., :1], x[..., :1], activation="sigmoid", include_background=False
      ),
      r"include_background: must be True where there is one class",
    ),
    (lambda x: losses.focal_tversky(x, x, gamma=0.0), r"gamma: must be finite and > 0, got 0.0"),
    (
      lambda x: losses.weighted_cross_entropy(x, x, class_weights=(1.0,)),
      r"class_weights: must be one number or one per class \(2\), got \(1.0,\)",
    ),
    (
      lambda x: losses.binary_cross_entropy(x, x, positive_weight=-1.0),
      r"positive_weight: must be finite and >= 0, got -1.0",
    ),
    (
      lambda x: losses.dynamically_weighted_balanced(x, x, class_counts=(3, 0)),
      r"class_counts: must be > 0, got \(3, 0\)",
    ),
    (
      lambda x: losses.dynamically_weighted_balanced(x, x, regularization=-1.0),
      r"regularization: must be finite and >= 0",
    ),
    (lambda x: losses.ordered_weighted_cross_entropy(x, x, alpha=0.0), r"alpha: must be in \(0, 1"),
    (lambda x: losses.lovasz_softmax(x, x, classes="some"), r"classes: choose from all, present"),
    (lambda x: losses.boundary(x, x, distances=x[0]), r"distances: must have the shape of logits"),
    (lambda x: losses.hausdorff_distance_transform(x, x, alpha=0.0), r"alpha: must be finite"),
    (lambda x: losses.cl_dice(x, x, iterations=-1), r"iterations: must be >= 0, got -1"),
    (lambda x: losses.cl_dice(x, x, smooth=0.0), r"smooth: must be finite and > 0, got 0.0"),
    (
      lambda x: losses.topology(x, x, containment=[(0, 2)]),
      r"containment: must be pairs of different labels below 2, got \(0, 2\)",
    ),
    (
      lambda x: losses.geometry(x, x, containment=[(0, 1)], exclusion=[(0, 1)]),
      r"containment and exclusion: leave no valid vector with label 0",
    ),
    (lambda x: losses.label_vectors(13), r"num_labels: must be in \[1, 12\], got 13"),
    (lambda x: losses.balanced_class_weights([3, 0]), r"counts: must be one positive number per"),
    (lambda x: losses.one_hot_masks(x, 3, ignore_index=2), r"ignore_index: must not be one of 3"),
    (lambda x: losses.deep_supervision(losses.focal, weights=(-1.0,)), r"weights: must be finite"),
    (
      lambda x: losses.deep_supervision(losses.soft_dice, weights=(1.0,))([x, x], x),
      r"weights: must be one per resolution \(2\), got \(1.0,\)",
    ),
    (lambda x: losses.deep_supervision(losses.soft_dice)([], x), r"logits: must be at least one"),
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
