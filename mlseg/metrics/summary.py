"""From the counts of all cases to the numbers of a table, on the host."""

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
  """Returns every metric of every case and class: the rows of a table of cases.

  The class-balanced Dice is missing, since it belongs to no class.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn.

  Returns:
    From the metric's name to [N, C], in [0, 1].

  Example:
    >>> per_case(np.array([[[6, 1, 1, 2], [2, 1, 1, 6]]]))["iou"].tolist()
    [[0.75, 0.5]]
  """
  counts = np.asarray(counts)
  return {name: metric(counts) for name, metric in _PER_CLASS.items()}


def summarize(counts: np.ndarray) -> dict[str, float]:
  """Returns every metric under each convention that tables use.

  For a metric `m`, with class 0 as the background:

  - `m`: mean over the foreground classes, then over cases;
  - `m_with_background`: mean over all classes, then over cases;
  - `m_pooled`: from counts summed over cases, mean over the foreground classes;
  - `m_with_background_pooled`: from counts summed over cases, mean over all classes.

  `f1` is the harmonic mean of precision and recall after their mean over classes, as the authors of
  Dynamic Memory Fusion have it; with one foreground class it equals the Dice there. The
  class-balanced Dice weighs all classes, so it comes only as `class_balanced_dice` and
  `class_balanced_dice_pooled`.
  Empty masks: as each metric says.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn; N >= 1 cases, C >= 2 classes.

  Returns:
    From name to value, in [0, 1].

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
