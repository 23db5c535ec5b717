"""The scores of the mean of a run's models on the test cases, with intervals over the cases."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlseg.data import multilabel
from mlseg.metrics import (
  bootstrap_interval,
  has_foreground,
  mean_over_classes,
  per_case,
  roc_auc,
  summarize_presence,
)
from mlseg.metrics.class_means import Absent
from mlseg.training.scoring import SeedScores, summarize_model

NUM_RESAMPLES = 2000
SHOWN = {  # metrics in the console's line, and what their values are multiplied by
  "dice": 100.0, "iou": 100.0, "hausdorff95": 1.0, "normalized_surface_dice": 100.0,
  "classification_accuracy": 100.0, "roc_auc": 100.0,
}  # fmt: skip
_Statistic = Callable[..., Any]


def summarize(
  scores: SeedScores, absent: Absent, groups: np.ndarray, num_models: int
) -> dict[str, Any]:
  """Returns the entry 'ensemble' of `results.json`.

  The intervals are 95 % percentile bootstrap intervals. Groups of cases are resampled as wholes,
  since the cases of a patient and near-duplicates are no sample of their own.

  Args:
    scores: of the ensemble.
    absent: of the recipe's metrics.
    groups: [N], the same number for test cases that a split keeps together.
    num_models: whose mean it is.

  Returns:
    The number of models, and by name of a metric its value and the ends of its interval, which are
    None for a metric that is no mean over cases, such as a pooled one.
  """
  together = groups if len(np.unique(groups)) < len(groups) else None

  def interval(data: Any, statistic: _Statistic) -> dict[str, float]:
    found = bootstrap_interval(
      data, statistic, groups=together, resample_within=False, num_resamples=NUM_RESAMPLES
    )
    return {"low": found.low, "high": found.high}

  values = summarize_model(scores, absent)
  if scores.counts is not None and not has_foreground(scores.counts).all():
    values |= summarize_presence(scores.counts, absent)
  metrics: dict[str, dict[str, Any]] = {
    name: {"value": value, "low": None, "high": None} for name, value in values.items()
  }
  for name, (data, statistic) in _of_cases(scores, absent).items():
    metrics[name] |= interval(data, statistic)
  return {"num_models": num_models, "metrics": metrics}


def line(entry: Mapping[str, Any]) -> str:
  """Returns the main scores of an ensemble, with their intervals, as text.

  Args:
    entry: from `summarize`.

  Example:
    >>> line({"num_models": 3, "metrics": {"dice": {"value": 0.831, "low": 0.8, "high": 0.86}}})
    'mean of 3 models: dice 83.10 [80.00, 86.00]'
  """
  metrics = entry["metrics"]
  texts = [
    f"{name.replace('_', ' ')} {_shown(metrics[name], factor)}"
    for name, factor in SHOWN.items()
    if name in metrics
  ]
  count = entry["num_models"]
  return f"{'one model' if count == 1 else f'mean of {count} models'}: {', '.join(texts)}"


def _shown(estimate: Mapping[str, Any], factor: float) -> str:
  value = f"{factor * estimate['value']:.2f}"
  if estimate["low"] is None:
    return value
  return f"{value} [{factor * estimate['low']:.2f}, {factor * estimate['high']:.2f}]"


def _of_cases(scores: SeedScores, absent: Absent) -> dict[str, tuple[Any, _Statistic]]:
  """Returns, by name of a metric, the arrays of cases and the statistic that it is of them."""
  found: dict[str, tuple[Any, _Statistic]] = {}
  if scores.counts is not None:
    own = scores.counts[:, 1:]
    for name in ("dice", "iou", "precision", "recall"):
      found[name] = mean_over_classes(per_case(own)[name], own, absent), np.mean
    if scores.surfaces is not None:
      for name, values in scores.surfaces.metrics.items():
        found[name] = mean_over_classes(values[:, 1:], own), np.mean
  if scores.probabilities is not None and scores.labels.ndim == 2:
    right = (scores.probabilities > multilabel.THRESHOLD) == (scores.labels == 1)
    found["classification_accuracy"] = right.mean(1), np.mean
    found["exact_match"] = right.all(1).astype(np.float64), np.mean
  elif scores.probabilities is not None:
    right = scores.probabilities.argmax(-1) == scores.labels
    found["classification_accuracy"] = right.astype(np.float64), np.mean
    if scores.probabilities.shape[1] == 2:
      found["roc_auc"] = (scores.labels, scores.probabilities[:, 1]), roc_auc
  return found
