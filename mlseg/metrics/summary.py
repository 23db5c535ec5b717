"""The numbers of a table from the counts of all cases, on the host."""

from collections.abc import Callable

import numpy as np

from mlseg.metrics.class_means import Absent, is_present, mean_over_classes
from mlseg.metrics.overlap import (
  accuracy,
  class_balanced_dice,
  dice,
  f1,
  false_negative_rate,
  false_positive_rate,
  iou,
  negative_predictive_value,
  precision,
  recall,
  specificity,
)

_PER_CLASS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  "dice": dice,
  "iou": iou,
  "precision": precision,
  "recall": recall,
  "specificity": specificity,
  "negative_predictive_value": negative_predictive_value,
  "false_positive_rate": false_positive_rate,
  "false_negative_rate": false_negative_rate,
  "f1": f1,
  "accuracy": accuracy,
}


def per_case(counts: np.ndarray) -> dict[str, np.ndarray]:
  """Returns all metrics of every case and class, for a table of cases.

  The class-balanced Dice is not among them, since it has no value per class.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn.

  Returns:
    A dict from the name of a metric to [N, C], in [0, 1].

  Example:
    >>> per_case(np.array([[[6, 1, 1, 2], [2, 1, 1, 6]]]))["iou"].tolist()
    [[0.75, 0.5]]
  """
  counts = np.asarray(counts)
  return {name: metric(counts) for name, metric in _PER_CLASS.items()}


def summarize(counts: np.ndarray, absent: Absent = "left_out") -> dict[str, float]:
  """Returns all metrics under each convention that is used in tables.

  For a metric `m`, with class 0 as the background:

  - `m`: mean over the foreground classes, then over cases;
  - `m_with_background`: mean over all classes, then over cases;
  - `m_pooled`: from counts summed over cases, mean over the foreground classes;
  - `m_with_background_pooled`: from counts summed over cases, mean over all classes.

  A mean over classes leaves out those that are neither true nor predicted in the case (or in all
  cases, where pooled). A case in which none is there counts as agreement: 1, and 0 for rates of
  errors. With one foreground class nothing is ever left out.

  `f1` is the harmonic mean of precision and recall after these are averaged over classes, as in
  Dynamic Memory Fusion; with one foreground class it equals the Dice. The class-balanced Dice is a
  mean over all classes, so there are only `class_balanced_dice` and `class_balanced_dice_pooled`.
  For empty masks see each metric.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn; N >= 1 cases, C >= 2 classes.
    absent: 'left_out', or 'one' for the convention that counts an absent class as 1, which rewards
      predicting nothing where there are several classes.

  Returns:
    A dict from name to value, in [0, 1].

  Raises:
    ValueError: where counts has another shape or no case, or absent is unknown.

  Example:
    >>> table = summarize(np.array([[[6, 1, 1, 2], [2, 1, 1, 6]], [[9, 0, 0, 1], [1, 0, 0, 9]]]))
    >>> [round(table[name], 3) for name in ("dice", "dice_with_background", "dice_pooled")]
    [0.833, 0.881, 0.75]
  """
  counts = _checked(counts)
  table = {}
  for pooling, cases in (("", counts), ("_pooled", counts.sum(axis=0, keepdims=True))):
    for classes, first in (("", 1), ("_with_background", 0)):
      for name, values in _mean_over_classes(cases[:, first:], absent).items():
        table[name + classes + pooling] = float(values.mean())
    balanced = class_balanced_dice(cases, absent=absent)
    table["class_balanced_dice" + pooling] = float(balanced.mean())
  return table


def summarize_classes(counts: np.ndarray) -> dict[str, np.ndarray]:
  """Returns all metrics of each class, for a table with a row per class.

  - `num_true` and `num_predicted`: the cases in which the class is in the truth, or in the
    prediction;
  - `m`: the mean of a metric over the cases in which the class is true or predicted;
  - `m_pooled`: from counts summed over cases.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn; N >= 1 cases, C >= 2 classes.

  Returns:
    A dict from name to [C]; metrics are NaN for a class that is in no case, true or predicted.

  Raises:
    ValueError: where counts has another shape or no case.

  Example:
    >>> first, second = [[5, 0, 4, 1], [1, 4, 0, 5]], [[9, 0, 0, 1], [1, 0, 0, 9]]
    >>> nowhere = [0, 0, 0, 10]
    >>> table = summarize_classes(np.array([[*first, nowhere], [*second, nowhere]]))
    >>> table["num_true"].tolist(), table["dice"].round(3).tolist()
    ([2, 2, 0], [0.857, 0.667, nan])
  """
  counts = _checked(counts)
  present, total = is_present(counts), counts.sum(axis=0)
  number = present.sum(axis=0)
  table = {
    "num_true": (counts[..., 0] + counts[..., 2] > 0).sum(axis=0),
    "num_predicted": (counts[..., 0] + counts[..., 1] > 0).sum(axis=0),
  }
  for name, values in per_case(counts).items():
    sums = np.where(present, values, 0).sum(axis=0)
    table[name] = np.where(number > 0, sums / np.maximum(number, 1), np.nan)
    table[f"{name}_pooled"] = np.where(number > 0, _PER_CLASS[name](total), np.nan)
  return table


def _checked(counts: np.ndarray) -> np.ndarray:
  """Returns the counts as int64, since pooled counts of large data exceed int32."""
  counts = np.asarray(counts).astype(np.int64)
  if counts.ndim != 3 or counts.shape[0] < 1 or counts.shape[1] < 2 or counts.shape[2] != 4:
    raise ValueError(f"counts: must be [N, C, 4] with N >= 1 and C >= 2, got {counts.shape}")
  return counts


def _mean_over_classes(counts: np.ndarray, absent: Absent) -> dict[str, np.ndarray]:
  """Returns every metric of every case, [N] each, from counts [N, C, 4]."""
  means = {
    name: mean_over_classes(values, counts, absent) for name, values in per_case(counts).items()
  }
  total = means["precision"] + means["recall"]
  product = 2 * means["precision"] * means["recall"]
  means["f1"] = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
  return means
