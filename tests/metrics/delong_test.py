"""DeLong's variance against its definition over all pairs, and its coverage by simulation."""

import numpy as np
import pytest
import scipy.stats
from scipy import special

from mlseg.metrics import statistics

NUM_DRAWS = 550


def _delong_by_definition(labels, *scores):
  """Returns the AUCs and their covariance from the kernel psi of every pair."""
  labels = np.asarray(labels)
  placements = []
  for values in scores:
    values = np.asarray(values)
    pairs = values[labels == 1][:, None] - values[labels == 0][None, :]
    psi = np.where(pairs > 0, 1, np.where(pairs == 0, 0.5, 0))
    placements.append((psi.mean(axis=1), psi.mean(axis=0), psi.mean()))
  of_positive, of_negative, areas = zip(*placements, strict=True)
  covariance = sum(
    np.atleast_2d(np.cov(components, ddof=1)) / len(components[0])
    for components in (of_positive, of_negative)
  )
  return np.array(areas), covariance


def _tasks(rng):
  """Yields labels and two scores, with ties and without, at least two cases of each class."""
  for _ in range(NUM_DRAWS):
    labels = np.append([0, 0, 1, 1], rng.integers(0, 2, rng.integers(1, 40)))
    shared = labels * rng.uniform(0, 2) + rng.normal(size=len(labels))
    scores = shared + rng.normal(size=[2, len(labels)])
    yield labels, *(scores.round(rng.integers(0, 2)) if rng.random() < 0.7 else scores)


def test_delong_interval_equals_the_definition():
  z = special.ndtri(0.95)
  for labels, scores, _ in _tasks(np.random.default_rng(7)):
    (area,), ((variance,),) = _delong_by_definition(labels, scores)
    error = np.sqrt(variance)
    expected = np.clip([area - z * error, area + z * error], 0, 1)
    interval = statistics.delong_interval(labels, scores, level=0.9)
    np.testing.assert_allclose(interval, [area, *expected, 0], rtol=1e-9, atol=1e-9)
    on_logits = statistics.delong_interval(labels, scores, level=0.9, logit=True)
    if 0 < area < 1:
      half = z * error / (area * (1 - area))
      expected = special.expit(special.logit(area) + np.array([-half, half]))
    np.testing.assert_allclose(on_logits, [area, *expected, 0], rtol=1e-9, atol=1e-9)


def test_delong_test_equals_the_definition():
  num_tested = 0
  for labels, a, b in _tasks(np.random.default_rng(8)):
    areas, covariance = _delong_by_definition(labels, a, b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    result = statistics.delong_test(labels, a, b)
    np.testing.assert_allclose(result[:3], [*areas, areas[0] - areas[1]], atol=1e-12)
    np.testing.assert_allclose(result.deviation, np.sqrt(max(variance, 0)), atol=1e-7)
    if variance > 1e-9:
      z = (areas[0] - areas[1]) / np.sqrt(variance)
      expected = [z, 2 * scipy.stats.norm.sf(abs(z))]
      np.testing.assert_allclose([result.z, result.p], expected, rtol=1e-6, atol=1e-9)
      num_tested += 1
  assert num_tested > 500


def test_delong_test_of_a_score_with_itself_and_in_the_other_order():
  labels, a, b = next(_tasks(np.random.default_rng(9)))
  same = statistics.delong_test(labels, a, 3 * a)
  assert (same.difference, same.deviation, same.z, same.p) == (0, 0, 0, 1)
  forward, back = statistics.delong_test(labels, a, b), statistics.delong_test(labels, b, a)
  np.testing.assert_allclose([back.z, back.p], [-forward.z, forward.p], rtol=1e-12)


@pytest.mark.parametrize("logit", [False, True])
def test_delong_where_the_variance_is_zero_or_unknown(logit):
  interval = lambda labels, scores: statistics.delong_interval(labels, scores, logit=logit)  # noqa: E731
  assert interval([0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.7, 0.8, 0.9]) == (1, 1, 1, 0)
  assert interval([0, 0, 1, 1, 1], [0.9, 0.8, 0.1, 0.2, 0.3]) == (0, 0, 0, 0)
  assert interval([0, 0, 0, 1, 1], [0.3] * 5) == (0.5, 0.5, 0.5, 0)
  assert np.isnan(interval([1, 1, 1], [0.1, 0.2, 0.3])[:3]).all()
  one_positive = interval([0, 0, 1], [0.1, 0.4, 0.3])
  assert one_positive.estimate == 0.5
  assert np.isnan(one_positive[1:3]).all()


def test_delong_test_where_the_variance_is_zero_or_unknown():
  labels = np.array([0, 0, 1, 1])
  perfect, constant = np.arange(4), np.zeros(4)
  assert statistics.delong_test(labels, perfect, constant) == (1, 0.5, 0.5, 0, np.inf, 0)
  assert statistics.delong_test(labels, constant, perfect).z == -np.inf
  assert np.isnan(statistics.delong_test(np.ones(4, int), perfect, constant)).all()
  one_negative = statistics.delong_test([0, 1, 1], [2, 1, 3], [1, 2, 3])
  assert one_negative[:3] == (0.5, 1, -0.5)
  assert np.isnan(one_negative[3:]).all()


@pytest.mark.parametrize("logit", [False, True])
def test_delong_interval_covers_the_true_area(logit):
  rng = np.random.default_rng(10)
  true = special.ndtr(1 / np.sqrt(2))  # two unit normals, one apart
  labels = np.repeat([0, 1], [40, 30])
  covered = 0
  for _ in range(400):
    interval = statistics.delong_interval(labels, labels + rng.normal(size=70), logit=logit)
    covered += interval.low <= true <= interval.high
  assert 0.9 < covered / 400 < 0.99


def test_delong_test_rejects_a_true_null_as_often_as_it_says():
  rng = np.random.default_rng(11)
  labels = np.repeat([0, 1], 50)
  p_values = [
    statistics.delong_test(labels, *(labels + rng.normal(size=100) + rng.normal(size=[2, 100]))).p
    for _ in range(400)
  ]
  assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09
