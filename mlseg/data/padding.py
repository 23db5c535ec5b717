"""Pictures of different sizes in one array, and the pixels that do not count in it."""

from collections.abc import Sequence
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
  return [_stack(images, mode="symmetric"), _stack(masks, constant_values=IGNORED)]


def stack_objects(numbers: Sequence[np.ndarray]) -> np.ndarray:
  """Returns numbers of objects [N, H, W] from N of [h, w]; 0 beyond the borders."""
  return _stack(numbers, constant_values=0)


def _stack(arrays: Sequence[np.ndarray], **how: Any) -> np.ndarray:
  height, width = np.max([array.shape[:2] for array in arrays], axis=0)

  def extended(array: np.ndarray) -> np.ndarray:
    missing = [(0, height - array.shape[0]), (0, width - array.shape[1])]
    return np.pad(array, [*missing, *[(0, 0)] * (array.ndim - 2)], **how)

  return np.stack([extended(array) for array in arrays])


def sizes(masks: Any) -> tuple[Any, Any]:
  """Returns the heights and the widths [N] of pictures from their masks [N, H, W] of `stack`."""
  return (masks[:, :, 0] != IGNORED).sum(1), (masks[:, 0] != IGNORED).sum(1)


def own_parts(arrays: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
  """Returns arrays [N, H, W, ...] cropped to their pictures: N of [h, w, ...]."""
  return [
    array[:height, :width] for array, height, width in zip(arrays, *sizes(masks), strict=True)
  ]
