"""Metrics of predicted classes of whole cases, on the host: accuracy, precision, recall, F1.

Labels and predictions are [N] integer classes. Ratios are those of `mlseg.metrics.overlap`, of
counts of cases instead of pixels. Metrics of scores are in `classification_scores`, and metrics of
probabilities in `classification_probabilities`.
"""

from typing import Any, Literal, get_args

import numpy as np

from mlseg.metrics import overlap

Average = Literal["macro", "micro", "weighted", "none"]
Averaged = Any  # a float, or float64 [C] where average is 'none'


def classification_confusion(labels, predictions, *, num_classes: int | None = None) -> np.ndarray:
  """Counts the cases of each true class that are predicted as each class.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    predictions: [N], integer predicted class of each case.
    num_classes: C; None: one more than the largest class in labels and predictions.

  Returns:
    [C, C] int64, cases; the row is the true class, the column the predicted one.

  Raises:
    ValueError: where the shapes differ or are not [N], N is 0, or a class is not in 0 ... C - 1.

  Example:
    >>> classification_confusion([0, 0, 1, 2], [0, 1, 1, 1]).tolist()
    [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
  """
  labels = check_classes("labels", labels, num_classes)
  predictions = check_classes("predictions", predictions, num_classes)
  if labels.shape != predictions.shape:
    raise ValueError(
      f"labels and predictions: must both be [N], got {labels.shape} and {predictions.shape}"
    )
  num_classes = num_classes or int(max(labels.max(), predictions.max())) + 1
  cells = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
  return cells.reshape(num_classes, num_classes)


def classification_accuracy(labels, predictions) -> float:
  """Returns the share of cases that are predicted right: #(predictions == labels) / N.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    predictions: [N], integer predicted class of each case.

  Returns:
    A float in [0, 1].

  Raises:
    ValueError: where the shapes differ or are not [N], N is 0, or a class is negative.

  Example:
    >>> classification_accuracy([0, 0, 1, 2], [0, 1, 1, 1])
    0.5
  """
  matrix = classification_confusion(labels, predictions)
  return float(np.trace(matrix) / matrix.sum())


def balanced_accuracy(labels, predictions) -> float:
  """Returns the mean recall over the classes that occur in the labels: mean_c tp_c / n_c.

  Source: Brodersen et al. 2010, The balanced accuracy and its posterior distribution.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    predictions: [N], integer predicted class of each case.

  Returns:
    A float in [0, 1]. A class that no case has does not count, even where it is predicted.

  Raises:
    ValueError: where the shapes differ or are not [N], N is 0, or a class is negative.

  Example:
    >>> balanced_accuracy([0, 0, 0, 0, 1], [0, 0, 0, 1, 1])
    0.875
  """
  matrix = classification_confusion(labels, predictions)
  present = matrix.sum(axis=1) > 0
  return float((np.diag(matrix)[present] / matrix.sum(axis=1)[present]).mean())


def classification_precision(
  labels, predictions, *, average: Average = "macro", num_classes: int | None = None
) -> Averaged:
  """Returns the precision (positive predictive value), per class or averaged: tp / (tp + fp).

  Args:
    labels: [N], integer true class of each case; N >= 1.
    predictions: [N], integer predicted class of each case.
    average: over classes, as for `classification_f1`.
    num_classes: C; None: one more than the largest class in labels and predictions.

  Returns:
    A float in [0, 1], or [C] where average is 'none'. The value of a class that is never predicted
    is 0 if a case has it, else 1 (scikit-learn: 0); the latter is only seen with 'none'.

  Raises:
    ValueError: as `classification_confusion`, or where average is unknown.

  Example:
    >>> classification_precision([0, 0, 1, 1], [0, 1, 1, 1], average="none").round(3).tolist()
    [1.0, 0.667]
  """
  return _average_ratio(overlap.precision, labels, predictions, average, num_classes)


def classification_recall(
  labels, predictions, *, average: Average = "macro", num_classes: int | None = None
) -> Averaged:
  """Returns the recall (sensitivity), per class or averaged: tp / (tp + fn).

  The macro average also counts classes that are only predicted, with the value 0, as in
  scikit-learn; `balanced_accuracy` leaves them out. In a task of two classes, the recall of class 1
  is the sensitivity, and that of class 0 the specificity.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    predictions: [N], integer predicted class of each case.
    average: over classes, as for `classification_f1`.
    num_classes: C; None: one more than the largest class in labels and predictions.

  Returns:
    A float in [0, 1], or [C] where average is 'none'. The value of a class that no case has is 0 if
    it is predicted, else 1 (scikit-learn: 0); the latter is only seen with 'none'.

  Raises:
    ValueError: as `classification_confusion`, or where average is unknown.

  Example:
    >>> classification_recall([0, 0, 1, 1], [0, 1, 1, 1], average="none").tolist()
    [0.5, 1.0]
  """
  return _average_ratio(overlap.recall, labels, predictions, average, num_classes)


def classification_f1(
  labels, predictions, *, average: Average = "macro", num_classes: int | None = None
) -> Averaged:
  """Returns the F1 score, per class or averaged: 2 tp / (2 tp + fp + fn).

  The choices of `average`:

  - 'macro': the mean over the classes that occur in the labels or the predictions;
  - 'weighted': the mean over classes, weighted by the number of cases of each;
  - 'micro': the F1 of the counts summed over classes, which equals the accuracy here;
  - 'none': the values of all classes; element 1 is called 'binary' in scikit-learn.

  Args:
    labels: [N], integer true class of each case; N >= 1.
    predictions: [N], integer predicted class of each case.
    average: one of those above.
    num_classes: C; None: one more than the largest class in labels and predictions.

  Returns:
    A float in [0, 1], or [C] where average is 'none'. The value of a class that occurs neither in
    the labels nor in the predictions is 1 (scikit-learn: 0); it is only seen with 'none'.

  Raises:
    ValueError: as `classification_confusion`, or where average is unknown.

  Example:
    >>> f"{classification_f1([0, 0, 1, 1], [0, 1, 1, 1]):.3f}"
    '0.733'
    >>> classification_f1([0, 0, 1, 1], [0, 1, 1, 1], average="none", num_classes=3).tolist()
    [0.6666666666666666, 0.8, 1.0]
  """
  return _average_ratio(overlap.f1, labels, predictions, average, num_classes)


def _average_ratio(ratio, labels, predictions, average, num_classes) -> Averaged:
  check_average(average)
  matrix = classification_confusion(labels, predictions, num_classes=num_classes)
  tp, num_true, num_predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
  fp, fn = num_predicted - tp, num_true - tp
  counts = np.stack([tp, fp, fn, matrix.sum() - tp - fp - fn], axis=-1)
  if average == "micro":
    return float(ratio(counts.sum(axis=0)))
  return average_classes(ratio(counts), average, num_true + num_predicted > 0, num_true)


def average_classes(
  values: np.ndarray, average: Average, counted: np.ndarray, num_true: np.ndarray
) -> Averaged:
  """Averages the values of classes.

  Args:
    values: [C], one value per class.
    average: 'macro', 'weighted' or 'none'.
    counted: [C], bool, the classes that count in an average.
    num_true: [C], the cases of each class: the weights of 'weighted'.

  Returns:
    A float, nan where no class counts; or the values, where average is 'none'.

  Example:
    >>> average_classes(np.array([1, 0.5, 0]), "macro", np.array([True, True, False]), np.ones(3))
    0.75
  """
  if average == "none":
    return values
  weights = counted * (num_true if average == "weighted" else 1.0)
  if not weights.any():
    return float("nan")
  return float((weights * np.where(counted, values, 0)).sum() / weights.sum())


def check_average(average: Average) -> None:
  """Raises ValueError where the name of an average is unknown."""
  if average not in get_args(Average):
    raise ValueError(f"average: choose from {', '.join(get_args(Average))}; got {average!r}")


def check_classes(name: str, classes, num_classes: int | None = None) -> np.ndarray:
  """Returns classes [N] as int64.

  Args:
    name: of the argument, for the error message.
    classes: [N], integers (or bools); N >= 1.
    num_classes: C; None: no upper limit.

  Raises:
    ValueError: where they are not [N] integers in 0 ... C - 1, or N is 0.
  """
  classes = np.asarray(classes)
  if classes.ndim != 1 or classes.size == 0:
    raise ValueError(f"{name}: must be [N] with N >= 1, got {classes.shape}")
  if classes.dtype.kind not in "biu":
    raise ValueError(f"{name}: must be integers, got {classes.dtype}")
  classes = classes.astype(np.int64)
  low, high = int(classes.min()), int(classes.max())
  if low < 0 or (num_classes is not None and high >= num_classes):
    allowed = "not negative" if num_classes is None else f"in 0 ... {num_classes - 1}"
    raise ValueError(f"{name}: must be {allowed}, got {low if low < 0 else high}")
  return classes
