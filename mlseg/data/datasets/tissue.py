"""Finding tissue on a stained slide, and choosing the tiles with most tissue."""

import numpy as np

CHROMA = 20  # least difference of 255 between the channels of a stained pixel


def is_tissue(picture: np.ndarray) -> np.ndarray:
  """Returns whether each pixel of a stained slide is tissue, [H, W] bool.

  Glass, padding and ink are white, grey or black; stained tissue has a colour.

  Args:
    picture: RGB [H, W, 3] uint8.

  Example:
    >>> is_tissue(np.array([[[255, 255, 255], [200, 120, 180], [30, 30, 40]]], np.uint8)).tolist()
    [[False, True, False]]
  """
  return picture.max(-1).astype(int) - picture.min(-1) >= CHROMA


def best_tiles(
  tissue: np.ndarray, height: int, width: int, size: int, *, least: float, most: int
) -> list[tuple[int, int]]:
  """Returns the tiles with most tissue, as (row, column) in the grid of tiles, in reading order.

  The grid begins at the upper left corner. The area of a tile beyond the edge has no tissue.

  Args:
    tissue: [h, w] bool, an overview of the slide.
    height: height in pixels of the level from which tiles are cut.
    width: width in pixels of that level.
    size: side in pixels of a tile at that level.
    least: the least share of tissue in a tile.
    most: the largest number of tiles; 0: all.

  Example:
    >>> tissue = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool)
    >>> best_tiles(tissue, 40, 80, 40, least=0.25, most=0)
    [(0, 0), (0, 1)]
    >>> best_tiles(tissue, 40, 80, 40, least=0.25, most=1)
    [(0, 0)]
  """
  down, right = tissue.shape[0] / height, tissue.shape[1] / width
  sums = np.pad(tissue, ((1, 0), (1, 0))).cumsum(0, dtype=np.int64).cumsum(1)
  rows = np.rint(np.arange(0, height + size, size)[: -(-height // size) + 1] * down)
  columns = np.rint(np.arange(0, width + size, size)[: -(-width // size) + 1] * right)
  rows = rows.astype(int).clip(max=tissue.shape[0])
  columns = columns.astype(int).clip(max=tissue.shape[1])
  counts = np.diff(np.diff(sums[np.ix_(rows, columns)], axis=0), axis=1)
  shares = counts / (size * down * size * right)
  tiles = [(int(row), int(column)) for row, column in np.argwhere(shares >= least)]
  tiles.sort(key=lambda tile: -shares[tile])
  return sorted(tiles[:most] if most else tiles)
