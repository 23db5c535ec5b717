"""Lesions found or missed as wholes: matched one to one by their IoU, in images and volumes."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def lesion_ious(prediction: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Returns the IoU of each true lesion with each predicted one.

  Args:
    prediction: [...] integers, the id of the predicted lesion at each pixel, 0 for none; see
      `label_objects`, or `scipy.ndimage.label` for volumes.
    mask: [...], the same for the true lesions.

  Returns:
    [T, P] float64, in the order of the T true and P predicted ids.

  Raises:
    ValueError: where the shapes differ, or an id is negative or not an integer.

  Example:
    >>> lesion_ious(np.array([1, 1, 0, 2, 2]), np.array([5, 5, 5, 0, 0])).round(2).tolist()
    [[0.67, 0.0]]
  """
  prediction, mask = np.asarray(prediction), np.asarray(mask)
  if prediction.shape != mask.shape:
    raise ValueError(f"prediction and mask: must have one shape, got {prediction.shape},"
                     f" {mask.shape}")  # fmt: skip
  for name, ids in (("prediction", prediction), ("mask", mask)):
    if not np.issubdtype(ids.dtype, np.integer) or (ids < 0).any():
      raise ValueError(f"{name}: must be integers that are not negative, got {ids.dtype}")
  true, of_true = np.unique(mask, return_inverse=True)
  found, of_found = np.unique(prediction, return_inverse=True)
  shape = len(true), len(found)
  pairs = np.ravel_multi_index((of_true.ravel(), of_found.ravel()), shape)
  overlap = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
  union = overlap.sum(axis=1)[:, None] + overlap.sum(axis=0)[None] - overlap
  return (overlap / np.maximum(union, 1))[true != 0][:, found != 0]


def lesion_f1(ious: np.ndarray, *, threshold: float = 0.5) -> float:
  """Returns the F1 score of finding lesions: 2 TP / (2 TP + FP + FN).

  A true and a predicted lesion match where their IoU is above the threshold. Each has one partner
  at most; of all ways to pair them, that with the most pairs counts, and of these that with the
  largest sum of IoUs.

  Args:
    ious: [T, P], from `lesion_ious`.
    threshold: in [0, 1).

  Returns:
    In [0, 1]. No lesion in truth and prediction: 1; in one of them alone: 0.

  Raises:
    ValueError: where the IoUs are no matrix of numbers of 0 to 1, or the threshold is out of its
      range.

  Example:
    >>> print(f"{lesion_f1(np.array([[0.8, 0.0], [0.0, 0.3]])):.2f}")
    0.50
  """
  ious = _checked(ious, threshold)
  return 2 * len(_matched(ious, threshold)) / sum(ious.shape) if sum(ious.shape) else 1.0


def panoptic_quality(ious: np.ndarray, *, threshold: float = 0.5) -> float:
  """Returns the panoptic quality of lesions: sum of the matches' IoUs / (TP + FP/2 + FN/2).

  It is the F1 of finding lesions times the mean IoU of those that are found; matches are those of
  `lesion_f1`.

  Source: Kirillov et al. 2019, Panoptic segmentation, CVPR, eq. 1.

  Args:
    ious: [T, P], from `lesion_ious`.
    threshold: in [0, 1); 0.5 is the paper's.

  Returns:
    In [0, 1]. No lesion in truth and prediction: 1; in one of them alone: 0.

  Raises:
    ValueError: as `lesion_f1`.

  Example:
    >>> print(f"{panoptic_quality(np.array([[0.8, 0.0], [0.0, 0.3]])):.2f}")
    0.40
  """
  ious = _checked(ious, threshold)
  return 2 * float(_matched(ious, threshold).sum()) / sum(ious.shape) if sum(ious.shape) else 1.0


def _matched(ious: np.ndarray, threshold: float) -> np.ndarray:
  """Returns the IoUs of the matches."""
  above = ious > threshold
  # A pair more is worth more than any difference of the sums of IoUs.
  gain = above * (1 + ious / (2 * max(min(ious.shape), 1)))
  rows, columns = linear_sum_assignment(gain, maximize=True)
  return ious[rows, columns][above[rows, columns]]


def _checked(ious: np.ndarray, threshold: float) -> np.ndarray:
  ious = np.asarray(ious, np.float64)
  if ious.ndim != 2 or not ((ious >= 0) & (ious <= 1)).all():
    raise ValueError(f"ious: must be [T, P], numbers of 0 to 1, got {ious.shape}")
  if not 0 <= threshold < 1:
    raise ValueError(f"threshold: must be in [0, 1), got {threshold}")
  return ious
