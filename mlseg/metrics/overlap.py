"""Overlap of predicted and true regions: ratios of counts, on numpy or jax arrays.

Counts are [..., 4]: true positives, false positives, false negatives, true negatives. A ratio whose
denominator is 0 is 1 where prediction and truth agree (no false positive or negative), else 0. So
where the truth has no pixel of a class, a prediction without one scores 1 and any other scores 0.
Means over several classes leave such classes out; see `class_means`.
"""

from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import ArrayLike

from mlseg.metrics.class_means import Absent, counted, is_present, namespace

Array = Any  # numpy in, numpy (float64) out; jax in, jax (float32) out


def dice(counts: Array) -> Array:
  """Returns the Dice coefficient: 2 tp / (2 tp + fp + fn).

  Source: Golnari & Diba 2026, eq. 18 (without the one minus).

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. No pixel in truth and prediction: 1; in one of them alone: 0.

  Example:
    >>> dice(np.array([[2, 1, 1, 6], [0, 0, 0, 10], [0, 5, 0, 5]])).round(3).tolist()
    [0.667, 1.0, 0.0]
  """
  tp, fp, fn, _ = _split(counts)
  return _ratio(2 * tp, 2 * tp + fp + fn, fp + fn)


def iou(counts: Array) -> Array:
  """Returns the intersection over union (Jaccard index): tp / (tp + fp + fn).

  Source: Golnari & Diba 2026, eq. 17 (without the one minus).

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. No pixel in truth and prediction: 1; in one of them alone: 0.

  Example:
    >>> iou(np.array([[2, 1, 1, 6], [0, 0, 0, 10], [0, 5, 0, 5]])).tolist()
    [0.5, 1.0, 0.0]
  """
  tp, fp, fn, _ = _split(counts)
  return _ratio(tp, tp + fp + fn, fp + fn)


def precision(counts: Array) -> Array:
  """Returns the precision (positive predictive value): tp / (tp + fp).

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. Nothing predicted: 1 where there is nothing to find, else 0.

  Example:
    >>> precision(np.array([[2, 2, 1, 5], [0, 0, 0, 10], [0, 0, 3, 7]])).tolist()
    [0.5, 1.0, 0.0]
  """
  tp, fp, fn, _ = _split(counts)
  return _ratio(tp, tp + fp, fp + fn)


def recall(counts: Array) -> Array:
  """Returns the recall (sensitivity, true positive rate): tp / (tp + fn).

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. Nothing to find: 1 where nothing is predicted, else 0.

  Example:
    >>> recall(np.array([[2, 1, 2, 5], [0, 0, 0, 10], [0, 5, 0, 5]])).tolist()
    [0.5, 1.0, 0.0]
  """
  tp, fp, fn, _ = _split(counts)
  return _ratio(tp, tp + fn, fp + fn)


def specificity(counts: Array) -> Array:
  """Returns the specificity (true negative rate): tn / (tn + fp), the recall of the outside.

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. A mask that covers all pixels: 1 where the prediction does too, else 0.

  Example:
    >>> specificity(np.array([[2, 2, 4, 2], [10, 0, 0, 0], [7, 0, 3, 0]])).tolist()
    [0.5, 1.0, 0.0]
  """
  _, fp, fn, tn = _split(counts)
  return _ratio(tn, tn + fp, fp + fn)


def false_positive_rate(counts: Array) -> Array:
  """Returns the false positive rate (fall-out): fp / (fp + tn) = 1 - specificity.

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]; less is better. A mask that covers all pixels: 0 where the prediction does
    too, else 1.

  Example:
    >>> false_positive_rate(np.array([[2, 2, 4, 2], [10, 0, 0, 0], [7, 0, 3, 0]])).tolist()
    [0.5, 0.0, 1.0]
  """
  return 1 - specificity(counts)


def false_negative_rate(counts: Array) -> Array:
  """Returns the false negative rate (miss rate): fn / (fn + tp) = 1 - recall.

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]; less is better. Nothing to find: 0 where nothing is predicted, else 1.

  Example:
    >>> false_negative_rate(np.array([[2, 1, 2, 5], [0, 0, 0, 10], [0, 5, 0, 5]])).tolist()
    [0.5, 0.0, 1.0]
  """
  return 1 - recall(counts)


def negative_predictive_value(counts: Array) -> Array:
  """Returns the negative predictive value: tn / (tn + fn), the precision of the outside.

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. Everything predicted: 1 where everything is true, else 0.

  Example:
    >>> negative_predictive_value(np.array([[2, 4, 2, 2], [10, 0, 0, 0], [7, 3, 0, 0]])).tolist()
    [0.5, 1.0, 0.0]
  """
  _, fp, fn, tn = _split(counts)
  return _ratio(tn, tn + fn, fp + fn)


def f1(counts: Array) -> Array:
  """Returns the harmonic mean of precision and recall: 2 P R / (P + R).

  For the counts of one class this is the Dice coefficient. For means over classes it is not: see
  `summarize`.

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. Empty masks as for `dice`.

  Example:
    >>> f1(np.array([[2, 1, 1, 6], [0, 0, 0, 10], [0, 5, 0, 5]])).round(3).tolist()
    [0.667, 1.0, 0.0]
  """
  return dice(counts)


def accuracy(counts: Array) -> Array:
  """Returns the share of pixels that are right about the class: (tp + tn) / (tp + fp + fn + tn).

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. No pixel at all: 1.

  Example:
    >>> accuracy(np.array([[2, 1, 1, 6], [0, 0, 0, 10], [0, 5, 0, 5]])).tolist()
    [0.8, 1.0, 0.5]
  """
  tp, fp, fn, tn = _split(counts)
  return _ratio(tp + tn, tp + fp + fn + tn, fp + fn)


def volumetric_similarity(counts: Array) -> Array:
  """Returns the volumetric similarity: 1 - |fn - fp| / (2 tp + fp + fn).

  It compares the sizes of two regions, and not where they are.

  Source: Taha & Hanbury 2015, BMC Medical Imaging 15.

  Args:
    counts: [..., 4], pixels.

  Returns:
    [...], in [0, 1]. No pixel in truth and prediction: 1; in one of them alone: 0.

  Example:
    >>> volumetric_similarity(np.array([[2, 1, 1, 6], [0, 4, 4, 2], [0, 5, 0, 5]])).tolist()
    [1.0, 1.0, 0.0]
  """
  tp, fp, fn, _ = _split(counts)
  excess = abs(fn - fp)
  return 1 - _ratio(excess, 2 * tp + fp + fn, excess * 0 + 1)


def class_balanced_dice(
  counts: Array, class_weights: Literal["paper", "inverse"] = "paper", absent: Absent = "left_out"
) -> Array:
  """Returns the mean Dice over classes, with larger weights for small ones: sum_c w_c Dice_c.

  Let r_c = N_c / N be the share of pixels of class c in the truth. The weights w_c sum to 1, and
  are proportional to 1 - r_c ('paper') or to 1 / (r_c + 1e-6) ('inverse', as in the authors' demo).

  Source: Golnari & Diba 2026, eqs. 21-24.

  Args:
    counts: [..., C, 4], pixels; of all C >= 2 classes, including the background.
    class_weights: 'paper' or 'inverse'.
    absent: what a class counts that is neither true nor predicted, whose weight would be the
      largest: 'left_out', or 'one' for its Dice of 1.

  Returns:
    [...], in [0, 1]. One class alone, true and predicted: 1.

  Raises:
    ValueError: where class_weights or absent is unknown.

  Example:
    >>> print(class_balanced_dice(np.array([[9, 1, 0, 0], [0, 0, 1, 9]])).round(4))
    0.0947
  """
  if class_weights not in ("paper", "inverse"):
    raise ValueError(f"class_weights: choose from inverse, paper; got {class_weights!r}")
  tp, fp, fn, tn = _split(counts)
  xp = namespace(tp)
  part = (tp + fn) / xp.maximum(tp + fp + fn + tn, 1)
  weights = 1 - part if class_weights == "paper" else 1 / (part + 1e-6)
  enters = counted(is_present(counts), absent).astype(part.dtype)
  weights = weights * enters
  # A class that is alone fills the image, so its weight would be 0.
  weights = xp.where(weights.sum(axis=-1, keepdims=True) > 0, weights, enters)
  return (weights * dice(counts)).sum(axis=-1) / weights.sum(axis=-1)


def foreground_dice_per_case(
  dice_per_class: ArrayLike, present: ArrayLike | None = None
) -> np.ndarray:
  """Returns the Dice of each case: the mean over its foreground classes, on the host.

  A class whose Dice is NaN or infinite is left out of the mean. `dice` gives no such value, but a
  table that was written elsewhere may have some.

  Args:
    dice_per_class: [..., C], C >= 2; class 0 is the background.
    present: [..., C] bool, from `is_present`: other classes are left out, unless no foreground
      class is there; None: all count, an absent class with its Dice of 1.

  Returns:
    [...], float64; NaN where no foreground class has a finite Dice.

  Example:
    >>> foreground_dice_per_case(np.array([[0.9, 0.5, 0.75], [0.9, 0.5, np.nan]])).tolist()
    [0.625, 0.5]
    >>> float(foreground_dice_per_case([0.9, 0.5, 1.0], present=[True, True, False]))
    0.5
  """
  values = np.asarray(dice_per_class, np.float64)[..., 1:]
  known = np.isfinite(values)
  if present is not None:
    there = known & np.asarray(present, bool)[..., 1:]
    known = np.where(there.any(axis=-1, keepdims=True), there, known)
  number = known.sum(axis=-1)
  mean = np.where(known, values, 0).sum(axis=-1) / np.maximum(number, 1)
  return np.where(number > 0, mean, np.nan)


def _split(counts: Array) -> tuple[Array, Array, Array, Array]:
  """Returns tp, fp, fn and tn as floats, each [...], so that no sum of them overflows."""
  real = counts.astype(np.float32 if isinstance(counts, jax.Array) else np.float64)
  return real[..., 0], real[..., 1], real[..., 2], real[..., 3]


def _ratio(numerator: Array, denominator: Array, wrong: Array) -> Array:
  xp = namespace(numerator)
  agreement = (wrong == 0).astype(numerator.dtype)
  return xp.where(denominator > 0, numerator / xp.where(denominator > 0, denominator, 1), agreement)
