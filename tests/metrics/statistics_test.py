"""Paired tests, effect sizes and corrections against scipy and against their definitions."""

import itertools

import numpy as np
import pytest
import scipy.stats
from scipy import special

from mlseg.metrics import statistics

NUM_DRAWS = 150


def test_mean_and_deviation_of_seeds():
  mean, deviation = statistics.mean_and_deviation([0.6, 0.7, 0.9])
  np.testing.assert_allclose(mean, 2.2 / 3)
  np.testing.assert_allclose(
    deviation, np.sqrt(((0.4 / 3) ** 2 + (0.1 / 3) ** 2 + (1 / 6) ** 2) / 2)
  )
  assert np.isnan(statistics.mean_and_deviation([0.6])[1])
  assert np.isnan(statistics.mean_and_deviation([0.6, np.inf])[1])
  assert statistics.format_mean_and_deviation([0.6, 0.7, 0.9], decimals=2) == "0.73 ± 0.15"
  assert statistics.format_mean_and_deviation([0.6], decimals=2) == "0.60"


def _paired_runs(rng, num_cases=None):
  """Returns two runs on the same cases; in multiples of 1 / 16 there are zeros and exact ties."""
  num_cases = num_cases or rng.integers(2, 70)
  a, b = rng.normal(size=[2, num_cases]) + rng.normal(size=num_cases)
  return (np.round(4 * a) / 16, np.round(4 * b) / 16) if rng.random() < 0.6 else (a, b)


@pytest.mark.slow
def test_paired_tests_equal_scipy():
  rng, num_exact_with_ties = np.random.default_rng(12), 0
  for _ in range(500):
    a, b = _paired_runs(rng)
    d = a - b
    result = statistics.paired_tests(a, b, level=0.9)
    if np.ptp(d) == 0:
      continue
    expected = scipy.stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.9)
    np.testing.assert_allclose([result.t, result.p_t], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose([result.low, result.high], interval, rtol=1e-9, atol=1e-12)
    expected = scipy.stats.wilcoxon(a, b)
    np.testing.assert_allclose([result.wilcoxon, result.p_wilcoxon], expected, rtol=1e-9)
    num_exact_with_ties += len(d) <= 13 and len(np.unique(np.abs(d))) < len(d)
  assert num_exact_with_ties > 5


def test_wilcoxon_equals_all_signs_counted():
  rng = np.random.default_rng(13)
  for _ in range(NUM_DRAWS):
    a, b = _paired_runs(rng, rng.integers(2, 10))
    d = (a - b)[a != b]
    if not len(d):
      continue
    ranks = scipy.stats.rankdata(np.abs(d))
    signs = np.array(list(itertools.product([0, 1], repeat=len(d))))
    sums = signs @ ranks
    positive = ranks[d > 0].sum()
    p = 2 * min((sums <= positive + 1e-9).mean(), (sums >= positive - 1e-9).mean())
    result = statistics.paired_tests(a, b)
    np.testing.assert_allclose(result.p_wilcoxon, min(p, 1), rtol=1e-9)
    np.testing.assert_allclose(result.wilcoxon, min(positive, ranks.sum() - positive))


def test_effect_sizes_equal_their_formulas():
  rng = np.random.default_rng(14)
  for _ in range(NUM_DRAWS):
    # Between 9 and 13 cases with ties, the exact p of Wilcoxon takes long and is not needed here.
    a, b = _paired_runs(rng, rng.choice([*range(3, 9), *range(14, 40)]))
    d, n = a - b, len(a)
    if np.ptp(d) == 0:
      continue
    result = statistics.paired_tests(a, b)
    np.testing.assert_allclose(result.cohens_dz, d.mean() / d.std(ddof=1), rtol=1e-9, atol=1e-12)
    # J = sqrt(2 / f) Γ(f / 2) / Γ((f - 1) / 2), near 1 - 3 / (4 f - 1).
    gammas = special.gamma((n - 1) / 2) / special.gamma((n - 2) / 2)
    expected = result.cohens_dz * np.sqrt(2 / (n - 1)) * gammas
    np.testing.assert_allclose(result.hedges_g, expected, rtol=1e-9)
    np.testing.assert_allclose(
      result.hedges_g, result.cohens_dz * (1 - 3 / (4 * n - 5)), rtol=0.3 / n
    )
    ranks, signs = scipy.stats.rankdata(np.abs(d[d != 0])), np.sign(d[d != 0])
    expected = (ranks[signs > 0].sum() - ranks[signs < 0].sum()) / ranks.sum()
    np.testing.assert_allclose(result.rank_biserial, expected, rtol=1e-12)


def test_swapping_the_runs_swaps_the_signs():
  a, b = _paired_runs(np.random.default_rng(15), 20)
  forward, back = statistics.paired_tests(a, b), statistics.paired_tests(b, a)
  for name in ("mean_difference", "t", "cohens_dz", "hedges_g", "rank_biserial"):
    np.testing.assert_allclose(getattr(back, name), -getattr(forward, name))
  for name in ("num_cases", "p_t", "wilcoxon", "p_wilcoxon"):
    np.testing.assert_allclose(getattr(back, name), getattr(forward, name))
  np.testing.assert_allclose([back.low, back.high], [-forward.high, -forward.low])


def test_equal_runs_do_not_differ():
  values = np.array([0.1, 0.7, 0.3])
  result = statistics.paired_tests(values, values)
  assert result == (3, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0)


def test_a_constant_difference_is_certain():
  a = np.array([0.5, 0.25, 0.75, 1])
  result = statistics.paired_tests(a, a + 0.125)
  assert (result.low, result.high, result.p_t) == (-0.125, -0.125, 0)
  assert result.t == result.cohens_dz == result.hedges_g == -np.inf
  assert result.rank_biserial == -1
  assert result.p_wilcoxon == 2 / 2**4
  assert np.isnan(statistics.paired_tests([1, 2], [3, 5]).hedges_g)
  assert statistics.paired_tests([0.1] * 3, [0] * 3).t == np.inf  # whose mean is not 0.1


def test_cases_that_are_not_finite_are_refused_or_left_out():
  a, b = np.array([0.9, np.nan, 0.7, 0.4, 0.5]), np.array([0.8, 0.5, 0.5, np.inf, 0.5])
  with pytest.raises(ValueError, match=r"must be finite, got nan and 0\.5 in case 1"):
    statistics.paired_tests(a, b)
  kept = [0, 2, 4]
  assert statistics.paired_tests(a, b, nan="omit") == statistics.paired_tests(a[kept], b[kept])


def test_holm_of_published_numbers():
  # The example of pingouin's documentation of its function `holm`.
  p_values = [0.50, 0.003, 0.32, 0.054, 0.0003]
  np.testing.assert_allclose(statistics.holm(p_values), [0.64, 0.012, 0.64, 0.162, 0.0015])


def test_holm_rejects_what_the_procedure_does():
  rng = np.random.default_rng(16)
  for _ in range(NUM_DRAWS):
    p_values = rng.uniform(size=rng.integers(1, 9)) ** 3
    alpha = rng.uniform(0.01, 0.5)
    rejected = np.zeros(len(p_values), bool)
    for num_left, index in zip(
      range(len(p_values), 0, -1), sorted(range(len(p_values)), key=p_values.item), strict=True
    ):
      if p_values[index] > alpha / num_left:
        break
      rejected[index] = True
    np.testing.assert_array_equal(statistics.holm(p_values) <= alpha, rejected)


def test_holm_keeps_nan_and_does_not_count_it():
  np.testing.assert_allclose(
    statistics.holm([np.nan, 0.04, 0.01, np.nan]), [np.nan, 0.04, 0.02, np.nan]
  )
  assert statistics.holm([]).shape == (0,)
  np.testing.assert_allclose(statistics.holm([0.5, 0.5, 0.9]), 1)


def test_compare_makes_all_pairs_or_those_with_the_reference():
  rng = np.random.default_rng(17)
  runs = {name: rng.normal(size=30) + shift for name, shift in [("a", 0), ("b", 0.8), ("c", 0.3)]}
  pairs = statistics.compare(runs)
  assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
  with_reference = statistics.compare(runs, reference="b")
  assert [(c.first, c.second) for c in with_reference] == [("a", "b"), ("c", "b")]
  for comparisons in (pairs, with_reference):
    for c in comparisons:
      assert c.tests == statistics.paired_tests(runs[c.first], runs[c.second])
    for name in ("p_t", "p_wilcoxon"):
      expected = statistics.holm([getattr(c.tests, name) for c in comparisons])
      np.testing.assert_array_equal([getattr(c, f"{name}_holm") for c in comparisons], expected)
  assert pairs[0].p_t_holm == pytest.approx(3 * pairs[0].tests.p_t)


def test_cliffs_delta_counts_pairs():
  rng = np.random.default_rng(18)
  for _ in range(NUM_DRAWS):
    a, b = (rng.integers(0, 6, rng.integers(1, 20)) for _ in range(2))
    expected = np.sign(a[:, None] - b[None, :]).mean()
    np.testing.assert_allclose(statistics.cliffs_delta(a, b), expected, atol=1e-12)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: statistics.mean_and_deviation([]), r"values: must be \[N\] with N >= 1, got \(0,\)"),
    (lambda: statistics.format_mean_and_deviation([1], decimals=-1), "decimals: must not be"),
    (lambda: statistics.bootstrap_interval([]), r"data: must be \[N, ...\] with N >= 1"),
    (lambda: statistics.bootstrap_interval(([1], [1, 2]), max), "data: must have the same number"),
    (lambda: statistics.bootstrap_interval([1], level=95), r"level: must be in \(0, 1\), got 95"),
    (lambda: statistics.bootstrap_interval([1], num_resamples=0), "num_resamples: must be at"),
    (
      lambda: statistics.bootstrap_interval([1], method="BCa"),
      "method: choose from basic, bca, percentile; got 'BCa'",
    ),
    (lambda: statistics.bootstrap_interval([1, 2], groups=["a"]), r"groups: must be \[N\] with"),
    (lambda: statistics.delong_interval([0, 1], [1, 2], level=0), "level: must be in"),
    (lambda: statistics.delong_interval([0, 2], [1, 2]), "labels: must be in 0 ... 1, got 2"),
    (lambda: statistics.delong_interval([0, 1], [[1, 2]] * 2), r"scores: must be \[N\], got"),
    (lambda: statistics.delong_test([0, 1], [1, 2], [1, np.nan]), "scores_b: must be finite"),
    (lambda: statistics.delong_test([0, 1], [1], [1, 2]), "scores_a: must have as many cases"),
    (lambda: statistics.paired_tests([1, 2], [1]), r"a and b: must both be \[N\], got \(2,\)"),
    (lambda: statistics.paired_tests([1], [1]), "a and b: must have at least 2 finite cases"),
    (lambda: statistics.paired_tests([1, 2], [1, 3], nan="drop"), "nan: choose from omit, refuse"),
    (lambda: statistics.paired_tests([1, 2], [1, 3], level=1), "level: must be in"),
    (lambda: statistics.holm([0.5, 1.5]), r"p_values: must be in \[0, 1\], got 1.5"),
    (lambda: statistics.holm(0.5), r"p_values: must be \[K\], got \(\)"),
    (lambda: statistics.compare({"a": [1, 2]}), "runs: must be at least two, got"),
    (
      lambda: statistics.compare({"a": [1, 2], "b": [1, 3]}, reference="c"),
      "reference: choose from a, b; got 'c'",
    ),
    (
      lambda: statistics.compare({"x": [1, 2], "y": [1, np.nan]}),
      "runs 'x' .a. and 'y' .b.: a and b: must be finite, got 2.0 and nan in case 1",
    ),
    (lambda: statistics.cliffs_delta([], [1]), r"a: must be \[N\] with N >= 1"),
    (lambda: statistics.cliffs_delta([1], [np.nan]), "b: must be finite, got nan"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
