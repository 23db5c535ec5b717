"""How far the confidence of pixels can be trusted."""

from typing import NamedTuple

import numpy as np
from scipy import stats


class Reliability(NamedTuple):
  """Pixels in B bins of confidence, the probability of their most probable class."""

  counts: np.ndarray  # [B] int64
  confidence: np.ndarray  # [B], mean; nan where there is no pixel
  accuracy: np.ndarray  # [B], share of the pixels that are right; nan where there is none

  @property
  def error(self) -> float:
    """The expected calibration error, sum_b n_b / n |accuracy_b - confidence_b|."""
    gaps = np.abs(np.nan_to_num(self.accuracy - self.confidence))
    return float((self.counts * gaps).sum() / self.counts.sum())


def reliability(probabilities, labels, *, num_bins: int = 15) -> Reliability:
  """Returns how often pixels are right, by their confidence.

  Bins are (a, b], with edges at multiples of 1 / num_bins.

  Source: Guo et al. 2017, On calibration of modern neural networks, eqs. 1 to 3.

  Args:
    probabilities: [n, C] of the classes of n >= 1 pixels.
    labels: [n] integers, the true classes.
    num_bins: B, at least 1.

  Raises:
    ValueError: where n is 0, shapes do not fit, or num_bins < 1.

  Example:
    >>> found = reliability([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 0, 0], num_bins=2)
    >>> found.counts.tolist(), round(found.error, 4)
    ([0, 3], 0.1)
  """
  probabilities, labels = np.asarray(probabilities), np.asarray(labels)
  if num_bins < 1:
    raise ValueError(f"num_bins: must be at least 1, got {num_bins}")
  if probabilities.ndim != 2 or not len(labels) or probabilities.shape[:1] != labels.shape:
    raise ValueError(
      f"probabilities and labels: must be [n, C] and [n], n >= 1, got {probabilities.shape} and"
      f" {labels.shape}"
    )
  confidence = probabilities.max(-1).astype(np.float64)
  right = probabilities.argmax(-1) == labels
  bins = np.searchsorted(np.arange(1, num_bins) / num_bins, confidence, side="left")
  counts = np.bincount(bins, minlength=num_bins)
  with np.errstate(invalid="ignore"):  # 0 / 0 where a bin is empty, as documented
    return Reliability(
      counts,
      np.bincount(bins, weights=confidence, minlength=num_bins) / counts,
      np.bincount(bins, weights=right, minlength=num_bins) / counts,
    )


def error_detection_auc(probabilities, labels) -> float:
  """Returns how well low confidence tells wrong pixels from right ones.

  It is the probability that a wrong pixel has a lower confidence than a right one (half of it where
  both are equal): the area under the ROC curve of 1 - confidence for "wrong". 0.5 is chance.

  Source: Hendrycks & Gimpel 2017, A baseline for detecting misclassified examples.

  Args:
    probabilities: [n, C] of the classes of n pixels.
    labels: [n] integers, the true classes.

  Returns:
    A float in [0, 1]; nan where all pixels are right, or all are wrong.

  Example:
    >>> error_detection_auc([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [0, 0, 1])
    1.0
  """
  probabilities, labels = np.asarray(probabilities), np.asarray(labels)
  wrong = probabilities.argmax(-1) != labels
  num_wrong, num_right = int(wrong.sum()), int((~wrong).sum())
  if not num_wrong or not num_right:
    return float("nan")
  ranks = stats.rankdata(-probabilities.max(-1))
  above = ranks[wrong].sum() - num_wrong * (num_wrong + 1) / 2
  return float(above / (num_wrong * num_right))
