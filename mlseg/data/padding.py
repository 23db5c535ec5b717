"""Pictures of different sizes in one array, and the pixels that do not count in it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

IGNORED = 255  # class in a mask beyond the border of its picture
UNLABELLED = 254  # class in a mask where the true class is not known
MOST_CLASSES = 254  # of a data set


def counted(masks: Any) -> Any:
  """Returns which pixels count: those that have a class.

  Args:
    masks: of any shape, numbers of 0 to 255; numpy's or JAX's.

  Returns:
    The same shape, bool.

  Example:
    >>> counted(np.array([0, 1, UNLABELLED, IGNORED])).tolist()
    [True, True, False, False]
  """
  return masks < UNLABELLED


def stack(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Returns images [N, H, W, ...] and masks [N, H, W], H and W the largest height and width.

  Beyond the border of a picture, the image is mirrored, and the mask is `IGNORED`.

  Args:
    images: N of [h, w, ...].
    masks: N of [h, w], classes.

  Example:
    >>> first, second = np.array([[1, 2]]), np.array([[3]])
    >>> images, masks = stack([first, second], [first, second])
    >>> images.tolist(), masks.tolist()
    ([[[1, 2]], [[3, 3]]], [[[1, 2]], [[3, 255]]])
  """
  return [Padded(PICTURES, images).stacked(), Padded(MASKS, masks).stacked()]


# What is beyond the border of arrays in `Padded`, as `numpy.pad` takes it.
PICTURES: dict[str, Any] = {"mode": "symmetric"}
MASKS: dict[str, Any] = {"constant_values": IGNORED}
OBJECTS: dict[str, Any] = {"constant_values": 0}


class Padded:
  """Arrays of several sizes, which become one array at the end.

  Args:
    beyond: what is beyond their border.
    arrays: N of [h, w, ...], to begin with.
  """

  def __init__(self, beyond: dict[str, Any], arrays: Iterable[np.ndarray] = ()):
    self._beyond, self._arrays = beyond, list(arrays)

  def __len__(self) -> int:
    return len(self._arrays)

  def append(self, array: np.ndarray) -> None:
    """Adds an array [h, w, ...]."""
    self._arrays.append(array)

  def stacked(self) -> np.ndarray:
    """Returns the arrays as [N, H, W, ...], and holds none of them any more."""
    first, count = self._arrays[0], len(self._arrays)
    height, width = np.max([array.shape[:2] for array in self._arrays], axis=0)
    stacked = np.empty((count, height, width, *first.shape[2:]), first.dtype)
    for n in reversed(range(count)):
      array = self._arrays.pop()
      missing = [(0, height - array.shape[0]), (0, width - array.shape[1])]
      missing += [(0, 0)] * (array.ndim - 2)
      stacked[n] = np.pad(array, missing, **self._beyond) if np.any(missing) else array
    return stacked


class Growing:
  """Arrays of one shape, one after the other in one array. Room without an array costs no memory.

  Args:
    room: how many arrays are expected; there may be more.

  Example:
    >>> pairs = Growing(1)
    >>> pairs.append(np.array([1, 2]))
    >>> pairs.append(np.array([3, 4]))
    >>> len(pairs), pairs.stacked().tolist()
    (2, [[1, 2], [3, 4]])
  """

  def __init__(self, room: int):
    self._room, self._count = max(room, 1), 0
    self._array: np.ndarray | None = None

  def __len__(self) -> int:
    return self._count

  def append(self, array: np.ndarray) -> None:
    """Adds an array, which is copied."""
    if self._array is None:
      self._array = np.empty((self._room, *array.shape), array.dtype)
    if self._count == len(self._array):
      larger = np.empty((2 * self._count, *array.shape), array.dtype)
      larger[: self._count] = self._array
      self._array = larger
    self._array[self._count] = array
    self._count += 1

  def stacked(self) -> np.ndarray:
    """Returns the arrays as [N, ...]."""
    assert self._array is not None, "no array was added"
    return self._array[: self._count]


def class_pixels(masks: np.ndarray, num_classes: int) -> np.ndarray:
  """Returns how many pixels of each mask have each class, [N, C] int64.

  Args:
    masks: [N, H, W], classes. They are looked at one by one: N may be large.
    num_classes: C.

  Example:
    >>> class_pixels(np.array([[[0, 1, 1, IGNORED]]]), 2).tolist()
    [[1, 2]]
  """
  counts = [[np.count_nonzero(mask == c) for c in range(num_classes)] for mask in masks]
  return np.array(counts, np.int64).reshape(len(masks), num_classes)


def sizes(masks: Any) -> tuple[Any, Any]:
  """Returns the heights and the widths [N] of pictures from their masks [N, H, W] of `stack`."""
  return (masks[:, :, 0] != IGNORED).sum(1), (masks[:, 0] != IGNORED).sum(1)


def own_parts(arrays: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
  """Returns arrays [N, H, W, ...] cropped to their pictures: N of [h, w, ...]."""
  return [
    array[:height, :width] for array, height, width in zip(arrays, *sizes(masks), strict=True)
  ]
