"""Calibration curves: how often cases with a predicted probability p are positive.

`expected_calibration_error` in `classification_probabilities` summarises the same in one number.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from mlseg.metrics.bootstrap import check_level
from mlseg.metrics.classification_probabilities import check_probabilities


class CalibrationCurve(NamedTuple):
  """Predicted and observed shares of the positive class, in B bins of probability."""

  edges: np.ndarray  # [B + 1], of the bins, from 0 to 1
  counts: np.ndarray  # [B] int64, cases
  predicted: np.ndarray  # [B], mean probability; nan where there is no case
  observed: np.ndarray  # [B], share of the positive cases; nan where there is no case
  low: np.ndarray  # [B], of Wilson's interval of the observed share
  high: np.ndarray  # [B]


def wilson_interval(successes, totals, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
  """Returns Wilson's interval of a share k / n.

  Its ends are (k + z² / 2 ± z sqrt(k (n - k) / n + z² / 4)) / (n + z²). It contains the shares from
  which k / n is at most z standard errors away. It holds for few cases too, and is within [0, 1].

  Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.

  Args:
    successes: [...], k, in 0 ... n.
    totals: [...], n, not negative.
    level: the confidence, in (0, 1).

  Returns:
    The lower and the upper ends [...], float64; 0 and 1 where n is 0.

  Raises:
    ValueError: where k is not in 0 ... n, or level is not in (0, 1).

  Example:
    >>> low, high = wilson_interval([0, 5, 10], 10)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.237, 0.722], [0.278, 0.763, 1.0])
  """
  check_level(level)
  k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(totals, np.float64))
  if not ((k >= 0) & (k <= n)).all():
    raise ValueError(f"successes: must be in 0 ... totals, got {successes} of {totals}")
  z = float(special.ndtri((1 + level) / 2))
  middle, half = k + z**2 / 2, z * np.sqrt(k * (n - k) / np.maximum(n, 1) + z**2 / 4)
  low, high = (middle - half) / (n + z**2), (middle + half) / (n + z**2)
  return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)  # without rounding errors


def calibration_curve(
  labels, probabilities, *, num_bins: int = 10, level: float = 0.95
) -> CalibrationCurve:
  """Returns the share of positive cases in each bin of predicted probability.

  Bins are (a, b], with edges at multiples of 1 / num_bins; the first also contains 0. For a
  calibrated model, the observed share of a bin is the mean probability in it, up to chance. The
  intervals are those of `wilson_interval`, which assume that cases are independent, and that all
  cases of a bin have the same probability.

  Source: Murphy & Winkler 1977, Reliability of subjective probability forecasts.

  Args:
    labels: [N], 0 or 1; N >= 1.
    probabilities: [N], of class 1.
    num_bins: B, at least 1.
    level: the confidence of the intervals, in (0, 1).

  Returns:
    The bins, including empty ones.

  Raises:
    ValueError: where N is 0, labels and probabilities are not both [N], a label is not 0 or 1, a
      probability is not in [0, 1], num_bins < 1, or level is not in (0, 1).

  Example:
    >>> curve = calibration_curve([0, 0, 1, 1], [0.1, 0.3, 0.4, 0.9], num_bins=2)
    >>> curve.counts.tolist(), curve.observed.round(2).tolist()
    ([3, 1], [0.33, 1.0])
    >>> curve.predicted.round(2).tolist(), curve.low.round(2).tolist()
    ([0.27, 0.9], [0.06, 0.21])
  """
  if num_bins < 1:
    raise ValueError(f"num_bins: must be at least 1, got {num_bins}")
  labels, probabilities = check_probabilities(labels, probabilities)
  if probabilities.ndim != 1:
    raise ValueError(f"probabilities: must be [N], got {probabilities.shape}")
  edges = np.arange(num_bins + 1) / num_bins
  bins = np.searchsorted(edges[1:-1], probabilities, side="left")
  counts = np.bincount(bins, minlength=num_bins)
  positive = np.bincount(bins, weights=labels, minlength=num_bins)
  totals = np.bincount(bins, weights=probabilities, minlength=num_bins)
  low, high = wilson_interval(positive, counts, level=level)
  with np.errstate(invalid="ignore"):  # 0 / 0 where a bin is empty, as documented
    predicted, observed = totals / counts, positive / counts
  return CalibrationCurve(edges, counts, predicted, observed, low, high)
