"""Metrics of predicted masks, from exact counts per case and class."""

from mlseg.metrics.overlap import (
  accuracy,
  class_balanced_dice,
  confusion_counts,
  dice,
  f1,
  foreground_dice,
  iou,
  precision,
  recall,
  specificity,
)
from mlseg.metrics.summary import per_case, summarize

__all__ = [
  "accuracy",
  "class_balanced_dice",
  "confusion_counts",
  "dice",
  "f1",
  "foreground_dice",
  "iou",
  "per_case",
  "precision",
  "recall",
  "specificity",
  "summarize",
]
