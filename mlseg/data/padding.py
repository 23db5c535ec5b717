"""Pictures of different sizes in one array: mirrored beyond their borders, and marked in masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

IGNORED = 255  # in masks: beyond the border of the picture


def stack(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Returns images [N, H, W, ...] and masks [N, H, W] of the largest height and width.

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
  """Returns the numbers of objects, N of [h, w], as `stack` does masks; 0 beyond the borders."""
  return _stack(numbers, constant_values=0)


def _stack(arrays: Sequence[np.ndarray], **how: Any) -> np.ndarray:
  height, width = np.max([array.shape[:2] for array in arrays], axis=0)

  def extended(array: np.ndarray) -> np.ndarray:
    missing = [(0, height - array.shape[0]), (0, width - array.shape[1])]
    return np.pad(array, [*missing, *[(0, 0)] * (array.ndim - 2)], **how)

  return np.stack([extended(array) for array in arrays])


def sizes(masks: Any) -> tuple[Any, Any]:
  """Returns heights and widths [N] of pictures whose masks [N, H, W] come from `stack`."""
  return (masks[:, :, 0] != IGNORED).sum(1), (masks[:, 0] != IGNORED).sum(1)


def own_parts(arrays: np.ndarray, masks: np.ndarray) -> list[np.ndarray]:
  """Returns of arrays [N, H, W, ...] the parts within the borders of their pictures."""
  return [
    array[:height, :width] for array, height, width in zip(arrays, *sizes(masks), strict=True)
  ]
