"""Bootstrap intervals against scipy on the same resamples, and by patient against theory."""

import numpy as np
import pytest
import scipy.stats
from scipy import special

from mlseg.metrics import bootstrap, statistics
from mlseg.metrics.classification_scores import roc_auc

NUM_DRAWS = 500


def _spread(values, axis=-1):
  return np.std(values, axis=axis)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
@pytest.mark.parametrize("statistic", [np.mean, _spread])
def test_bootstrap_equals_scipy_on_the_same_resamples(method, statistic):
  rng = np.random.default_rng(0)
  for seed in range(NUM_DRAWS):
    values = rng.gamma(1, size=rng.integers(8, 30))
    level = rng.choice([0.8, 0.9, 0.95])
    expected = scipy.stats.bootstrap(
      (values,),
      statistic,
      n_resamples=199,
      method=method,
      confidence_level=level,
      rng=np.random.default_rng(seed),
    )
    interval = statistics.bootstrap_interval(
      values, statistic, num_resamples=199, method=method, level=level, seed=seed
    )
    np.testing.assert_allclose(interval[1:3], expected.confidence_interval, rtol=1e-10)
    assert interval.estimate == statistic(values)
    assert interval.num_dropped == 0


def test_arrays_are_resampled_together():
  rng = np.random.default_rng(1)
  data = rng.normal(size=[2, 25])
  correlation = lambda x, y: np.corrcoef(x, y)[0, 1]  # noqa: E731
  expected = scipy.stats.bootstrap(
    data, correlation, paired=True, vectorized=False, n_resamples=199, method="bca", rng=3
  ).confidence_interval
  options = {"num_resamples": 199, "method": "bca", "seed": 3}
  interval = statistics.bootstrap_interval(tuple(data), correlation, **options)
  np.testing.assert_allclose(interval[1:3], expected, rtol=1e-10)
  rows = statistics.bootstrap_interval(data.T, lambda rows: correlation(*rows.T), **options)
  np.testing.assert_allclose(rows, interval, rtol=1e-10)


def test_the_fast_mean_is_the_mean_and_blocks_change_nothing(monkeypatch):
  values = np.random.default_rng(2).uniform(size=40)
  interval = statistics.bootstrap_interval(values, num_resamples=500)
  slow = statistics.bootstrap_interval(values, lambda x: x.mean(), num_resamples=500)
  np.testing.assert_allclose(slow, interval, rtol=1e-12)
  monkeypatch.setattr(bootstrap, "_NUMBERS_AT_A_TIME", 280)
  assert statistics.bootstrap_interval(values, num_resamples=500) == interval
  assert statistics.bootstrap_interval(values, num_resamples=500, seed=1) != interval


def test_resamples_without_an_auc_are_dropped_and_counted():
  labels, scores = np.array([0, 0, 0, 0, 1]), np.array([1, 2, 4, 5, 3])
  interval = statistics.bootstrap_interval((labels, scores), roc_auc, num_resamples=2000)
  part = (4 / 5) ** 5 + (1 / 5) ** 5  # of the resamples have one class alone
  deviation = np.sqrt(part * (1 - part) / 2000)
  assert abs(interval.num_dropped / 2000 - part) < 4 * deviation
  assert interval.estimate == 0.5
  assert 0 <= interval.low < 0.5 < interval.high <= 1
  # Without its one positive case there is no AUC either, so the jackknife leaves that out.
  corrected = statistics.bootstrap_interval(
    (labels, scores), roc_auc, num_resamples=2000, method="bca"
  )
  assert np.isfinite(corrected).all()


@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
def test_degenerate_data_give_no_warning(method):
  options = {"method": method, "num_resamples": 50}
  equal = statistics.bootstrap_interval(np.full(7, 0.5), **options)
  assert equal == (0.5, 0.5, 0.5, 0)
  assert statistics.bootstrap_interval([2.0], **options) == (2, 2, 2, 0)
  none = statistics.bootstrap_interval((np.ones(4, int), np.arange(4)), roc_auc, **options)
  assert none.num_dropped == 50
  assert np.isnan(none[:3]).all()
  # One nan makes the estimate nan; resamples without it must not hide that.
  hidden = statistics.bootstrap_interval(np.array([np.nan, 1, 2, 3]), **options)
  assert np.isnan(hidden[:3]).all()
  with_inf = statistics.bootstrap_interval(np.array([np.inf, 1, 2]), np.median, **options)
  assert with_inf.estimate == 2


def test_bca_is_nan_where_all_resamples_lie_on_one_side():
  values = np.arange(6.0)
  first = lambda x: 0.0 if np.array_equal(x, values) else 1 + x.mean()  # noqa: E731
  interval = statistics.bootstrap_interval(values, first, num_resamples=50, method="bca")
  assert interval.estimate == 0
  assert np.isnan(interval[1:3]).all()


def _clustered(rng, num_patients, size, correlation):
  """Returns values and patients of cases whose correlation within a patient is given."""
  of_patient = rng.normal(size=[num_patients, 1]) * np.sqrt(correlation)
  of_case = rng.normal(size=[num_patients, size]) * np.sqrt(1 - correlation)
  return (of_patient + of_case).ravel(), np.repeat(np.arange(num_patients), size)


def _width(values, **options):
  interval = statistics.bootstrap_interval(values, num_resamples=3000, **options)
  return interval.high - interval.low


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("resample_within", [True, False])
def test_width_by_patient_is_that_of_the_variance_of_its_resampling(correlation, resample_within):
  values, patients = _clustered(np.random.default_rng(4), 60, 5, correlation)
  table = values.reshape(60, 5)
  variance = table.mean(axis=1).var() / 60
  if resample_within:
    variance += table.var(axis=1).mean() / 300
  expected = 2 * special.ndtri(0.975) * np.sqrt(variance)
  # Neither the order of cases nor what patients are called matters.
  order = np.random.default_rng(5).permutation(300)
  names = np.array([f"patient {patient}" for patient in patients])
  width = _width(values[order], groups=names[order], resample_within=resample_within)
  np.testing.assert_allclose(width, expected, rtol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("resample_within", [True, False])
def test_width_grows_by_the_design_effect(resample_within):
  # At correlation 0.9 the second stage adds only (1 - 0.9) (m - 1) / m / m to 0.92.
  size, correlation = 5, 0.9
  ratios = []
  for seed in range(12):
    values, patients = _clustered(np.random.default_rng(seed), 60, size, correlation)
    by_patient = _width(values, groups=patients, resample_within=resample_within)
    ratios.append(by_patient / _width(values))
  effect = np.sqrt(1 + (size - 1) * correlation)
  np.testing.assert_allclose(np.mean(ratios), effect, rtol=0.05)
  assert effect > 2


@pytest.mark.parametrize("resample_within", [True, False])
def test_a_drawn_patient_brings_as_many_cases_as_it_has(resample_within):
  patients = np.array(["c", "a", "b", "a", "a", "c", "a", "d"])
  cases = np.arange(8)
  resamples = []
  statistics.bootstrap_interval(
    cases,
    lambda drawn: resamples.append(drawn) or 0,
    groups=patients,
    num_resamples=2000,
    resample_within=resample_within,
  )
  assert resamples.pop(0).tolist() == cases.tolist()  # the estimate
  differ = 0
  for drawn in resamples:
    times = {name: (patients[drawn] == name).sum() / (patients == name).sum() for name in "abcd"}
    assert sum(times.values()) == 4
    assert all(number.is_integer() for number in times.values())
    whole = all((drawn == case).sum() == times[patients[case]] for case in cases)
    differ += not whole
  assert (differ > 1000) if resample_within else differ == 0
  drawn_from = np.bincount(np.concatenate(resamples), minlength=8) / 2000
  np.testing.assert_allclose(drawn_from, 1, atol=0.12)


def test_patients_of_one_case_are_cases():
  values = np.random.default_rng(6).gamma(1, size=50)
  by_case = statistics.bootstrap_interval(values, method="bca")
  for within in (True, False):
    by_patient = statistics.bootstrap_interval(
      values, groups=np.arange(50), method="bca", resample_within=within
    )
    np.testing.assert_allclose(by_patient[1:3], by_case[1:3], rtol=0.03)


def test_one_patient_alone_keeps_its_cases_where_they_are_not_resampled():
  values = np.array([1.0, 2, 6])
  options = {"groups": ["a"] * 3, "num_resamples": 200}
  for method in bootstrap.METHODS:
    interval = statistics.bootstrap_interval(
      values, resample_within=False, method=method, **options
    )
    assert interval == (3, 3, 3, 0)
  within = statistics.bootstrap_interval(values, **options)
  assert within.low < 3 < within.high
