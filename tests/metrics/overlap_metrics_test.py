"""Overlap metrics against hand-made cases and against counting pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import metrics

RATIOS = [
  "dice", "iou", "precision", "recall", "specificity", "negative_predictive_value",
  "false_positive_rate", "false_negative_rate", "f1", "accuracy",
]  # fmt: skip


def _labels(seed, num_images=4, num_classes=3):
  """Returns predictions and masks [N, 7, 5]; the second image has an empty mask."""
  rng = np.random.default_rng(seed)
  predictions, masks = rng.integers(0, num_classes, [2, num_images, 7, 5])
  masks[1] = 0
  return predictions, masks


def _sets(predictions, masks, label):
  pixels = [set(zip(*np.nonzero(image == label), strict=True)) for image in (predictions, masks)]
  return pixels[0], pixels[1], predictions.size


def _brute_force(predictions, masks, label):
  """Returns the ratios of one image and class from sets of pixels."""
  predicted, true, num_pixels = _sets(predictions, masks, label)
  both, either = len(predicted & true), len(predicted | true)
  outside, false = num_pixels - len(true), len(predicted - true)
  agree = float(predicted == true)
  ratio = lambda a, b: a / b if b else agree  # noqa: E731
  dice = ratio(2 * both, len(predicted) + len(true))
  return {
    "dice": dice,
    "f1": dice,
    "iou": ratio(both, either),
    "precision": ratio(both, len(predicted)),
    "recall": ratio(both, len(true)),
    "specificity": ratio(outside - false, outside),
    "false_positive_rate": 1 - ratio(outside - false, outside),
    "false_negative_rate": 1 - ratio(both, len(true)),
    "negative_predictive_value": ratio(outside - false, num_pixels - len(predicted)),
    "accuracy": (num_pixels - len(predicted ^ true)) / num_pixels,
  }


def test_counts_of_a_hand_made_image():
  predictions = jnp.array([[[1, 1, 0], [2, 0, 0]]])
  masks = jnp.array([[[1, 0, 0], [2, 2, 0]]])
  counts = metrics.confusion_counts(predictions, masks, 3)
  assert counts.dtype == jnp.int32
  np.testing.assert_array_equal(counts, [[[2, 1, 1, 2], [1, 1, 0, 4], [1, 0, 1, 4]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_counts_equal_sets_of_pixels_under_jit(dtype, num_classes):
  predictions, masks = _labels(num_classes, num_classes=num_classes)
  count = jax.jit(metrics.confusion_counts, static_argnums=2)
  counts = count(jnp.array(predictions, dtype), jnp.array(masks, dtype), num_classes)
  for image in range(4):
    for label in range(num_classes):
      predicted, true, total = _sets(predictions[image], masks[image], label)
      expected = [len(predicted & true), len(predicted - true), len(true - predicted)]
      np.testing.assert_array_equal(counts[image, label], [*expected, total - sum(expected)])


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_confusion_matrix_equals_scikit_learn_and_the_counts(num_classes):
  peer = pytest.importorskip("sklearn.metrics")
  predictions, masks = _labels(num_classes, num_classes=num_classes)
  valid = np.random.default_rng(0).random(masks.shape) < 0.7
  compute = jax.jit(metrics.confusion_matrix, static_argnums=2)
  matrices = compute(jnp.array(predictions), jnp.array(masks), num_classes, valid=valid)
  assert matrices.dtype == jnp.int32
  for image in range(4):
    pixels = masks[image][valid[image]], predictions[image][valid[image]]
    expected = peer.confusion_matrix(*pixels, labels=range(num_classes))
    np.testing.assert_array_equal(matrices[image], expected)
  counts = metrics.confusion_counts(predictions, masks, num_classes, valid=valid)
  np.testing.assert_array_equal(counts[..., 0], np.diagonal(matrices, axis1=1, axis2=2))
  np.testing.assert_array_equal(counts[..., 1], matrices.sum(1) - counts[..., 0])
  np.testing.assert_array_equal(counts[..., 2], matrices.sum(2) - counts[..., 0])


def test_counts_leave_out_invalid_pixels():
  predictions, masks = _labels(7)
  valid = np.zeros(masks.shape, bool)
  valid[:, 2:6, 1:] = True
  counts = metrics.confusion_counts(predictions, masks, 3, valid=valid)
  cut = metrics.confusion_counts(predictions[:, 2:6, 1:], masks[:, 2:6, 1:], 3)
  np.testing.assert_array_equal(counts, cut)


def test_counts_of_volumes_are_those_of_their_pixels():
  arrays = jnp.array(np.random.default_rng(0).integers(0, 3, (3, 2, 4, 5, 6)))
  predictions, masks, valid = arrays
  flat = arrays.reshape(3, 2, 20, 6)
  for count in (metrics.confusion_counts, metrics.confusion_matrix):
    expected = count(flat[0], flat[1], 3, valid=flat[2])
    np.testing.assert_array_equal(count(predictions, masks, 3, valid=valid), expected)


def test_counts_are_exact_where_float32_would_not_be():
  predictions = jnp.zeros([1, 4100, 4100], jnp.uint8)
  masks = predictions.at[0, 0, 0].set(1)
  counts = metrics.confusion_counts(predictions, masks, 2)
  assert int(counts[0, 0, 0]) == 4100**2 - 1
  assert counts[0, 1].tolist() == [0, 0, 1, 4100**2 - 1]


@pytest.mark.parametrize("name", RATIOS)
def test_ratios_equal_brute_force_in_numpy_and_jax(name):
  predictions, masks = _labels(11)
  counts = metrics.confusion_counts(predictions, masks, 3)
  expected = [[_brute_force(predictions[n], masks[n], c)[name] for c in range(3)] for n in range(4)]
  in_numpy = getattr(metrics, name)(np.asarray(counts))
  in_jax = jax.jit(getattr(metrics, name))(counts)
  assert isinstance(in_numpy, np.ndarray)
  assert in_jax.dtype == jnp.float32
  np.testing.assert_allclose(in_numpy, expected, rtol=1e-12)
  np.testing.assert_allclose(in_jax, expected, rtol=1e-6)
  np.testing.assert_array_equal(metrics.per_case(counts)[name], in_numpy)


# What each gives for a class that is: absent from both, only predicted, only true, everywhere in
# both, everywhere in truth and partly predicted.
EDGE_COUNTS = np.array([[0, 0, 0, 9], [0, 4, 0, 5], [0, 0, 4, 5], [9, 0, 0, 0], [5, 0, 4, 0]])
EDGES = {
  "dice": [1, 0, 0, 1, 10 / 14],
  "iou": [1, 0, 0, 1, 5 / 9],
  "precision": [1, 0, 0, 1, 1],
  "recall": [1, 0, 0, 1, 5 / 9],
  "specificity": [1, 5 / 9, 1, 1, 0],
  "negative_predictive_value": [1, 1, 5 / 9, 1, 0],
  "false_positive_rate": [0, 4 / 9, 0, 0, 1],
  "false_negative_rate": [0, 1, 1, 0, 4 / 9],
  "f1": [1, 0, 0, 1, 10 / 14],
  "accuracy": [1, 5 / 9, 5 / 9, 1, 5 / 9],
}


@pytest.mark.parametrize("name", RATIOS)
def test_empty_and_full_masks(name):
  np.testing.assert_allclose(getattr(metrics, name)(EDGE_COUNTS), EDGES[name])
  nothing = 0 if name in ("false_positive_rate", "false_negative_rate") else 1
  np.testing.assert_allclose(getattr(metrics, name)(np.zeros([1, 4], int)), [nothing])


def test_class_balanced_dice_of_a_hand_made_image():
  # 12 background pixels of which 3 are called lesion, 4 lesion pixels all found.
  counts = np.array([[9, 0, 3, 4], [4, 3, 0, 9]])
  dice = np.array([18 / 21, 8 / 11])
  paper = metrics.class_balanced_dice(counts)
  np.testing.assert_allclose(paper, dice @ [1 / 4, 3 / 4])
  inverse = metrics.class_balanced_dice(jnp.array(counts), "inverse")
  np.testing.assert_allclose(inverse, dice @ [1 / 4, 3 / 4], rtol=1e-5)
  with pytest.raises(ValueError, match="class_weights: choose from inverse, paper; got 'x'"):
    metrics.class_balanced_dice(counts, "x")


def test_class_balanced_dice_conventions_differ_for_three_classes():
  counts = np.array([[8, 0, 0, 2], [0, 0, 1, 9], [1, 1, 0, 8]])  # parts 0.8, 0.1, 0.1
  dice = np.array([1, 0, 2 / 3])
  np.testing.assert_allclose(metrics.class_balanced_dice(counts), dice @ [0.1, 0.45, 0.45])
  weights = np.array([1 / 0.8, 10, 10])
  np.testing.assert_allclose(
    metrics.class_balanced_dice(counts, "inverse"), dice @ weights / weights.sum(), rtol=1e-5
  )


def test_summary_gives_each_metric_four_ways():
  predictions, masks = _labels(13)
  counts = np.asarray(metrics.confusion_counts(predictions, masks, 3))
  table = metrics.summarize(counts)
  for name in set(RATIOS) - {"f1"}:
    cases = np.array(
      [[_brute_force(predictions[n], masks[n], c)[name] for c in range(3)] for n in range(4)]
    )
    # All images side by side are one image with the pooled counts.
    side_by_side = [np.concatenate(list(images)) for images in (predictions, masks)]
    pooled = np.array([_brute_force(*side_by_side, c)[name] for c in range(3)])
    np.testing.assert_allclose(table[name], cases[:, 1:].mean())
    np.testing.assert_allclose(table[f"{name}_with_background"], cases.mean())
    np.testing.assert_allclose(table[f"{name}_pooled"], pooled[1:].mean())
    np.testing.assert_allclose(table[f"{name}_with_background_pooled"], pooled.mean())
  np.testing.assert_allclose(
    table["class_balanced_dice"], metrics.class_balanced_dice(counts).mean()
  )
  np.testing.assert_allclose(
    table["class_balanced_dice_pooled"], metrics.class_balanced_dice(counts.sum(0))
  )
  assert len(table) == 4 * 10 + 2
  assert all(type(value) is float for value in table.values())


def test_summarized_f1_is_the_harmonic_mean_of_the_mean_precision_and_recall():
  counts = np.array([[[6, 0, 2, 2], [2, 2, 0, 6]], [[0, 0, 4, 6], [6, 4, 0, 0]]])
  table = metrics.summarize(counts)
  np.testing.assert_allclose(table["f1"], table["dice"])
  precisions, recalls = np.array([(1 + 0.5) / 2, (0 + 0.6) / 2]), np.array([(0.75 + 1) / 2, 0.5])
  expected = (2 * precisions * recalls / (precisions + recalls)).mean()
  np.testing.assert_allclose(table["f1_with_background"], expected)


def test_summarized_f1_is_zero_where_precision_and_recall_are():
  counts = np.array([[[0, 5, 5, 0], [0, 5, 5, 0]]])
  assert metrics.summarize(counts)["f1_with_background"] == 0


def test_pooled_counts_do_not_overflow():
  counts = np.full([1000, 2, 4], 2**30, np.int32)
  np.testing.assert_allclose(metrics.summarize(counts)["dice_pooled"], 0.5)


def test_the_dice_of_a_case_leaves_out_classes_without_one():
  values = np.array([[0.2, 0.1, 0.4, 0.9], [1, np.nan, 0.5, np.inf], [1, np.nan, np.nan, np.nan]])
  expected = [np.mean(values[0, 1:]), 0.5, np.nan]
  np.testing.assert_array_equal(metrics.foreground_dice_per_case(values), expected)
  counts = np.random.default_rng(0).integers(0, 100, (50, 4, 4))
  dice = metrics.dice(counts)
  np.testing.assert_array_equal(metrics.foreground_dice_per_case(dice), dice[:, 1:].mean(axis=-1))


def test_foreground_dice_equals_the_summary_and_leaves_out_padding():
  counts = metrics.confusion_counts(*_labels(17), 3)
  padded = jnp.concatenate([counts, jnp.zeros_like(counts)])
  value = jax.jit(metrics.foreground_dice)(padded, jnp.arange(8) < 4)
  assert value.shape == ()
  np.testing.assert_allclose(value, metrics.summarize(counts)["dice"], rtol=1e-6)
  np.testing.assert_allclose(metrics.foreground_dice(counts), value, rtol=1e-6)
  assert metrics.foreground_dice(counts, jnp.zeros(4, bool)) == 0


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: metrics.summarize(np.zeros([0, 2, 4])), "counts: must be"),
    (lambda: metrics.summarize(np.zeros([5, 2, 3])), "counts: must be"),
    (lambda: metrics.confusion_counts(np.zeros([2, 2]), np.zeros([2, 2]), 2), "must both be"),
    (lambda: metrics.confusion_counts(np.zeros([1, 2, 2]), np.zeros([1, 2, 3]), 2), "must both be"),
    (lambda: metrics.confusion_counts(np.zeros([1, 2, 2]), np.zeros([1, 2, 2]), 1), "num_classes"),
    (lambda: metrics.confusion_matrix(np.zeros([2, 2]), np.zeros([2, 2]), 2), "must both be"),
    (
      lambda: metrics.confusion_counts(
        np.zeros([1, 2, 2]), np.zeros([1, 2, 2]), 2, valid=np.zeros(1)
      ),
      "valid: must have",
    ),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
