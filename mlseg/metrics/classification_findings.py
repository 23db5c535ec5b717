"""Metrics of findings of whole cases, on the host, of which a case may have several or none.

Findings are [N, L], 0 or 1, and so are their predictions: a finding is predicted where its
probability is above 0.5. Each finding is a task of two classes, with the metrics of such a task.
"""

import numpy as np

from mlseg.metrics.classification import classification_recall
from mlseg.metrics.classification_probabilities import summarize_classification


def summarize_findings(findings, probabilities) -> dict[str, np.ndarray]:
  """Returns all metrics of each finding, for a table with a row per finding.

  - `num_true` and `num_predicted`: the cases that have the finding, or are predicted to have it;
  - those of `summarize_classification` for the classes 0 (absent) and 1 (there): accuracy, balanced
    accuracy, precision, recall (the sensitivity), F1, AUC, average precision, ...;
  - `classification_specificity`: the share of cases without it that are predicted so.

  Args:
    findings: [N, L], 0 or 1; N >= 1.
    probabilities: [N, L], each in [0, 1]; those of a case need not sum to 1.

  Returns:
    A dict from name to [L] float64. What is not defined is nan: precision, recall and F1 of a
    finding that no case has and none is predicted to have; recall, average precision and AUC of one
    that no case has; specificity and AUC of one that all cases have.

  Raises:
    ValueError: where the shapes differ or are not [N, L], N is 0, a finding is not 0 or 1, or a
      probability is not in [0, 1].

  Example:
    >>> table = summarize_findings([[1, 0], [0, 0], [1, 0]], [[0.9, 0.2], [0.6, 0.1], [0.7, 0.3]])
    >>> table["roc_auc"].tolist(), table["classification_specificity"].tolist()
    ([1.0, nan], [0.0, 1.0])
  """
  findings, probabilities = np.asarray(findings), np.asarray(probabilities)
  if findings.ndim != 2 or findings.shape != probabilities.shape:
    raise ValueError(
      "findings and probabilities: must both be [N, L], got"
      f" {findings.shape} and {probabilities.shape}"
    )
  tables = [_of_one(*columns) for columns in zip(findings.T, probabilities.T, strict=True)]
  return {name: np.array([table[name] for table in tables], float) for name in tables[0]}


def average_findings(findings, probabilities) -> dict[str, float]:
  """Returns the mean of each metric over findings, and the share of cases that are wholly right.

  Args:
    findings: [N, L], as for `summarize_findings`.
    probabilities: [N, L], likewise.

  Returns:
    A dict from name to value: the names of `summarize_findings` without the numbers of cases, and
    `exact_match`, the share of cases of which every finding is predicted right. A mean leaves out
    the findings for which the metric is not defined, and is nan where none is left.

  Raises:
    ValueError: as `summarize_findings`.

  Example:
    >>> table = average_findings([[1, 0], [0, 0], [1, 0]], [[0.9, 0.2], [0.6, 0.1], [0.7, 0.3]])
    >>> table["roc_auc"], table["classification_specificity"], round(table["exact_match"], 3)
    (1.0, 0.5, 0.667)
  """
  means = {
    name: float(values[known].mean()) if (known := ~np.isnan(values)).any() else float("nan")
    for name, values in summarize_findings(findings, probabilities).items()
    if not name.startswith("num_")
  }
  right = (np.asarray(probabilities) > 0.5) == (np.asarray(findings) == 1)
  return means | {"exact_match": float(right.all(1).mean())}


def _of_one(findings: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
  """Returns the metrics of one finding, from [N] each."""
  table = summarize_classification(findings, probabilities)
  predicted = probabilities > 0.5
  num_true, num_predicted = int((findings == 1).sum()), int(predicted.sum())
  specificity = classification_recall(findings, predicted, average="none", num_classes=2)[0]
  table["classification_specificity"] = float(specificity)
  undefined = {
    "classification_specificity": num_true == len(findings),
    "classification_recall": num_true == 0,
    "classification_precision": num_true + num_predicted == 0,
    "classification_f1": num_true + num_predicted == 0,
  }
  table |= {name: float("nan") for name, missing in undefined.items() if missing}
  return {"num_true": num_true, "num_predicted": num_predicted, **table}
