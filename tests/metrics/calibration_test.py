"""Calibration against a plain loop and scikit-learn, Wilson's interval against scipy."""

import numpy as np
import pytest
from scipy import stats

from mlseg.metrics import calibration


def test_the_interval_is_that_of_scipy():
  for n in (1, 2, 7, 40, 1000):
    successes = np.unique(np.linspace(0, n, 9).round().astype(int))
    for level in (0.5, 0.9, 0.95, 0.99):
      low, high = calibration.wilson_interval(successes, n, level=level)
      assert (low[0], high[-1]) == (0, 1)  # exactly: a plot of a bar refuses less than nothing
      for k, a, b in zip(successes, low, high, strict=True):
        expected = stats.binomtest(int(k), n).proportion_ci(level, method="wilson")
        np.testing.assert_allclose([a, b], expected, rtol=1e-10, atol=1e-15)


def test_the_interval_of_nothing_is_everything():
  low, high = calibration.wilson_interval([0, 0], [0, 3])
  assert low.tolist() == [0, 0]
  assert high[0] == 1 > high[1]


def test_the_interval_covers_the_true_share():
  rng = np.random.default_rng(0)
  for share in (0.05, 0.3, 0.5):
    found = rng.binomial(30, share, 4000)
    low, high = calibration.wilson_interval(found, 30)
    assert 0.925 < np.mean((low <= share) & (share <= high)) < 0.985


def _plain_curve(labels, probabilities, num_bins):
  """Yields count, mean probability and share of the positive of each bin (a, b]."""
  for place in range(num_bins):
    inside = [
      n
      for n, p in enumerate(probabilities)
      if place / num_bins < p <= (place + 1) / num_bins or (p == 0 and place == 0)
    ]
    chosen = np.array(inside, int)
    values = (probabilities[chosen].mean(), labels[chosen].mean()) if inside else (np.nan, np.nan)
    yield len(inside), *values


def test_the_curve_is_that_of_a_plain_loop():
  rng, num_empty = np.random.default_rng(1), 0
  for _ in range(300):
    num_bins, size = int(rng.choice([1, 3, 4, 10])), int(rng.integers(1, 50))
    probabilities = rng.beta(*rng.choice([0.5, 2, 5], 2), size)
    if rng.random() < 0.5:
      probabilities = probabilities.round(1)  # on the edges of bins
    labels = (rng.uniform(size=size) < probabilities).astype(int)
    curve = calibration.calibration_curve(labels, probabilities, num_bins=num_bins, level=0.9)
    counts, predicted, observed = zip(*_plain_curve(labels, probabilities, num_bins), strict=True)
    np.testing.assert_array_equal(curve.counts, counts)
    np.testing.assert_allclose(curve.predicted, predicted, atol=1e-12)
    np.testing.assert_allclose(curve.observed, observed, atol=1e-12)
    np.testing.assert_allclose(curve.edges, np.linspace(0, 1, num_bins + 1))
    positive = np.nan_to_num(curve.observed) * curve.counts
    low, high = calibration.wilson_interval(positive.round(), curve.counts, level=0.9)
    np.testing.assert_allclose((curve.low, curve.high), (low, high), atol=1e-12)
    num_empty += counts.count(0)
  assert num_empty > 100


def test_the_curve_is_that_of_scikit_learn():
  peer = pytest.importorskip("sklearn.calibration")
  rng = np.random.default_rng(2)
  for _ in range(500):
    probabilities = rng.beta(2, 2, 40)
    labels = np.append([0, 1], rng.integers(0, 2, 38))
    observed, predicted = peer.calibration_curve(labels, probabilities, n_bins=10)
    curve = calibration.calibration_curve(labels, probabilities)
    there = curve.counts > 0
    np.testing.assert_allclose(curve.observed[there], observed)
    np.testing.assert_allclose(curve.predicted[there], predicted)


@pytest.mark.parametrize(
  ("labels", "probabilities", "options", "message"),
  [
    ([0, 1], [0.1, 1.2], {}, r"must be in \[0, 1\]"),
    ([0, 1], [[0.1, 0.9], [0.2, 0.8]], {}, r"must be \[N\]"),
    ([0, 2], [0.1, 0.2], {}, "labels"),
    ([0, 1], [0.1, 0.2], {"num_bins": 0}, "num_bins: must be at least 1"),
    ([0, 1], [0.1, 0.2], {"level": 1.0}, "level"),
  ],
)
def test_wrong_arguments_are_named(labels, probabilities, options, message):
  with pytest.raises(ValueError, match=message):
    calibration.calibration_curve(labels, probabilities, **options)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (np.nan, 3), (0, -1)])
def test_shares_that_are_none(k, n):
  with pytest.raises(ValueError, match=r"successes: must be in 0 \.\.\. totals"):
    calibration.wilson_interval(k, n)
