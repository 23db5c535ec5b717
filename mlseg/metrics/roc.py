"""ROC curves, the threshold with the best F1, and a permutation test of an AUC, on the host.

Labels are [N], 0 or 1, and scores [N], higher for class 1. The AUC and the sensitivity at a
specificity are in `classification_scores`, intervals and tests of two scores in `delong` and
`bootstrap`, and calibration curves in `calibration`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mlseg.metrics.classification_scores import check_scores, positives_above

_NUMBERS_AT_A_TIME = 2**22  # permuted labels in memory at once, 32 MiB


class RocCurve(NamedTuple):
  """The points of an ROC curve, from the highest threshold to the lowest, for T distinct scores."""

  false_positive_rate: np.ndarray  # [T + 1], from 0 to 1; nan where no case is negative
  true_positive_rate: np.ndarray  # [T + 1], from 0 to 1; nan where no case is positive
  thresholds: np.ndarray  # [T + 1]; the first is infinite: no case is predicted positive


def roc_curve(labels, scores) -> RocCurve:
  """Returns the points of the ROC curve: (fp / n, tp / m) at each threshold.

  A case is predicted positive where its score is at least the threshold; m cases are positive and n
  negative. `roc_auc` is the area under straight lines between the points. A line is oblique where
  positive and negative cases have the same score, and else horizontal or vertical.

  Source: Fawcett 2006, An introduction to ROC analysis, algorithm 1.

  Args:
    labels: [N], 0 or 1; N >= 1.
    scores: [N], finite; any increasing scale.

  Returns:
    The points for all distinct scores.

  Raises:
    ValueError: where N is 0, labels and scores are not both [N], a label is not 0 or 1, or a score
      is not finite.

  Example:
    >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    >>> curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    >>> curve.thresholds.tolist()
    [inf, 0.8, 0.4, 0.1]
  """
  labels, scores = _check_binary(labels, scores)
  counts = [np.append(0, found) for found in positives_above(labels == 1, scores)]
  true, false = (found / found[-1] if found[-1] else np.full(len(found), np.nan)
                 for found in counts)  # fmt: skip
  return RocCurve(false, true, np.append(np.inf, np.unique(scores)[::-1]))


def best_f1_threshold(labels, scores) -> float:
  """Returns the threshold that maximises the F1 of class 1: argmax_t 2 tp / (2 tp + fp + fn).

  A case is predicted positive where its score is at least the threshold. The thresholds are the
  scores; of several with the largest F1 it is the highest, with the fewest positive predictions.
  Choose it on validation cases: the F1 of the cases on which it is chosen is too good.

  Source: Lipton, Elkan & Naryanaswamy 2014, Optimal thresholding of classifiers to maximize F1.

  Args:
    labels: [N], 0 or 1; N >= 1.
    scores: [N], finite; any increasing scale.

  Returns:
    One of the scores; nan where no case is positive.

  Raises:
    ValueError: as `roc_curve`.

  Example:
    >>> best_f1_threshold([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
    0.3
  """
  labels, scores = _check_binary(labels, scores)
  if not labels.any():
    return float("nan")
  tp, fp = positives_above(labels == 1, scores)
  f1 = 2 * tp / (tp + fp + labels.sum())  # equal fractions are equal floats, so that ties are ties
  return float(np.unique(scores)[::-1][f1.argmax()])


def auc_permutation_test(
  labels, scores, *, num_permutations: int = 9999, seed: int = 0, groups: Any = None
) -> float:
  """Tests an AUC against chance: p = (1 + #{A_i >= A}) / (1 + I), over I permutations of labels.

  A is the AUC, and A_i the AUC with randomly permuted labels. The test is one-sided: an AUC far
  below one half has p near 1. The scores stay as they are; no model is trained again.

  Cases of one patient resemble each other, so permuting their labels one by one would give a p that
  is too small. With `groups`, labels are permuted between patients. If no patient has labels of
  both classes, they are permuted among all patients; else among patients with equally many cases,
  so that the mixtures of labels stay.

  Sources: Phipson & Smyth 2010, Permutation p-values should never be zero; with groups, of blocks:
  Winkler et al. 2015, Multi-level block permutation.

  Args:
    labels: [N], 0 or 1; N >= 1.
    scores: [N], finite; any increasing scale.
    num_permutations: I, at least 1.
    seed: of the permutations; equal seeds give equal p.
    groups: [N], the patient of each case, of any sortable type; None: cases are independent.

  Returns:
    p in [1 / (1 + I), 1]; nan where the labels are all of one class.

  Raises:
    ValueError: as `roc_curve`, where groups differ in N, or num_permutations < 1.

  Example:
    >>> labels, scores = [0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8]
    >>> round(auc_permutation_test(labels, scores), 2)  # 1 / 70 of the orders have this AUC
    0.01
    >>> patients = ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> round(auc_permutation_test(labels, scores, groups=patients), 2)  # 1 / 6
    0.17
  """
  labels, scores = _check_binary(labels, scores)
  groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
  if groups.shape != labels.shape:
    raise ValueError(f"groups: must be [N] with N = {len(labels)} as labels, got {groups.shape}")
  if num_permutations < 1:
    raise ValueError(f"num_permutations: must be at least 1, got {num_permutations}")
  if labels.min() == labels.max():
    return float("nan")
  _, patients = np.unique(groups, return_inverse=True)
  order = np.argsort(patients, kind="stable")  # the cases of a patient become neighbours
  labels, ranks = labels[order], stats.rankdata(scores)[order]
  area, num_as_good = _areas(labels[None], ranks), 0
  for permuted in _permuted(labels, np.bincount(patients), num_permutations, seed):
    num_as_good += int((_areas(permuted, ranks) >= area).sum())
  return (1 + num_as_good) / (1 + num_permutations)


def _permuted(labels, sizes, num_permutations: int, seed: int) -> Iterator[np.ndarray]:
  """Yields blocks [B, N] of labels that are permuted between patients.

  Args:
    labels: [N], those of each patient side by side.
    sizes: [P], the number of cases of each patient.
    num_permutations: the sum of all B.
    seed: of the permutations.
  """
  rng, starts = np.random.default_rng(seed), np.cumsum(sizes) - sizes
  patients = np.repeat(np.arange(len(sizes)), sizes)
  is_mixed = (labels != labels[starts][patients]).any()
  index = np.arange(len(labels)) - starts[patients] if is_mixed else 0  # within the patient
  kinds = sizes if is_mixed else np.zeros_like(sizes)
  step = max(1, _NUMBERS_AT_A_TIME // len(labels))
  for start in range(0, num_permutations, step):
    count = min(step, num_permutations - start)
    source = np.empty([count, len(sizes)], np.int64)  # the patient whose labels each one gets
    for kind in np.unique(kinds):
      alike = np.flatnonzero(kinds == kind)
      source[:, alike] = rng.permuted(np.tile(alike, [count, 1]), axis=1)
    yield labels[starts[source][:, patients] + index]


def _areas(labels: np.ndarray, ranks: np.ndarray) -> np.ndarray:
  """Returns the AUCs [B] of labels [B, N]; equal ones are equal floats, for ranks are halves."""
  num_positive = labels.sum(axis=1)
  above = labels @ ranks - num_positive * (num_positive + 1) / 2
  return above / (num_positive * (labels.shape[1] - num_positive))


def _check_binary(labels, scores) -> tuple[np.ndarray, np.ndarray]:
  labels, scores = check_scores(labels, scores)
  if scores.ndim != 1:
    raise ValueError(f"scores: must be [N], got {scores.shape}")
  return labels, scores
