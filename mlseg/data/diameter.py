"""The longest diameter of a lesion in one slice, by which RECIST measures tumours."""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from mlseg.errors import require


def longest_diameter(mask: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
  """Returns the longest diameter of a connected region in any slice.

  It is the largest distance of two points on the outline of a region within a slice, as RECIST 1.1
  measures target lesions. The points are the middles of the sides of its pixels. Pixels that touch
  at a corner are connected. Of several regions in a slice, the longest diameter counts.

  Args:
    mask: [S, H, W] slices, or [H, W]; where it is not 0 is lesion.
    spacing: the distance of rows and of columns, in the unit of the result.

  Returns:
    The diameter in the unit of the spacing; 0 for an empty mask.

  Raises:
    UserError: the mask has another number of axes, or a spacing is not above 0.

  Reference: Eisenhauer et al. 2009, European Journal of Cancer 45, section 3.1.

  Example:
    >>> mask = np.zeros((3, 9, 9))
    >>> mask[1, 4, 2:7] = 1
    >>> longest_diameter(mask, (1.0, 0.5))
    2.5
  """
  mask = np.asarray(mask) != 0
  require(mask.ndim in (2, 3), "mask must be [S, H, W] or [H, W]", mask.shape)
  is_valid = len(spacing) == 2 and all(np.isfinite(step) and step > 0 for step in spacing)
  require(is_valid, "spacing must be two numbers above 0", spacing)
  longest = 0.0
  for one in mask[None] if mask.ndim == 2 else mask:
    regions, count = ndimage.label(one, np.ones((3, 3)))
    for number in range(1, count + 1):
      points = _sides(regions == number) * spacing
      corners = points[ConvexHull(points).vertices]
      longest = max(longest, float(pdist(corners).max()))
  return longest


def _sides(region: np.ndarray) -> np.ndarray:
  """Returns the middles of the sides of the pixels of a region [H, W], [P, 2] rows and columns."""
  offsets = np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])
  return (np.argwhere(region)[:, None] + offsets).reshape(-1, 2)
