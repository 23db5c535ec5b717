"""Statistics for tables, on the host: deviations, comparisons of runs, corrected p-values.

Intervals (of `bootstrap` and `delong`) and tests of two runs (of `paired`) can be imported from
here too.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

from mlseg.metrics.bootstrap import Interval, bootstrap_interval
from mlseg.metrics.delong import AucComparison, delong_interval, delong_test
from mlseg.metrics.paired import PairedTests, paired_tests

__all__ = [
  "AucComparison",
  "Comparison",
  "Interval",
  "PairedTests",
  "bootstrap_interval",
  "cliffs_delta",
  "compare",
  "delong_interval",
  "delong_test",
  "format_mean_and_deviation",
  "holm",
  "mean_and_deviation",
  "paired_tests",
]


class Comparison(NamedTuple):
  """Two runs by name, their tests, and p-values adjusted for all comparisons of one call."""

  first: str
  second: str
  tests: PairedTests
  p_t_holm: float
  p_wilcoxon_holm: float


def mean_and_deviation(values: Any) -> tuple[float, float]:
  """Returns mean and sample standard deviation: sqrt(sum_s (x_s - mean)^2 / (S - 1)).

  Args:
    values: [S], one number per seed; S >= 1.

  Returns:
    Mean and deviation; the deviation of one value is nan. If a value is not finite, neither is
    finite.

  Raises:
    ValueError: where values is not [S] or S is 0.

  Example:
    >>> mean_and_deviation([1.0, 2.0, 3.0]), mean_and_deviation([0.5])
    ((2.0, 1.0), (0.5, nan))
  """
  values = _check_values("values", values)
  with np.errstate(invalid="ignore"):
    deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return float(values.mean()), deviation


def format_mean_and_deviation(values: Any, *, decimals: int = 1) -> str:
  """Returns mean and sample standard deviation as text for a table, 'mean ± deviation'.

  Args:
    values: [S], one number per seed; S >= 1.
    decimals: digits after the point, at least 0.

  Returns:
    The text; for one value the mean only.

  Raises:
    ValueError: where values is not [S], S is 0, or decimals is negative.

  Example:
    >>> format_mean_and_deviation([60.2, 62.9, 65.6]), format_mean_and_deviation([62.9])
    ('62.9 ± 2.7', '62.9')
  """
  if decimals < 0:
    raise ValueError(f"decimals: must not be negative, got {decimals}")
  mean, deviation = mean_and_deviation(values)
  text = f"{mean:.{decimals}f}"
  return f"{text} ± {deviation:.{decimals}f}" if np.size(values) > 1 else text


def holm(p_values: Any) -> np.ndarray:
  """Returns p-values adjusted for their number: max_{j <= i} min(1, (K - j + 1) p_(j)).

  p_(1) <= ... <= p_(K) are the sorted p-values. Holm's step-down procedure rejects those that are
  at most alpha after adjustment. The chance of any false rejection is then at most alpha, however
  the tests depend on each other.

  Source: Holm 1979, A simple sequentially rejective multiple test procedure.

  Args:
    p_values: [K], in [0, 1]; nan for a test that could not be made.

  Returns:
    [K], float64, in [0, 1], in the order given; nan stays nan and does not count towards K.

  Raises:
    ValueError: where p_values is not [K], or a value is not in [0, 1].

  Example:
    >>> holm([0.01, 0.04, 0.03, float("nan")]).tolist()
    [0.03, 0.06, 0.06, nan]
  """
  p_values = np.asarray(p_values, np.float64)
  if p_values.ndim != 1:
    raise ValueError(f"p_values: must be [K], got {p_values.shape}")
  wrong = (p_values < 0) | (p_values > 1)
  if wrong.any():
    raise ValueError(f"p_values: must be in [0, 1], got {p_values[wrong][0]}")
  order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # nan is sorted last
  factors = np.arange(len(order), 0, -1)
  adjusted = np.full(len(p_values), np.nan)
  adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
  return adjusted


def compare(
  runs: Mapping[str, Any],
  *,
  reference: str | None = None,
  level: float = 0.95,
  nan: Literal["refuse", "omit"] = "refuse",
) -> list[Comparison]:
  """Tests all pairs of runs on the same cases, or each against a reference; adjusts the p-values.

  Args:
    runs: from name to [N], the metric of each case, cases in the same order; at least two runs.
    reference: the run with which each of the others is compared; None: all pairs.
    level: the confidence of the intervals, which are not adjusted, in (0, 1).
    nan: as in `paired_tests`; 'omit' leaves a case out of the pairs in which it is not finite.

  Returns:
    One comparison per pair, in the order of runs; a reference is the second of each pair. Holm's
    adjustment is over all pairs, separately for the t-test and for Wilcoxon's.

  Raises:
    ValueError: where there are fewer than two runs, reference is none of them, or as in
      `paired_tests`, with the names of the runs in the message.

  Example:
    >>> runs = {"fixed": [0.5, 0.6, 0.4, 0.3], "dmf": [0.7, 0.8, 0.7, 0.5]}
    >>> runs["ema"] = [0.6, 0.6, 0.5, 0.5]
    >>> for c in compare(runs, reference="fixed"):
    ...   print(f"{c.first} - {c.second}: {c.tests.mean_difference:.3f}, p {c.p_t_holm:.3f}")
    dmf - fixed: 0.225, p 0.006
    ema - fixed: 0.100, p 0.092
  """
  if len(runs) < 2:
    raise ValueError(f"runs: must be at least two, got {list(runs)}")
  if reference is not None and reference not in runs:
    raise ValueError(f"reference: choose from {', '.join(runs)}; got {reference!r}")
  if reference is None:
    pairs = list(combinations(runs, 2))
  else:
    pairs = [(name, reference) for name in runs if name != reference]
  tests = [_named_tests(runs, *pair, level, nan) for pair in pairs]
  adjusted_t = holm([test.p_t for test in tests])
  adjusted_wilcoxon = holm([test.p_wilcoxon for test in tests])
  return [
    Comparison(first, second, test, float(p_t), float(p_wilcoxon))
    for (first, second), test, p_t, p_wilcoxon in zip(
      pairs, tests, adjusted_t, adjusted_wilcoxon, strict=True
    )
  ]


def cliffs_delta(a: Any, b: Any) -> float:
  """Returns Cliff's delta of two groups of different cases: P(a > b) - P(a < b).

  Source: Cliff 1993, Dominance statistics: ordinal analyses to answer ordinal questions.

  Args:
    a: [M], finite; M >= 1.
    b: [N], finite; N >= 1.

  Returns:
    A float in [-1, 1]; 0 where all values are equal. It is 2 A - 1, with A the AUC of a against b.

  Raises:
    ValueError: where a is not [M] or b not [N], either is empty, or a value is not finite.

  Example:
    >>> cliffs_delta([0.8, 0.9, 0.7], [0.7, 0.6])
    0.8333333333333334
  """
  a, b = _check_values("a", a), _check_values("b", b)
  for name, values in (("a", a), ("b", b)):
    if not np.isfinite(values).all():
      raise ValueError(f"{name}: must be finite, got {values[~np.isfinite(values)][0]}")
  ranks = stats.rankdata(np.concatenate([a, b]))[: len(a)]
  above_or_half = ranks.sum() - len(a) * (len(a) + 1) / 2
  return float((2 * above_or_half - len(a) * len(b)) / (len(a) * len(b)))


def _named_tests(runs, first: str, second: str, level: float, nan) -> PairedTests:
  try:
    return paired_tests(runs[first], runs[second], level=level, nan=nan)
  except ValueError as error:
    raise ValueError(f"runs {first!r} (a) and {second!r} (b): {error}") from error


def _check_values(name: str, values) -> np.ndarray:
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or values.size == 0:
    raise ValueError(f"{name}: must be [N] with N >= 1, got {values.shape}")
  return values
