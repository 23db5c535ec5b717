"""Bootstrap confidence intervals on the host, by case or by patient."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special

_NUMBERS_AT_A_TIME = 2**22  # resampled cases in memory at once, 32 MiB
METHODS = ("basic", "bca", "percentile")


class Interval(NamedTuple):
  """An estimate and its confidence interval."""

  estimate: float
  low: float
  high: float
  num_dropped: int = 0  # resamples on which the statistic was nan


def bootstrap_interval(
  data: Any,
  statistic: Callable[..., Any] = np.mean,
  *,
  groups: Any = None,
  resample_within: bool = True,
  level: float = 0.95,
  num_resamples: int = 9999,
  method: Literal["percentile", "bca", "basic"] = "percentile",
  seed: int = 0,
) -> Interval:
  """Returns the bootstrap interval of a statistic, by resampling cases or patients.

  Let q_p be the p-quantile of the statistic over resamples, t its value on the data and
  alpha = 1 - level. The ends of the interval are:

  - 'percentile': q_(alpha / 2) and q_(1 - alpha / 2);
  - 'basic': 2 t - q_(1 - alpha / 2) and 2 t - q_(alpha / 2);
  - 'bca': quantiles corrected for bias and skewness, the latter from the jackknife.

  Cases can be resampled one by one only where they are independent, as with one image per patient.
  Where a patient has several cases (slices, lesions, visits), they resemble each other, and an
  interval over cases is too narrow by the factor sqrt(1 + (m - 1) r), for m cases per patient with
  correlation r. For such data, `groups` names the patient of each case. Then patients are drawn
  with replacement, and from each drawn patient as many of its cases as it has, with replacement.
  The second stage counts the variance within patients twice, so the interval is too wide where r is
  small. With resample_within=False each drawn patient contributes its cases as they are, which
  gives the right variance of a mean for any r (Davison & Hinkley 1997, section 3.8).

  Source: Efron & Tibshirani 1993, An introduction to the bootstrap, chapters 13 and 14.

  Args:
    data: an array [N, ...], or a tuple of arrays that are resampled together; N >= 1 cases.
    statistic: a function of the array, or of the arrays as positional arguments, that returns a
      number.
    groups: [N], the patient of each case, of any sortable type; None: cases are independent.
    resample_within: whether the cases of a drawn patient are resampled too.
    level: the confidence, in (0, 1).
    num_resamples: at least 1.
    method: 'percentile', 'bca' or 'basic'. The jackknife of 'bca' leaves out one case at a time,
      or one patient where groups are given; values that are not finite do not count.
    seed: of the resampling; equal seeds give equal intervals.

  Returns:
    The statistic on the data, the ends of the interval, and the number of resamples that were
    dropped because the statistic was nan on them, such as an AUC where all drawn cases are of one
    class. The ends are nan where the statistic on the data is nan, where every resample was
    dropped, and for 'bca' where all resamples lie on one side of the estimate.

  Raises:
    ValueError: where N is 0, arrays or groups differ in N, level is not in (0, 1), num_resamples
      < 1 or method is unknown.

  Example:
    >>> dice = np.array([0.9, 0.8, 0.85, 0.3, 0.4, 0.35])
    >>> [round(end, 2) for end in bootstrap_interval(dice)]
    [0.6, 0.41, 0.79, 0]
    >>> patients = ["a", "a", "a", "b", "b", "b"]
    >>> [round(end, 2) for end in bootstrap_interval(dice, groups=patients)]
    [0.6, 0.33, 0.87, 0]
  """
  arrays = _check_data(data)
  _check_options(level, num_resamples, method)
  rng, num_cases = np.random.default_rng(seed), len(arrays[0])
  cases_of = None if groups is None else _cases_by_patient(groups, num_cases)
  estimate = float(statistic(*arrays))
  if cases_of is not None:
    samples = _patients_drawn(cases_of, num_resamples, resample_within, rng)
    values = _values(arrays, statistic, samples, num_resamples)
  elif statistic is np.mean and len(arrays) == 1 and arrays[0].ndim == 1:
    blocks = _cases_drawn(num_cases, num_resamples, rng)
    values = np.concatenate([arrays[0][block].mean(axis=1) for block in blocks])
  else:
    rows = (row for block in _cases_drawn(num_cases, num_resamples, rng) for row in block)
    values = _values(arrays, statistic, rows, num_resamples)
  # A nan among the data makes the estimate nan, but not every resample.
  counted = values[~np.isnan(values)]
  num_dropped = num_resamples - len(counted)
  if np.isnan(estimate) or not len(counted):
    return Interval(estimate, float("nan"), float("nan"), num_dropped)
  levels = np.array([(1 - level) / 2, (1 + level) / 2])
  if method == "bca":
    left_out = _jackknife(arrays, statistic, cases_of)
    levels = _corrected_levels(levels, estimate, counted, left_out)
  low, high = (_quantile(counted, level) for level in levels)
  if method == "basic":
    low, high = 2 * estimate - high, 2 * estimate - low
  return Interval(estimate, low, high, num_dropped)


def _cases_drawn(num_cases: int, num_resamples: int, rng: np.random.Generator) -> Iterator:
  """Yields blocks [R, N] of drawn cases, as large as memory allows; R does not change the draws."""
  size = max(1, _NUMBERS_AT_A_TIME // num_cases)
  for start in range(0, num_resamples, size):
    yield rng.integers(0, num_cases, [min(size, num_resamples - start), num_cases])


def _cases_by_patient(groups, num_cases: int) -> list[np.ndarray]:
  """Returns the cases of each patient."""
  groups = np.asarray(groups)
  if groups.shape != (num_cases,):
    raise ValueError(f"groups: must be [N] with N = {num_cases} as data, got {groups.shape}")
  _, patients = np.unique(groups, return_inverse=True)
  ends = np.cumsum(np.bincount(patients))[:-1]
  return np.split(np.argsort(patients, kind="stable"), ends)


def _patients_drawn(cases_of, num_resamples, resample_within, rng) -> Iterator[np.ndarray]:
  """Yields the cases of each resample; their number varies where patients differ in size."""
  order, sizes = np.concatenate(cases_of), np.array([len(cases) for cases in cases_of])
  starts = np.cumsum(sizes) - sizes
  for _ in range(num_resamples):
    drawn = rng.integers(0, len(cases_of), len(cases_of))
    if len(order) == len(cases_of):  # a case per patient
      yield order[drawn]
    elif not resample_within:
      yield np.concatenate([cases_of[patient] for patient in drawn])
    else:
      patient_of_case = np.repeat(drawn, sizes[drawn])
      yield order[starts[patient_of_case] + rng.integers(0, sizes[patient_of_case])]


def _values(arrays, statistic, samples, num_samples: int) -> np.ndarray:
  values = (float(statistic(*(array[sample] for array in arrays))) for sample in samples)
  return np.fromiter(values, np.float64, num_samples)


def _jackknife(arrays, statistic, cases_of: list[np.ndarray] | None) -> np.ndarray:
  """Returns the finite values of the statistic without each case, or without each patient."""
  cases = np.arange(len(arrays[0]))
  dropped = [cases[[case]] for case in cases] if cases_of is None else cases_of
  if len(dropped) < 2:
    return np.zeros(0)
  values = _values(arrays, statistic, (np.delete(cases, out) for out in dropped), len(dropped))
  return values[np.isfinite(values)]


def _corrected_levels(levels, estimate: float, values: np.ndarray, left_out: np.ndarray):
  """Returns the levels of the quantiles under BCa: Efron & Tibshirani 1993, section 14.3."""
  below = ((values < estimate).mean() + (values <= estimate).mean()) / 2
  bias = special.ndtri(below)
  deviations = left_out.mean() - left_out if len(left_out) else left_out
  spread = (deviations**2).sum()
  acceleration = (deviations**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
  shifted = bias + special.ndtri(levels)
  with np.errstate(invalid="ignore"):  # an infinite bias makes the levels nan, as documented
    return special.ndtr(bias + shifted / (1 - acceleration * shifted))


def _quantile(values: np.ndarray, level: float) -> float:
  if np.isnan(level):
    return float("nan")
  with np.errstate(invalid="ignore"):  # between two infinite values
    return float(np.quantile(values, level))


def _check_data(data) -> tuple[np.ndarray, ...]:
  arrays = tuple(np.asarray(array) for array in (data if isinstance(data, tuple) else (data,)))
  shapes = [array.shape for array in arrays]
  if not arrays or any(not shape or shape[0] == 0 for shape in shapes):
    raise ValueError(f"data: must be [N, ...] with N >= 1, got {shapes}")
  if len({shape[0] for shape in shapes}) > 1:
    raise ValueError(f"data: must have the same number of cases in each array, got {shapes}")
  return arrays


def _check_options(level: float, num_resamples: int, method: str) -> None:
  check_level(level)
  if num_resamples < 1:
    raise ValueError(f"num_resamples: must be at least 1, got {num_resamples}")
  if method not in METHODS:
    raise ValueError(f"method: choose from {', '.join(METHODS)}; got {method!r}")


def check_level(level: float) -> None:
  """Raises ValueError where a confidence level is not in (0, 1)."""
  if not 0 < level < 1:
    raise ValueError(f"level: must be in (0, 1), got {level}")
