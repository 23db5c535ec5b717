"""Tests and effect sizes of two runs on the same cases, on the host."""

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special, stats

from mlseg.metrics.bootstrap import check_level

_COUNTED = 13  # Up to so many cases, p is counted, where scipy draws all signs one by one.


class PairedTests(NamedTuple):
  """Two runs on the same cases; every sign is that of the first minus the second."""

  num_cases: int
  mean_difference: float
  low: float  # of the t interval of the mean difference
  high: float
  t: float
  p_t: float  # paired t-test, two-sided
  wilcoxon: float  # the smaller of the rank sums
  p_wilcoxon: float  # signed-rank test, two-sided
  cohens_dz: float  # mean over standard deviation of the differences
  hedges_g: float  # d_z without its bias on few cases
  rank_biserial: float  # in [-1, 1]


def paired_tests(
  a: Any, b: Any, *, level: float = 0.95, nan: Literal["refuse", "omit"] = "refuse"
) -> PairedTests:
  """Tests whether two runs differ on the same cases, and computes effect sizes.

  With differences d = a - b, their mean m and sample standard deviation s over N cases:

  - t = m sqrt(N) / s on N - 1 degrees of freedom; the interval is m ± t_level s / sqrt(N);
  - Wilcoxon's signed-rank test leaves out differences of 0 (zero_method 'wilcox') and gives equal
    |d| their mean rank. p is exact up to 50 cases without zeros or ties and up to 13 with them,
    otherwise normal with the correction for ties and none for continuity (scipy's 'auto');
  - d_z = m / s; Hedges' g = J d_z with J = Γ(f / 2) / (sqrt(f / 2) Γ((f - 1) / 2)), f = N - 1;
  - the matched-pairs rank-biserial correlation (W+ - W-) / (W+ + W-) of the rank sums.

  Cases must be independent: if a patient has several images, give their mean. If a run has several
  seeds, give the mean over seeds for each case.

  Sources: Wilcoxon 1945; Lakens 2013 (d_z); Hedges 1981; Kerby 2014 (rank-biserial).

  Args:
    a: [N], the metric of each case under the first run; N >= 2.
    b: [N], the same cases in the same order under the second run.
    level: the confidence of the interval, in (0, 1).
    nan: for a case whose value is not finite in a or b, 'refuse' raises and 'omit' leaves it out.

  Returns:
    The tests. If all differences are 0, both p are 1 and all effects 0. If all differences are
    equal and not 0, t and d_z are infinite and p_t is 0. With two cases g is nan, since J does not
    exist.

  Raises:
    ValueError: where a and b are not both [N], fewer than 2 cases are left, a value is not finite
      and nan is 'refuse', or level or nan has another value.

  Example:
    >>> result = paired_tests([0.9, 0.8, 0.7, 0.8], [0.8, 0.5, 0.6, 0.9])
    >>> f"{result.mean_difference:.2f} [{result.low:.2f}, {result.high:.2f}] p={result.p_t:.3f}"
    '0.10 [-0.16, 0.36] p=0.308'
  """
  check_level(level)
  d = _differences(a, b, nan)
  # The mean of equal numbers may differ from them by rounding, so their deviation is not computed.
  error = float(d.std(ddof=1)) / len(d) ** 0.5 if np.ptp(d) else 0.0
  mean, freedom = float(d.mean()), len(d) - 1
  t = _over(mean, error)
  half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
  dz = t / len(d) ** 0.5
  statistic, p_wilcoxon, rank_biserial = _signed_ranks(d)
  return PairedTests(
    num_cases=len(d),
    mean_difference=mean,
    low=mean - half,
    high=mean + half,
    t=t,
    p_t=float(2 * special.stdtr(freedom, -abs(t))),
    wilcoxon=statistic,
    p_wilcoxon=p_wilcoxon,
    cohens_dz=dz,
    hedges_g=dz * _bias_correction(freedom),
    rank_biserial=rank_biserial,
  )


def _differences(a, b, nan: str) -> np.ndarray:
  if nan not in ("omit", "refuse"):
    raise ValueError(f"nan: choose from omit, refuse; got {nan!r}")
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.ndim != 1 or a.shape != b.shape:
    raise ValueError(f"a and b: must both be [N], got {a.shape} and {b.shape}")
  finite = np.isfinite(a) & np.isfinite(b)
  if nan == "refuse" and not finite.all():
    case = int(np.flatnonzero(~finite)[0])
    raise ValueError(f"a and b: must be finite, got {a[case]} and {b[case]} in case {case}")
  if finite.sum() < 2:
    raise ValueError(f"a and b: must have at least 2 finite cases, got {finite.sum()}")
  return a[finite] - b[finite]


def _signed_ranks(d: np.ndarray) -> tuple[float, float, float]:
  """Returns Wilcoxon's statistic, its p and the rank-biserial correlation."""
  if not d.any():
    return 0.0, 1.0, 0.0
  ranks = stats.rankdata(np.abs(d[d != 0]))
  signs = np.sign(d[d != 0])
  positive, total = float(ranks[signs > 0].sum()), float(ranks.sum())
  if len(d) <= _COUNTED:
    p = _exact_p(ranks, positive)
  else:
    p = float(stats.wilcoxon(d, zero_method="wilcox", method="auto").pvalue)
  return min(positive, total - positive), p, (2 * positive - total) / total


def _exact_p(ranks: np.ndarray, positive: float) -> float:
  """Returns the two-sided p of a sum of positive ranks, from the sums under all 2^n signs."""
  sums = np.zeros(1)  # of multiples of 1/2, so that they are exact
  for rank in ranks:
    sums = np.concatenate([sums, sums + rank])
  return min(1.0, 2 * float(min((sums <= positive).mean(), (sums >= positive).mean())))


def _over(mean: float, error: float) -> float:
  """Returns mean / error; 0 where both are, infinite where only the error is."""
  if error == 0:
    return float(np.copysign(np.inf, mean)) if mean else 0.0
  return mean / error


def _bias_correction(freedom: int) -> float:
  """Returns J of `paired_tests`."""
  if freedom < 2:
    return float("nan")
  log_ratio = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
  return float(np.exp(log_ratio) / (freedom / 2) ** 0.5)
