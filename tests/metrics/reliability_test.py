"""Reliability data and error detection agree with scikit-learn and with the metric of cases."""

import numpy as np
import pytest

from mlseg import metrics


def _pixels(seed, num_classes):
  rng = np.random.default_rng(seed)
  probabilities = rng.dirichlet(np.full(num_classes, 0.4), 500)
  labels = rng.integers(0, num_classes, 500)
  sure = rng.random(500) < 0.6
  return probabilities, np.where(sure, probabilities.argmax(-1), labels)


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("num_bins", [1, 7, 15])
def test_the_error_is_that_of_cases(num_classes, num_bins):
  for seed in range(5):
    probabilities, labels = _pixels(seed, num_classes)
    found = metrics.reliability(probabilities, labels, num_bins=num_bins)
    expected = metrics.expected_calibration_error(labels, probabilities, num_bins=num_bins)
    assert found.error == pytest.approx(expected, abs=1e-12)
    assert found.counts.sum() == 500
    right = probabilities.argmax(-1) == labels
    assert (found.counts * np.nan_to_num(found.accuracy)).sum() == pytest.approx(right.sum())


@pytest.mark.parametrize("num_classes", [2, 5])
def test_error_detection_is_the_area_under_a_roc_curve(num_classes):
  peer = pytest.importorskip("sklearn.metrics")
  for seed in range(250):
    probabilities, labels = _pixels(seed, num_classes)
    probabilities = probabilities.round(1)  # with ties
    wrong = probabilities.argmax(-1) != labels
    expected = peer.roc_auc_score(wrong, -probabilities.max(-1))
    assert metrics.error_detection_auc(probabilities, labels) == pytest.approx(expected, abs=1e-12)
  assert np.isnan(metrics.error_detection_auc([[0.9, 0.1]], [0]))


@pytest.mark.parametrize(
  ("probabilities", "labels", "bins", "message"),
  [
    ([[0.5, 0.5]], [0], 0, "num_bins: must be at least 1, got 0"),
    ([0.5, 0.5], [0, 1], 5, r"must be \[n, C\] and \[n\], n >= 1, got \(2,\) and \(2,\)"),
    ([[0.5, 0.5]], [0, 1], 5, r"got \(1, 2\) and \(2,\)"),
  ],
)
def test_wrong_arguments_are_refused(probabilities, labels, bins, message):
  with pytest.raises(ValueError, match=message):
    metrics.reliability(probabilities, labels, num_bins=bins)
