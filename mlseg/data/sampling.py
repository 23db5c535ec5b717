"""Groups of training cases that a run sees equally often, however few cases they have."""

import numpy as np

from mlseg.data import padding
from mlseg.data.cases import Cases
from mlseg.errors import UserError, unknown

SHUFFLE = "shuffle"  # every epoch is a permutation of the cases
LABELS = "labels"  # each diagnosis is as frequent as the others
LESION_SIZE = "lesion_size"  # small, medium and large lesions, and empty masks, are as frequent
METHODS = (SHUFFLE, LABELS, LESION_SIZE)


def groups(method: str, cases: Cases, train: np.ndarray) -> np.ndarray | None:
  """Returns the group of each training case, for `pipeline.balanced_order`.

  Args:
    method: one of `METHODS`.
    cases: the data set.
    train: [n], the training cases.

  Returns:
    [n] int32, from 0 without gaps; None with 'shuffle', which has no groups.

  Raises:
    UserError: an unknown method, or training cases that it cannot tell apart.
  """
  if method not in METHODS:
    raise unknown("config.data.sampling", method, METHODS)
  if method == SHUFFLE:
    return None
  if method == LABELS:
    found = cases.labels[train]
    if len(np.unique(found)) < 2:
      raise UserError("config.data.sampling 'labels' needs training cases of several diagnoses")
  else:
    found = size_groups(lesion_shares(cases.masks[train]))
    if (found == _EMPTY).all():
      raise UserError("config.data.sampling 'lesion_size' needs training cases with a lesion")
  return np.unique(found, return_inverse=True)[1].astype(np.int32)


_EMPTY = 3  # the group of masks without a lesion


def size_groups(shares: np.ndarray) -> np.ndarray:
  """Returns 0, 1 or 2 by the third of the sizes that a lesion belongs to, and 3 for an empty mask.

  Args:
    shares: [n], from `lesion_shares`.

  Returns:
    [n] int.

  Example:
    >>> size_groups(np.array([0.3, 0.0, 0.1, 0.2, 0.4, 0.6, 0.5])).tolist()
    [1, 3, 0, 0, 1, 2, 2]
  """
  filled = shares > 0
  if not filled.any():
    return np.full(len(shares), _EMPTY)
  limits = np.quantile(shares[filled], (1 / 3, 2 / 3))
  return np.where(filled, np.searchsorted(limits, shares), _EMPTY)


def lesion_shares(masks: np.ndarray) -> np.ndarray:
  """Returns the share of each mask's pixels that are no background, of those that count.

  Args:
    masks: [n, H, W], classes.

  Returns:
    [n] float64; 0 where no pixel counts.

  Example:
    >>> lesion_shares(np.array([[[0, 1], [2, 0]], [[0, 1], [255, 255]], [[255, 255], [255, 255]]]))
    array([0.5, 0.5, 0. ])
  """
  counted = np.array([np.count_nonzero(padding.counted(mask)) for mask in masks])
  background = padding.class_pixels(masks, 1)[:, 0]
  return (counted - background) / np.maximum(counted, 1)
