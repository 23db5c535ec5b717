"""The anchors: boxes from which the region proposal network starts, the same for every image.

References: Ren et al., "Faster R-CNN", NeurIPS 2015; Lin et al., "Feature Pyramid Networks for
  Object
Detection", CVPR 2017, section 4.1: one size per level, three shapes.
"""

from collections.abc import Sequence

import numpy as np


def grid_anchors(
  size: tuple[int, int], strides: Sequence[int], scale: float, ratios: Sequence[float]
) -> np.ndarray:
  """Returns the anchors of all levels: at the centre of each cell, one box for each ratio.

  A box of ratio r at a level of stride s has the area (scale s)² and is r times as high as wide.

  Args:
    size: height and width of the image in pixels, multiples of the strides.
    strides: pixels per cell of each level.
    scale: side of a square anchor, in cells.
    ratios: ratios of height to width.

  Returns:
    [A, 4] float32, ordered by level, row, column and ratio; they may reach beyond the image.

  Example:
    >>> grid_anchors((8, 16), (8,), 2.0, (1.0,)).tolist()
    [[-4.0, -4.0, 12.0, 12.0], [-4.0, 4.0, 12.0, 20.0]]
  """
  return np.concatenate([_of_level(size, stride, scale, ratios) for stride in strides])


def _of_level(
  size: tuple[int, int], stride: int, scale: float, ratios: Sequence[float]
) -> np.ndarray:
  roots = np.sqrt(np.asarray(ratios, np.float64))
  half = np.stack([roots, 1 / roots], axis=-1) * scale * stride / 2  # [R, 2]
  rows, columns = ((np.arange(length // stride) + 0.5) * stride for length in size)
  centre = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)[:, :, None]
  boxes = np.concatenate([centre - half, centre + half], axis=-1)
  return boxes.reshape(-1, 4).astype(np.float32)
