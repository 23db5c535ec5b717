"""Images with and without a foreground: against scikit-learn, and the Dice of those with one."""

import numpy as np
import pytest

from mlseg import metrics


def _counts(seed, count=60, classes=3):
  """Returns counts of random masks and predictions, of which many are empty."""
  rng = np.random.default_rng(seed)
  masks, predictions = rng.integers(0, classes, (2, count, 6, 5))
  masks[rng.random(count) < 0.4] = 0
  predictions[rng.random(count) < 0.4] = 0
  counts = metrics.confusion_counts(predictions, masks, classes)
  return np.asarray(counts), masks, predictions


@pytest.mark.parametrize("classes", [2, 4])
def test_rates_and_counts_equal_scikit_learns(classes):
  peer = pytest.importorskip("sklearn.metrics")
  counts, masks, predictions = _counts(classes, classes=classes)
  true, predicted = masks.any((1, 2)), predictions.any((1, 2))
  np.testing.assert_array_equal(metrics.has_foreground(counts), true)
  np.testing.assert_array_equal(metrics.predicts_foreground(counts), predicted)
  table = metrics.summarize_presence(counts)
  assert table["image_sensitivity"] == pytest.approx(peer.recall_score(true, predicted))
  specificity = peer.recall_score(true, predicted, pos_label=False)
  assert table["image_specificity"] == pytest.approx(specificity)
  names = ("true_negative", "false_positive", "false_negative", "true_positive")
  found = [table[f"images_{name}"] for name in names]
  assert found == peer.confusion_matrix(true, predicted).ravel().tolist()


@pytest.mark.parametrize("absent", ["left_out", "one"])
def test_the_dice_is_that_of_the_images_with_a_foreground_alone(absent):
  counts, masks, _ = _counts(7)
  table = metrics.summarize_presence(counts, absent)
  alone = metrics.summarize(counts[masks.any((1, 2))], absent)
  assert table["dice_where_present"] == pytest.approx(alone["dice"])
  assert abs(table["dice_where_present"] - metrics.summarize(counts, absent)["dice"]) > 0.01


def test_one_pixel_makes_an_image_positive():
  with_pixel = [[[99, 0, 1, 0], [0, 1, 0, 99]]]
  assert metrics.summarize_presence(np.array(with_pixel))["image_specificity"] == 0


def test_a_rate_without_images_is_nan():
  counts, masks, _ = _counts(8)
  with_lesion = metrics.summarize_presence(counts[masks.any((1, 2))])
  assert np.isnan(with_lesion["image_specificity"])
  without = metrics.summarize_presence(counts[~masks.any((1, 2))])
  assert np.isnan(without["image_sensitivity"])
  assert np.isnan(without["dice_where_present"])
