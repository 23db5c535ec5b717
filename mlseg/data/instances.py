"""Single objects in masks of classes."""

import numpy as np
from scipy import ndimage

_EIGHT_NEIGHBOURS = np.ones((3, 3), int)


def number_objects(
  masks: np.ndarray, max_objects: int, known: np.ndarray | None = None
) -> np.ndarray:
  """Returns the number of the object at each pixel: connected pixels of one class, 8 neighbours.

  Objects are numbered from the largest on; those beyond `max_objects` are 0, the background.

  Args:
    masks: [N, H, W] integer, classes, 0 the background.
    max_objects: at most 255.
    known: [N, H, W] integer, the numbers of objects that need not be found; 0 outside of them.

  Returns:
    [N, H, W] uint8.

  Example:
    >>> number_objects(np.array([[[1, 0, 1], [0, 0, 1], [2, 0, 1]]]), 2)[0].tolist()
    [[2, 0, 1], [0, 0, 1], [0, 0, 1]]
  """
  found = map(_connected, masks) if known is None else known
  return np.stack([_largest(numbers, max_objects) for numbers in found])


def _connected(mask: np.ndarray) -> np.ndarray:
  found = np.zeros(mask.shape, np.int64)
  for label in np.unique(mask[mask > 0]):
    parts, _ = ndimage.label(mask == label, _EIGHT_NEIGHBOURS)
    found = np.where(parts > 0, parts + found.max(), found)
  return found


def _largest(found: np.ndarray, max_objects: int) -> np.ndarray:
  sizes = np.bincount(found.ravel())[1:]
  order = np.argsort(-sizes, kind="stable")[:max_objects]
  number_of = np.zeros(len(sizes) + 1, np.uint8)
  number_of[order + 1] = np.arange(1, len(order) + 1)
  return number_of[found]
