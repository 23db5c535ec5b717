"""The numbers of a table from the counts of all cases, on the host."""

from collections.abc import Callable

import numpy as np

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


def summarize(counts: np.ndarray) -> dict[str, float]:
  """Returns all metrics under each convention that is used in tables.

  For a metric `m`, with class 0 as the background:

  - `m`: mean over the foreground classes, then over cases;
  - `m_with_background`: mean over all classes, then over cases;
  - `m_pooled`: from counts summed over cases, mean over the foreground classes;
  - `m_with_background_pooled`: from counts summed over cases, mean over all classes.

  `f1` is the harmonic mean of precision and recall after these are averaged over classes, as in
  Dynamic Memory Fusion; with one foreground class it equals the Dice. The class-balanced Dice is a
  mean over all classes, so there are only `class_balanced_dice` and `class_balanced_dice_pooled`.
  For empty masks see each metric.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn; N >= 1 cases, C >= 2 classes.

  Returns:
    A dict from name to value, in [0, 1].

  Raises:
    ValueError: where counts has another shape or no case.

  Example:
    >>> table = summarize(np.array([[[6, 1, 1, 2], [2, 1, 1, 6]], [[9, 0, 0, 1], [1, 0, 0, 9]]]))
    >>> [round(table[name], 3) for name in ("dice", "dice_with_background", "dice_pooled")]
    [0.833, 0.881, 0.75]
  """
  counts = np.asarray(counts).astype(np.int64)  # pooled counts of large data exceed int32
  if counts.ndim != 3 or counts.shape[0] < 1 or counts.shape[1] < 2 or counts.shape[2] != 4:
    raise ValueError(f"counts: must be [N, C, 4] with N >= 1 and C >= 2, got {counts.shape}")
  table = {}
  for pooling, cases in (("", counts), ("_pooled", counts.sum(axis=0, keepdims=True))):
    for classes, first in (("", 1), ("_with_background", 0)):
      for name, values in _mean_over_classes(cases[:, first:]).items():
        table[name + classes + pooling] = float(values.mean())
    table["class_balanced_dice" + pooling] = float(class_balanced_dice(cases).mean())
  return table


def _mean_over_classes(counts: np.ndarray) -> dict[str, np.ndarray]:
  """Returns every metric of every case, [N] each, from counts [N, C, 4]."""
  means = {name: values.mean(axis=-1) for name, values in per_case(counts).items()}
  total = means["precision"] + means["recall"]
  product = 2 * means["precision"] * means["recall"]
  means["f1"] = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
  return means
