"""Removal of small components and filling of small holes in a mask of classes."""

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), bool)  # pixels that touch at a corner are connected
_FOUR = ndimage.generate_binary_structure(2, 1)


def clean(mask: np.ndarray, component_share: float, hole_share: float) -> np.ndarray:
  """Returns a mask without small components and, after these are removed, without small holes.

  Args:
    mask: [H, W], classes; 0 is the background.
    component_share: components of fewer than this share of the H·W pixels are removed; 0: none.
    hole_share: holes of fewer than this share are filled; 0: none.

  Returns:
    [H, W], of the dtype of the mask.

  Example:
    >>> mask = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 1, 0, 1], [0, 0, 1, 1, 1]])
    >>> clean(mask, 0.1, 0.1).tolist()
    [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]
  """
  if component_share:
    mask = remove_components(mask, component_share * mask.size)
  if hole_share:
    mask = fill_holes(mask, hole_share * mask.size)
  return mask


def remove_components(mask: np.ndarray, least: float) -> np.ndarray:
  """Returns a mask in which no component of a class but the first is smaller than `least`.

  A component is a region of one class whose pixels are connected in 8 directions. The pixels of
  one that is removed get the class that most of the pixels around it have, of equally many the
  first: with two classes the background. Classes are gone through in their order.

  Args:
    mask: [H, W], classes; 0 is the background.
    least: pixels that a component must have to stay; fewer than H·W.

  Example:
    >>> remove_components(np.array([[1, 2, 1, 1], [1, 1, 1, 0]]), 2).tolist()
    [[1, 1, 1, 1], [1, 1, 1, 0]]
  """
  for label in np.unique(mask[mask > 0]):
    mask = _merged(mask, mask == label, least, _EIGHT)
  return mask


def fill_holes(mask: np.ndarray, least: float) -> np.ndarray:
  """Returns a mask in which no hole is smaller than `least`.

  A hole is a region of the background, connected in 4 directions, that does not touch the border
  of the picture. The pixels of one that is filled get the class that most of the pixels beside it
  have, of equally many the first.

  Args:
    mask: [H, W], classes; 0 is the background.
    least: pixels that a hole must have to stay.

  Example:
    >>> fill_holes(np.array([[2, 2, 2], [2, 0, 2], [0, 2, 2]]), 2).tolist()
    [[2, 2, 2], [2, 2, 2], [0, 2, 2]]
  """
  return _merged(mask, mask == 0, least, _FOUR, inside=True)


def _merged(
  mask: np.ndarray, region: np.ndarray, least: float, structure: np.ndarray, inside: bool = False
) -> np.ndarray:
  """Returns a mask in which the small parts of a region have the class of most neighbours.

  Args:
    mask: [H, W], classes.
    region: [H, W] bool, where the mask has one class.
    least: smaller parts are merged.
    structure: [3, 3] bool, the neighbours of a pixel.
    inside: whether parts that touch the border stay.
  """
  parts, _ = ndimage.label(region, structure)
  small = np.bincount(parts.ravel()) < least
  small[0] = False
  if inside:
    for edge in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
      small[edge] = False
  if not small.any():
    return mask
  result = mask.copy()
  boxes = ndimage.find_objects(parts)
  for number in np.flatnonzero(small):
    box = tuple(slice(max(0, one.start - 1), one.stop + 1) for one in boxes[number - 1])
    own = parts[box] == number
    around = ndimage.binary_dilation(own, structure) & ~own
    result[box][own] = np.bincount(mask[box][around]).argmax()
  return result
