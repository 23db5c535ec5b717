"""Single objects from the mask of a class: small ones removed, holes filled, bridges cut."""

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from mlseg.metrics.objects import label_objects


def split_objects(
  mask: np.ndarray,
  *,
  neck: float = 0.0,
  min_size: int = 0,
  fill_holes: bool = True,
  connectivity: int = 8,
) -> np.ndarray:
  """Returns the objects of a predicted mask; two that are connected by a thin bridge are separated.

  The parts that are further than `neck` from the outside are the markers of a watershed on the
  distance to the outside. So a bridge of up to about 2 × neck pixels is cut. An object that has no
  such part stays one object.

  Args:
    mask: [H, W], nonzero inside objects.
    neck: in pixels; 0: nothing is cut.
    min_size: in pixels; smaller objects are left out, before and after cutting.
    fill_holes: whether holes become part of the object around them.
    connectivity: 8, if pixels that touch at a corner are connected, or 4.

  Returns:
    [H, W] int32, ids 1, 2, ..., 0 elsewhere.

  Raises:
    ValueError: where mask is not [H, W], connectivity is not 4 or 8, or a number is negative.

  Example:
    >>> mask = np.zeros((9, 20), bool)
    >>> mask[1:8, 1:8] = mask[1:8, 11:18] = mask[4, 8:11] = True
    >>> split_objects(mask).max(), split_objects(mask, neck=1.5).max()
    (np.int32(1), np.int32(2))
  """
  if not neck >= 0:
    raise ValueError(f"neck: must be at least 0, got {neck}")
  whole = label_objects(mask, connectivity=connectivity, min_size=min_size)
  inside = whole > 0
  if fill_holes:
    inside = ndimage.binary_fill_holes(inside)
    whole = label_objects(inside, connectivity=connectivity)
  if not neck or not inside.any():
    return whole
  # Pixels beyond the border of the image are unknown, so they do not count as outside of an object.
  depth = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
  markers = label_objects(depth > neck, connectivity=connectivity)
  shallow = np.setdiff1d(whole[inside], whole[markers > 0])
  first = markers.max() + 1
  number_of = np.zeros(whole.max() + 1, np.int32)
  number_of[shallow] = np.arange(first, first + len(shallow))
  markers = np.where(number_of[whole] > 0, number_of[whole], markers)
  structure = ndimage.generate_binary_structure(2, 2 if connectivity == 8 else 1)
  return _large(watershed(-depth, markers, structure, mask=inside), min_size)


def _large(objects: np.ndarray, min_size: int) -> np.ndarray:
  """Returns the objects [H, W] of at least a size, renumbered."""
  keep = np.bincount(objects.ravel()) >= max(min_size, 1)
  keep[0] = False
  return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[objects]
