"""Distance maps of masks, on the host, once per data set."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def signed_distances(
  masks: np.ndarray, num_classes: int, spacing: Sequence[float] | None = None
) -> np.ndarray:
  """Returns each class's signed distance: to its region outside, one pixel less to the rest inside.

  In pixels the same as `mlseg.losses.signed_distances`, which computes it inside a program.

  Source: Kervadec et al., Boundary loss for highly unbalanced segmentation, MIDL 2019.

  Args:
    masks: [N, H, W], classes.
    num_classes: C.
    spacing: lengths of a pixel, (row, column); None: 1 and 1. Inside, the shorter one is taken off.

  Returns:
    [N, H, W, C] float32, in the unit of the spacing; 0 everywhere for a class that an image has
    not got, or has alone.

  Example:
    >>> signed_distances(np.array([[[0, 1, 1, 1, 0]]]), 2)[0, 0, :, 1].tolist()
    [1.0, 0.0, -1.0, 0.0, 1.0]
  """
  maps = np.zeros((*masks.shape, num_classes), np.float32)
  step = 1.0 if spacing is None else min(spacing)
  for n, mask in enumerate(masks):
    for label in range(num_classes):
      region = mask == label
      if region.any() and not region.all():
        outside = ndimage.distance_transform_edt(~region, spacing)
        inside = ndimage.distance_transform_edt(region, spacing)
        maps[n, ..., label] = outside - np.where(region, inside - step, 0)
  return maps
