"""Metrics of scores of whole cases, on the host: how well scores rank a class above the rest.

Labels are [N] integer classes. Scores are [N], of class 1 in a task of two classes, or [N, C], of
each class. With [N, C], each class is compared with the rest; so with [N, 2], class 0 counts as
much as class 1.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from mlseg.metrics.classification import (
  Average,
  Averaged,
  average_classes,
  check_average,
  check_classes,
)


def roc_auc(labels, scores, *, average: Average = "macro") -> Averaged:
  """Returns the area under the ROC curve: P(s+ > s-) + P(s+ = s-) / 2, from ranks.

  Here s+ is the score of a case of the class, and s- that of a case of the rest. The choices of
  `average`:

  - 'macro': the mean over the classes for which it is defined;
  - 'weighted': the same, weighted by the number of cases of each class;
  - 'micro': the area over all N C pairs of a case and a class, pooled;
  - 'none': the values of all classes.

  Source: Hanley & McNeil 1982, The meaning and use of the area under a ROC curve.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    scores: [N] or [N, C], finite; any increasing scale.
    average: one of those above; has no effect on [N].

  Returns:
    A float in [0, 1], or [C] where average is 'none'. The value of a class that no case or every
    case has is nan; averages leave it out, and are nan where no class is left.

  Raises:
    ValueError: where N is 0, shapes do not fit, a score is not finite, a label is not in
      0 ... C - 1 (0 or 1 for scores [N]), or average is unknown.

  Example:
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    >>> roc_auc([1, 1], [0.2, 0.3])
    nan
  """
  return _one_vs_rest(_auc, labels, scores, average)


def average_precision(labels, scores, *, average: Average = "macro") -> Averaged:
  """Returns the average precision: sum_k (R_k - R_k-1) P_k over falling thresholds, as steps.

  P_k and R_k are precision and recall if the cases that score at least the k-th largest of the
  distinct scores are predicted positive. There is no interpolation.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    scores: [N] or [N, C], finite; any increasing scale.
    average: over classes, as for `roc_auc`.

  Returns:
    A float in [0, 1], or [C] where average is 'none'. For equal scores it is the share of cases of
    the class. The value of a class that no case has is nan (scikit-learn: 0); averages leave it
    out, and are nan where no class is left. The value of a class that every case has is 1.

  Raises:
    ValueError: as `roc_auc`.

  Example:
    >>> f"{average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]):.4f}"
    '0.8333'
  """
  return _one_vs_rest(_step_area, labels, scores, average)


def sensitivity_at_specificity(
  labels, scores, specificity: float = 0.9, *, average: Average = "macro"
) -> Averaged:
  """Returns the largest sensitivity of a threshold with at least the given specificity.

  A case is predicted positive where its score is at least the threshold. The thresholds are the
  scores, and one above all of them, with sensitivity 0 and specificity 1. There is no
  interpolation.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    scores: [N] or [N, C], finite; any increasing scale.
    specificity: in [0, 1].
    average: over classes, as for `roc_auc`.

  Returns:
    A float in [0, 1], or [C] where average is 'none'. The value of a class that no case or every
    case has is nan; averages leave it out, and are nan where no class is left.

  Raises:
    ValueError: as `roc_auc`, or where specificity is not in [0, 1].

  Example:
    >>> sensitivity_at_specificity([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9], 0.9)
    0.5
    >>> sensitivity_at_specificity([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9], 0.6)
    1.0
  """
  if not 0 <= specificity <= 1:
    raise ValueError(f"specificity: must be in [0, 1], got {specificity}")
  return _one_vs_rest(
    lambda positive, values: _best_sensitivity(positive, values, specificity),
    labels,
    scores,
    average,
  )


def _one_vs_rest(metric: Callable, labels, scores, average: Average) -> Averaged:
  """Applies metric(positive [M] bool, scores [M]) to each class, or to all pairs pooled."""
  check_average(average)
  labels, scores = check_scores(labels, scores)
  if scores.ndim == 1:
    return metric(labels == 1, scores)
  true = labels[:, None] == np.arange(scores.shape[1])
  if average == "micro":
    return metric(true.ravel(), scores.ravel())
  values = np.array([metric(*columns) for columns in zip(true.T, scores.T, strict=True)])
  return average_classes(values, average, ~np.isnan(values), true.sum(axis=0))


def _auc(positive: np.ndarray, scores: np.ndarray) -> float:
  num_positive = int(positive.sum())
  num_pairs = num_positive * (len(positive) - num_positive)
  if num_pairs == 0:
    return float("nan")
  ranks = stats.rankdata(scores)  # ties have their mean rank, which counts each as half
  return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / num_pairs)


def positives_above(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Counts the true and the false positives at each threshold, the highest first.

  Args:
    positive: [N] bool.
    scores: [N]; the T distinct ones are the thresholds; a case counts from its score on.

  Returns:
    Two arrays [T], int64, cases.

  Example:
    >>> tp, fp = positives_above(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    >>> tp.tolist(), fp.tolist()
    ([1, 2], [0, 1])
  """
  order = np.argsort(-scores, kind="stable")
  falling = scores[order]
  last = np.append(falling[1:] != falling[:-1], True)  # of the cases that share a score
  tp = np.cumsum(positive[order])[last]
  return tp, np.flatnonzero(last) + 1 - tp


def _step_area(positive: np.ndarray, scores: np.ndarray) -> float:
  if not positive.any():
    return float("nan")
  tp, fp = positives_above(positive, scores)
  return float((np.diff(tp, prepend=0) * tp / (tp + fp)).sum() / tp[-1])


def _best_sensitivity(positive: np.ndarray, scores: np.ndarray, specificity: float) -> float:
  num_positive = int(positive.sum())
  num_negative = len(positive) - num_positive
  if num_positive == 0 or num_negative == 0:
    return float("nan")
  tp, fp = positives_above(positive, scores)
  allowed = (num_negative - fp) / num_negative >= specificity  # 9 / 10 is 0.9; 1 - 0.1 may not be
  return float(tp[allowed].max(initial=0) / num_positive)


def check_scores(labels, scores, name: str = "scores") -> tuple[np.ndarray, np.ndarray]:
  """Returns labels [N] as int64 and scores [N] or [N, C] as float64.

  Raises:
    ValueError: where the shapes do not fit, N is 0, C < 2, a score is not finite or a label is
      not in 0 ... C - 1 (0 or 1 for scores [N]).
  """
  scores = np.asarray(scores)
  if scores.ndim not in (1, 2) or (scores.ndim == 2 and scores.shape[1] < 2):
    raise ValueError(f"{name}: must be [N] or [N, C] with C >= 2, got {scores.shape}")
  labels = check_classes("labels", labels, 2 if scores.ndim == 1 else scores.shape[1])
  if len(labels) != len(scores):
    raise ValueError(
      f"{name}: must have as many cases as labels ({len(labels)}), got {len(scores)}"
    )
  scores = scores.astype(np.float64)
  if not np.isfinite(scores).all():
    raise ValueError(f"{name}: must be finite, got {scores[~np.isfinite(scores)][0]}")
  return labels, scores
