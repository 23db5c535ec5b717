"""Metrics of classes and scores on hand-made cases, on degenerate ones, and by their laws."""

import itertools

import numpy as np
import pytest

from mlseg.metrics import classification as of_classes
from mlseg.metrics import classification_probabilities as of_probabilities
from mlseg.metrics import classification_scores as of_scores

RANKINGS = [
  of_scores.roc_auc,
  of_scores.average_precision,
  of_scores.sensitivity_at_specificity,
]


def _probabilities(rng, num_cases, num_classes):
  return rng.dirichlet(np.ones(num_classes), num_cases)


def test_metrics_of_classes_on_a_hand_made_task():
  labels, predictions = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 1]
  matrix = of_classes.classification_confusion(labels, predictions)
  assert matrix.tolist() == [[2, 1, 0], [0, 1, 1], [0, 1, 0]]
  assert of_classes.classification_accuracy(labels, predictions) == 1 / 2
  np.testing.assert_allclose(of_classes.balanced_accuracy(labels, predictions), (2 / 3 + 1 / 2) / 3)
  expected = {
    of_classes.classification_precision: [1, 1 / 3, 0],
    of_classes.classification_recall: [2 / 3, 1 / 2, 0],
    of_classes.classification_f1: [4 / 5, 2 / 5, 0],
  }
  for metric, values in expected.items():
    averaged = {name: metric(labels, predictions, average=name) for name in ("macro", "micro")}
    np.testing.assert_allclose(metric(labels, predictions, average="none"), values)
    np.testing.assert_allclose(averaged["macro"], np.mean(values))
    np.testing.assert_allclose(averaged["micro"], 1 / 2)
    weighted = metric(labels, predictions, average="weighted")
    np.testing.assert_allclose(weighted, np.dot(values, [3, 2, 1]) / 6)


def test_averages_count_the_classes_that_are_true_or_predicted():
  labels, predictions = [0, 0, 3], [0, 1, 3]  # 1 only predicted, 2 and 4 in neither
  values = of_classes.classification_f1(labels, predictions, average="none", num_classes=5)
  np.testing.assert_allclose(values, [2 / 3, 0, 1, 1, 1])
  macro = of_classes.classification_f1(labels, predictions, num_classes=5)
  np.testing.assert_allclose(macro, (2 / 3 + 0 + 1) / 3)
  np.testing.assert_allclose(of_classes.balanced_accuracy(labels, predictions), (1 / 2 + 1) / 2)


def test_rankings_on_a_hand_made_task():
  labels, scores = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.2, 0.3, 0.4, 0.5]
  # Of the 9 pairs, 7 are in order and one is tied.
  np.testing.assert_allclose(of_scores.roc_auc(labels, scores), 7.5 / 9)
  np.testing.assert_allclose(of_scores.average_precision(labels, scores), (1 + 1 + 3 / 5) / 3)
  for specificity, sensitivity in [(1, 2 / 3), (0.9, 2 / 3), (2 / 3, 2 / 3), (1 / 3, 1), (0, 1)]:
    value = of_scores.sensitivity_at_specificity(labels, scores, specificity)
    np.testing.assert_allclose(value, sensitivity)


def test_sensitivity_is_zero_where_only_a_threshold_above_all_is_specific_enough():
  assert of_scores.sensitivity_at_specificity([0, 1, 1], [0.9, 0.5, 0.4], 0.5) == 0


def test_a_specificity_of_nine_in_ten_is_at_least_0_9():
  labels, scores = [0] * 10 + [1], [0] * 9 + [2, 1]
  assert of_scores.sensitivity_at_specificity(labels, scores, 0.9) == 1
  assert of_scores.sensitivity_at_specificity(labels, scores, 0.91) == 0


@pytest.mark.parametrize("metric", RANKINGS)
def test_rankings_depend_on_the_order_of_scores_alone(metric):
  rng = np.random.default_rng(0)
  labels, scores = rng.integers(0, 2, 40), rng.integers(-9, 10, 40)
  shuffled = rng.permutation(40)
  expected = metric(labels, scores)
  assert metric(labels, np.exp(scores / 9.0)) == expected
  assert metric(labels[shuffled], scores[shuffled]) == pytest.approx(expected, rel=1e-12)
  assert metric(labels, -scores) != pytest.approx(expected)


@pytest.mark.parametrize("metric", RANKINGS)
def test_rankings_of_classes_are_those_of_each_against_the_rest(metric):
  rng = np.random.default_rng(1)
  labels, scores = rng.integers(0, 3, 50), rng.integers(0, 7, [50, 3])
  each = [metric((labels == c).astype(int), scores[:, c]) for c in range(3)]
  np.testing.assert_allclose(metric(labels, scores, average="none"), each)
  np.testing.assert_allclose(metric(labels, scores), np.mean(each))
  weighted = np.dot(each, np.bincount(labels)) / 50
  np.testing.assert_allclose(metric(labels, scores, average="weighted"), weighted)
  pooled = metric(np.eye(3, dtype=int)[labels].ravel(), scores.ravel())
  assert metric(labels, scores, average="micro") == pooled


@pytest.mark.parametrize("metric", RANKINGS)
def test_a_class_without_cases_is_nan_and_does_not_count(metric):
  labels, scores = np.array([0, 0, 1, 1]), np.array([[5, 1, 0], [2, 3, 1], [3, 4, 0], [1, 5, 9]])
  values = metric(labels, scores, average="none")
  assert np.isnan(values).tolist() == [False, False, True]
  for average in ("macro", "weighted"):
    np.testing.assert_allclose(metric(labels, scores, average=average), values[:2].mean())


@pytest.mark.parametrize("num_cases", [1, 3])
def test_one_class_alone(num_cases):
  for label, metric in itertools.product([0, 1], RANKINGS):
    value = metric([label] * num_cases, np.arange(num_cases))
    if metric is of_scores.average_precision and label == 1:
      assert value == 1
    else:
      assert np.isnan(value)
  assert np.isnan(of_scores.roc_auc([1], [[0.2, 0.8]]))
  assert of_classes.balanced_accuracy([1] * num_cases, [1] * num_cases) == 1


def test_calibration_error_puts_edges_into_the_bin_below():
  probabilities = [0.6, 0.8, 0.8, 0.9]
  labels = [1, 0, 1, 1]
  # Bins of width 0.2: 0.6 lies in (0.4, 0.6], 0.8 in (0.6, 0.8], 0.9 in (0.8, 1].
  expected = (abs(1 - 0.6) + abs(1 - 1.6) + abs(1 - 0.9)) / 4
  value = of_probabilities.expected_calibration_error(labels, probabilities, num_bins=5)
  np.testing.assert_allclose(value, expected)
  one_bin = of_probabilities.expected_calibration_error(labels, probabilities, num_bins=1)
  np.testing.assert_allclose(one_bin, abs(3 - 3.1) / 4)


def test_calibration_error_with_bins_of_equal_mass():
  probabilities = np.array([0.95, 0.6, 0.7, 0.8, 0.7, 0.55])
  labels = np.array([1, 0, 1, 1, 0, 0])
  # Sorted: 0.55 0.6 | 0.7 0.7 | 0.8 0.95.
  expected = (abs(0 - 1.15) + abs(1 - 1.4) + abs(2 - 1.75)) / 6
  options = {"bins": "equal_mass", "num_bins": 3}
  value = of_probabilities.expected_calibration_error(labels, probabilities, **options)
  np.testing.assert_allclose(value, expected)
  # With two bins the edge falls between the equal ones, which stay together below it.
  options["num_bins"] = 2
  value = of_probabilities.expected_calibration_error(labels, probabilities, **options)
  np.testing.assert_allclose(value, (abs(1 - 2.55) + abs(2 - 1.75)) / 6)


def test_calibration_error_reads_one_column_as_two():
  rng = np.random.default_rng(2)
  labels, probabilities = rng.integers(0, 2, 60), rng.integers(0, 17, 60) / 16
  columns = np.stack([1 - probabilities, probabilities], axis=1)
  for metric in (of_probabilities.expected_calibration_error, of_probabilities.brier):
    np.testing.assert_allclose(metric(labels, probabilities), metric(labels, columns), rtol=1e-12)


def test_brier_of_hand_made_cases():
  assert of_probabilities.brier([1, 0], [1, 0]) == 0
  assert of_probabilities.brier([1, 0], [0, 1]) == 1
  np.testing.assert_allclose(of_probabilities.brier([2], [[0.2, 0.3, 0.5]]), 0.04 + 0.09 + 0.25)
  np.testing.assert_allclose(of_probabilities.brier([0], [[0.2, 0.8]]), 0.64)


def test_summary_of_two_classes_is_that_of_class_one():
  labels, probabilities = [0, 0, 0, 1, 1], [0.1, 0.6, 0.5, 0.7, 0.2]
  table = of_probabilities.summarize_classification(labels, probabilities)
  assert table == {
    "classification_accuracy": pytest.approx(3 / 5),
    "balanced_accuracy": pytest.approx((2 / 3 + 1 / 2) / 2),
    "expected_calibration_error": of_probabilities.expected_calibration_error(
      labels, probabilities
    ),
    "brier": pytest.approx((0.01 + 0.36 + 0.25 + 0.09 + 0.64) / 5),
    "classification_precision": 0.5,
    "classification_recall": 0.5,
    "classification_f1": 0.5,
    "roc_auc": pytest.approx(4 / 6),
    "average_precision": pytest.approx((1 + 2 / 4) / 2),
    "sensitivity_at_specificity": 0.5,
  }


def test_summary_of_many_classes_has_macro_and_pooled_values():
  rng = np.random.default_rng(3)
  labels, probabilities = rng.integers(0, 4, 30), _probabilities(rng, 30, 4)
  predictions = probabilities.argmax(axis=1)
  table = of_probabilities.summarize_classification(labels, probabilities)
  for metric in RANKINGS:
    assert table[metric.__name__] == metric(labels, probabilities)
    pooled = metric(labels, probabilities, average="micro")
    assert table[f"{metric.__name__}_pooled"] == pooled
  assert table["classification_f1"] == of_classes.classification_f1(labels, predictions)
  assert len(table) == 13
  assert all(type(value) is float for value in table.values())


def test_summary_of_one_class_alone_warns_of_nothing():
  table = of_probabilities.summarize_classification([0, 0], [0.2, 0.3])
  assert {name for name, value in table.items() if np.isnan(value)} == {
    "roc_auc",
    "average_precision",
    "sensitivity_at_specificity",
  }
  assert table["classification_f1"] == 1


def test_probabilities_in_low_precision_are_taken():
  rng = np.random.default_rng(4)
  probabilities = _probabilities(rng, 100, 5)
  coarse = np.ldexp(np.round(np.ldexp(probabilities, 8)), -8).astype(np.float16)
  labels = rng.integers(0, 5, 100)
  assert np.abs(coarse.astype(float).sum(axis=1) - 1).max() > 1e-3
  value = of_probabilities.brier(labels, coarse)
  np.testing.assert_allclose(value, of_probabilities.brier(labels, probabilities), rtol=0.02)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: of_classes.classification_accuracy([], []), r"labels: must be \[N\] with N >= 1"),
    (lambda: of_classes.classification_accuracy([0, 1], [0]), r"must both be \[N\], got \(2,\)"),
    (lambda: of_classes.classification_accuracy([0.5], [0]), "labels: must be integers, got float"),
    (lambda: of_classes.balanced_accuracy([0], [-1]), "predictions: must be not negative, got -1"),
    (
      lambda: of_classes.classification_f1([0], [3], num_classes=3),
      "predictions: must be in 0 ... 2, got 3",
    ),
    (
      lambda: of_classes.classification_f1([0], [0], average="mean"),
      "average: choose from macro, micro, weighted, none; got 'mean'",
    ),
    (lambda: of_scores.roc_auc([0, 2], [0.1, 0.2]), "labels: must be in 0 ... 1, got 2"),
    (lambda: of_scores.roc_auc([0, 1], [0.1, np.nan]), "scores: must be finite, got nan"),
    (lambda: of_scores.average_precision([0], [0.1, 0.2]), r"scores: .* labels \(1\), got 2"),
    (lambda: of_scores.roc_auc([0], [[0.1]]), r"scores: must be \[N\] or \[N, C\]"),
    (lambda: of_scores.roc_auc([0], [0.1], average="mean"), "average: choose from"),
    (lambda: of_scores.roc_auc([], []), "labels: must be"),
    (
      lambda: of_scores.sensitivity_at_specificity([0], [0.1], 90),
      r"specificity: must be in \[0, 1\], got 90",
    ),
    (lambda: of_probabilities.brier([0], [1.5]), r"probabilities: must be in \[0, 1\], got 1.5"),
    (lambda: of_probabilities.brier([0], [-0.5]), r"probabilities: must be in \[0, 1\], got -0.5"),
    (lambda: of_probabilities.brier([0], [np.inf]), "probabilities: must be finite, got inf"),
    (
      lambda: of_probabilities.brier([0], [[0.5, 0.6]]),
      "probabilities: must sum to 1 over classes, got 1.1",
    ),
    (
      lambda: of_probabilities.expected_calibration_error([0], [0.5], num_bins=0),
      "num_bins: must be at least 1, got 0",
    ),
    (
      lambda: of_probabilities.expected_calibration_error([0], [0.5], bins="mass"),
      "bins: choose from equal_mass, equal_width; got 'mass'",
    ),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
