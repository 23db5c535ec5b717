"""The variance of an AUC, and the difference of two on the same cases, by DeLong's method.

Let V10 [m] be the share of the n negative cases that score below each positive one (a tie counts
half), and V01 [n] the share of the m positive cases that score above each negative one. The AUC is
the mean of either, and its variance is S10 / m + S01 / n, with S10 and S01 their sample variances.

Sources: DeLong, DeLong & Clarke-Pearson 1988; from mid-ranks: Sun & Xu 2014, theorem 1.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from mlseg.metrics.bootstrap import Interval, check_level
from mlseg.metrics.classification_scores import check_scores


class AucComparison(NamedTuple):
  """Two AUCs on the same cases, and the test of their difference."""

  auc_a: float
  auc_b: float
  difference: float  # auc_a - auc_b
  deviation: float  # the standard error of the difference
  z: float
  p: float  # two-sided


def delong_interval(labels, scores, *, level: float = 0.95, logit: bool = False) -> Interval:
  """Returns the AUC and its normal interval: A ± z sqrt(V), clipped to [0, 1].

  On the logit scale the interval is logit A ± z sqrt(V) / (A (1 - A)), transformed back. It is
  always within [0, 1], and closer to its level where A is near 1 or cases are few.

  It assumes independent cases. For several cases per patient use `bootstrap_interval` with groups.

  Args:
    labels: [N], 0 or 1; N >= 1.
    scores: [N], finite; any increasing scale.
    level: the confidence, in (0, 1).
    logit: whether the interval is taken on the logit scale.

  Returns:
    The AUC and the ends of its interval. With one class only, all are nan. With one case of a
    class, the ends are nan, since the variance is unknown. Where V = 0, the ends are the AUC
    itself; so under perfect separation the interval is [1, 1], which is too narrow.

  Raises:
    ValueError: where N is 0, labels and scores are not both [N], a label is not 0 or 1, a score is
      not finite, or level is not in (0, 1).

  Example:
    >>> interval = delong_interval([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.5, 0.7, 0.9])
    >>> [round(end, 3) for end in interval[:3]]
    [0.889, 0.581, 1.0]
  """
  check_level(level)
  placements = _placements(labels, scores)
  area, variance = _mean_and_variance(*placements)
  half = float(special.ndtri((1 + level) / 2)) * variance**0.5
  if logit and 0 < area < 1 and half > 0:
    middle, half = special.logit(area), half / (area * (1 - area))
    return Interval(area, float(special.expit(middle - half)), float(special.expit(middle + half)))
  low, high = np.clip([area - half, area + half], 0, 1).tolist()
  return Interval(area, low, high)


def delong_test(labels, scores_a, scores_b) -> AucComparison:
  """Tests whether two scores of the same cases have the same AUC: z = (A_a - A_b) / sqrt(V).

  V is the variance of the difference, which includes their covariance.

  Args:
    labels: [N], 0 or 1; N >= 1.
    scores_a: [N], finite.
    scores_b: [N], finite; may have another scale.

  Returns:
    The AUCs, their difference, its standard error, z and the two-sided p. With one class only, all
    are nan. With one case of a class, standard error, z and p are nan. Where V = 0, z = 0 and p = 1
    if the AUCs are equal; else z is infinite and p = 0, which should not be trusted.

  Raises:
    ValueError: where N is 0, labels and scores are not all [N], a label is not 0 or 1, or a score
      is not finite.

  Example:
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> a, b = [1, 2, 3, 5, 4, 6, 7, 8], [1, 6, 3, 8, 4, 2, 5, 7]
    >>> result = delong_test(labels, a, b)
    >>> f"{result.difference:.4f} {result.z:.3f} {result.p:.3f}"
    '0.4375 1.967 0.049'
  """
  of_a = _placements(labels, scores_a, "scores_a")
  of_b = _placements(labels, scores_b, "scores_b")
  difference, variance = _mean_and_variance(*(a - b for a, b in zip(of_a, of_b, strict=True)))
  deviation = variance**0.5
  if deviation > 0 or np.isnan(deviation):
    z = difference / deviation
  else:
    z = float(np.sign(difference) * np.inf) if difference else 0.0
  p = float(2 * special.ndtr(-abs(z)))
  areas = [_mean_and_variance(*placements)[0] for placements in (of_a, of_b)]
  return AucComparison(areas[0], areas[1], difference, deviation, z, p)


def _placements(labels, scores, name: str = "scores") -> tuple[np.ndarray, np.ndarray]:
  """Returns for each positive case the negatives below it, for each negative the positives above.

  These are n V10 [m] and m V01 [n]. As multiples of 1 / 2 they are exact, so that a variance of 0
  is computed as 0.
  """
  labels, scores = check_scores(labels, scores, name)
  if scores.ndim != 1:
    raise ValueError(f"{name}: must be [N], got {scores.shape}")
  positive, negative = scores[labels == 1], scores[labels == 0]
  ranks = stats.rankdata(np.concatenate([positive, negative]))
  above = ranks[: len(positive)] - stats.rankdata(positive)
  return above, len(positive) - (ranks[len(positive) :] - stats.rankdata(negative))


def _mean_and_variance(of_positive: np.ndarray, of_negative: np.ndarray) -> tuple[float, float]:
  """Returns AUC and variance from placements, or from differences those of a difference."""
  m, n = len(of_positive), len(of_negative)
  if m == 0 or n == 0:
    return float("nan"), float("nan")
  area = float(of_positive.sum() / (m * n))
  if m == 1 or n == 1:
    return area, float("nan")
  return area, float(of_positive.var(ddof=1) / n**2 / m + of_negative.var(ddof=1) / m**2 / n)
