"""Metrics of images with and without a foreground: whether a network says that there is nothing."""

import numpy as np

from mlseg.metrics.class_means import Absent, mean_over_classes
from mlseg.metrics.overlap import dice


def has_foreground(counts: np.ndarray) -> np.ndarray:
  """Returns in which images the truth has a pixel of any class but the background.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn; the background first.

  Returns:
    [N], bool.

  Example:
    >>> has_foreground(np.array([[[5, 0, 0, 4], [4, 0, 0, 5]], [[6, 0, 3, 0], [0, 3, 0, 6]]]))
    array([ True, False])
  """
  counts = np.asarray(counts)
  return (counts[:, 1:, 0] + counts[:, 1:, 2] > 0).any(1)


def predicts_foreground(counts: np.ndarray) -> np.ndarray:
  """Returns in which images a pixel of any class but the background is predicted.

  Args:
    counts: as in `has_foreground`.

  Returns:
    [N], bool.

  Example:
    >>> predicts_foreground(np.array([[[5, 0, 4, 0], [0, 4, 0, 5]], [[9, 0, 0, 0], [0, 0, 0, 9]]]))
    array([ True, False])
  """
  counts = np.asarray(counts)
  return (counts[:, 1:, 0] + counts[:, 1:, 1] > 0).any(1)


def summarize_presence(counts: np.ndarray, absent: Absent = "left_out") -> dict[str, float]:
  """Returns how well images with a foreground are told from those without, and the Dice of these.

  An image is positive in which any pixel of the foreground is predicted, however few.

  - `image_sensitivity`: of the images with a foreground, the share that is positive;
  - `image_specificity`: of the images without, the share that is not;
  - `images_true_positive`, `images_false_negative`, `images_false_positive`,
    `images_true_negative`: the numbers of images behind these;
  - `dice_where_present`: the mean of `dice` over the images with a foreground alone. An image
    without one has a Dice of 1 or 0, so the mean over all images mixes both questions.

  Args:
    counts: [N, C, 4], pixels: tp, fp, fn, tn; N >= 1 images, C >= 2 classes, the background first.
    absent: what classes count in the Dice of an image that are neither true nor predicted, as in
      `summarize`.

  Returns:
    A dict from name to value; NaN where there is no image of the kind.

  Example:
    >>> with_lesion, without = [[6, 1, 1, 2], [2, 1, 1, 6]], [[9, 0, 1, 0], [0, 1, 0, 9]]
    >>> table = summarize_presence(np.array([with_lesion, without]))
    >>> table["image_sensitivity"], table["image_specificity"]
    (1.0, 0.0)
    >>> round(table["dice_where_present"], 3)
    0.667
  """
  counts = np.asarray(counts).astype(np.int64)
  true, predicted = has_foreground(counts), predicts_foreground(counts)
  scores = mean_over_classes(dice(counts[:, 1:]), counts[:, 1:], absent)
  return {
    "image_sensitivity": _mean(predicted[true]),
    "image_specificity": _mean(~predicted[~true]),
    "images_true_positive": float((true & predicted).sum()),
    "images_false_negative": float((true & ~predicted).sum()),
    "images_false_positive": float((~true & predicted).sum()),
    "images_true_negative": float((~true & ~predicted).sum()),
    "dice_where_present": _mean(scores[true]),
  }


def _mean(values: np.ndarray) -> float:
  return float(values.mean()) if values.size else float("nan")
