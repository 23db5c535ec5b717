"""Metrics of probabilities of whole cases, on the host: calibration, and a summary of all metrics.

Labels are [N] integer classes. Probabilities are [N], of class 1 in a task of two classes, or
[N, C], of each class; then they sum to 1 over classes.
"""

from typing import Literal

import numpy as np

from mlseg.metrics.classification import (
  balanced_accuracy,
  classification_accuracy,
  classification_f1,
  classification_precision,
  classification_recall,
)
from mlseg.metrics.classification_scores import (
  average_precision,
  check_scores,
  roc_auc,
  sensitivity_at_specificity,
)

_SUM_TOLERANCE = 1e-2  # of probabilities over classes; those rounded to bfloat16 are off by 2e-3


def expected_calibration_error(
  labels,
  probabilities,
  *,
  num_bins: int = 15,
  bins: Literal["equal_width", "equal_mass"] = "equal_width",
) -> float:
  """Returns the mean gap of confidence and accuracy: sum_b n_b / N |accuracy_b - confidence_b|.

  The confidence of a case is the probability of its most probable class (the first one, of equal
  ones), and the case is right if that class is the true one. Bins are (a, b]. With 'equal_width'
  their edges are at multiples of 1 / num_bins. With 'equal_mass' they are at the confidences of
  rank ceil(k N / num_bins), so that equal confidences are in one bin and the order of cases does
  not matter.

  Source: Guo et al. 2017, eq. 3; for 'equal_mass': Nixon et al. 2019, Measuring calibration in
  deep learning.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    probabilities: [N], of class 1 (read as the two columns 1 - p, p), or [N, C].
    num_bins: at least 1.
    bins: 'equal_width' or 'equal_mass'.

  Returns:
    A float in [0, 1]; empty bins do not count.

  Raises:
    ValueError: where N is 0, shapes do not fit, a probability is not finite or not in [0, 1], or
      those of a case do not sum to 1; a label is not in 0 ... C - 1; num_bins or bins are wrong.

  Example:
    >>> f"{expected_calibration_error([1, 1, 0, 0], [0.9, 0.7, 0.7, 0.1]):.2f}"
    '0.15'
  """
  if num_bins < 1:
    raise ValueError(f"num_bins: must be at least 1, got {num_bins}")
  if bins not in ("equal_mass", "equal_width"):
    raise ValueError(f"bins: choose from equal_mass, equal_width; got {bins!r}")
  labels, probabilities = check_probabilities(labels, probabilities)
  if probabilities.ndim == 1:
    probabilities = np.stack([1 - probabilities, probabilities], axis=1)
  confidence = probabilities.max(axis=1)
  steps = np.arange(1, num_bins)
  if bins == "equal_width":
    edges = steps / num_bins
  else:
    ranks = -(-steps * len(labels) // num_bins)  # rounded up
    edges = np.sort(confidence)[ranks - 1]
  bin_of_case = np.searchsorted(edges, confidence, side="left")
  excess = (probabilities.argmax(axis=1) == labels) - confidence
  return float(np.abs(np.bincount(bin_of_case, weights=excess)).sum() / len(labels))


def brier(labels, probabilities) -> float:
  """Returns the Brier score, the mean squared error of probabilities; less is better.

  For two classes, given as [N] or [N, 2], it is the mean of (p - y)^2 with p the probability of
  class 1, in [0, 1]. For more classes, [N, C], it is the mean of sum_c (p_c - y_c)^2, in [0, 2].
  For two columns that sum would be twice as large; dividing it by 2 is the convention of
  scikit-learn (scale_by_half='auto').

  Source: Brier 1950, Verification of forecasts expressed in terms of probability.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    probabilities: [N], of class 1, or [N, C].

  Returns:
    A float in [0, 1] for two classes, in [0, 2] for more.

  Raises:
    ValueError: as `expected_calibration_error`.

  Example:
    >>> f"{brier([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]):.4f}"
    '0.0375'
  """
  labels, probabilities = check_probabilities(labels, probabilities)
  if probabilities.ndim == 1:
    return float(((probabilities - labels) ** 2).mean())
  num_classes = probabilities.shape[1]
  true = labels[:, None] == np.arange(num_classes)
  return float(((probabilities - true) ** 2).sum(axis=1).mean() / (2 if num_classes == 2 else 1))


def summarize_classification(labels, probabilities) -> dict[str, float]:
  """Returns all metrics of classes, scores and probabilities, by the names of their functions.

  With probabilities [N], precision, recall, F1, AUC, average precision and the sensitivity at
  specificity 0.9 are those of class 1. With [N, C] they are macro averages, and the last three
  also have a micro average, `m_pooled`; the micro averages of the first three would be the
  accuracy. The predicted class is the most probable one, and the first one of equal ones.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    probabilities: [N], of class 1, or [N, C].

  Returns:
    A dict from name to value; nan where a metric is undefined, as documented there.

  Raises:
    ValueError: as `expected_calibration_error`.

  Example:
    >>> table = summarize_classification([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> table["classification_accuracy"], table["roc_auc"]
    (0.75, 0.75)
  """
  labels, probabilities = check_probabilities(labels, probabilities)
  binary = probabilities.ndim == 1
  predictions = probabilities > 0.5 if binary else probabilities.argmax(axis=1)
  table = {
    "classification_accuracy": classification_accuracy(labels, predictions),
    "balanced_accuracy": balanced_accuracy(labels, predictions),
    "expected_calibration_error": expected_calibration_error(labels, probabilities),
    "brier": brier(labels, probabilities),
  }
  for of_classes in (classification_precision, classification_recall, classification_f1):
    table[of_classes.__name__] = (
      float(of_classes(labels, predictions, average="none", num_classes=2)[1])
      if binary
      else of_classes(labels, predictions)
    )
  for of_scores in (roc_auc, average_precision, sensitivity_at_specificity):
    table[of_scores.__name__] = of_scores(labels, probabilities)
    if not binary:
      table[f"{of_scores.__name__}_pooled"] = of_scores(labels, probabilities, average="micro")
  return table


def check_probabilities(labels, probabilities) -> tuple[np.ndarray, np.ndarray]:
  """Returns labels [N] as int64 and probabilities [N] or [N, C] as float64.

  Raises:
    ValueError: as `expected_calibration_error`.
  """
  labels, probabilities = check_scores(labels, probabilities, "probabilities")
  wrong = (probabilities < 0) | (probabilities > 1 + 1e-6)  # a softmax in float32 may exceed 1
  if wrong.any():
    raise ValueError(f"probabilities: must be in [0, 1], got {probabilities[wrong][0]}")
  if probabilities.ndim == 2:
    totals = probabilities.sum(axis=1)
    worst = totals[np.abs(totals - 1).argmax()]
    if abs(worst - 1) > _SUM_TOLERANCE:
      raise ValueError(f"probabilities: must sum to 1 over classes, got {worst}")
  return labels, probabilities
