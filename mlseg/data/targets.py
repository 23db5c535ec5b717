"""Training targets computed from masks before training: textures, distances, numbered objects."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from mlseg.data import padding
from mlseg.errors import unknown

_BINS = 32  # of the histogram of the 256 grey levels
_EIGHT_NEIGHBOURS = np.ones((3, 3), int)


def statistics(
  images: np.ndarray, masks: np.ndarray, name: str = "deviation", slices: int = 1
) -> np.ndarray:
  """Returns a statistic of the grey levels within the lesion of each picture, [N] float32.

  - 'deviation': their standard deviation;
  - 'entropy': -Σ p log2 p of their histogram in 32 bins, in bits;
  - 'contrast': the mean squared difference of neighbours in rows and columns, the contrast of the
    co-occurrence matrix.

  Pixels at the edge of the lesion in a slice are left out, because they partly show its
  surroundings; but where nothing else is left, they count. A picture without a lesion has 0.

  Args:
    images: [N, S H, W, 1] uint8, the slices one below the other.
    masks: [N, S H, W], a class of 1 or more within a lesion.
    name: one of `STATISTICS`.
    slices: S, the number of slices.

  Raises:
    UserError: an unknown name.

  Reference: Haralick, Shanmugam, Dinstein, IEEE Trans. SMC 3 (1973), features f2 and f9.

  Example:
    >>> image = np.array([[[0, 8], [0, 8]]], np.uint8)[..., None]
    >>> [statistics(image, np.ones([1, 2, 2]), name).tolist() for name in STATISTICS]
    [[4.0], [1.0], [32.0]]
  """
  check_statistic(name)
  shape = len(masks), slices, -1, masks.shape[2]
  inside = ((masks > 0) & padding.counted(masks)).reshape(shape)
  inner = ndimage.binary_erosion(inside, np.ones((1, 1, 3, 3)))
  inside = np.where(inner.any((1, 2, 3), keepdims=True), inner, inside)
  grey = images[..., 0].reshape(shape).astype(np.float64)
  of_one = STATISTICS[name]
  values = [of_one(*both) if both[1].any() else 0.0 for both in zip(grey, inside, strict=True)]
  return np.array(values, np.float32)


def edges(values: np.ndarray, num_classes: int) -> np.ndarray:
  """Returns [num_classes - 1] float32, the quantiles that divide values into classes of equal size.

  The class of a value is the number of edges that are not larger than it.

  Example:
    >>> edges(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist()
    [2.5]
  """
  return np.quantile(values, np.arange(1, num_classes) / num_classes).astype(np.float32)


def _deviation(grey: np.ndarray, inside: np.ndarray) -> float:
  return float(grey[inside].std())


def _entropy(grey: np.ndarray, inside: np.ndarray) -> float:
  counts = np.bincount((grey[inside] * _BINS // 256).astype(int), minlength=_BINS)
  shares = counts[counts > 0] / counts.sum()
  return float(-(shares * np.log2(shares)).sum())


def _contrast(grey: np.ndarray, inside: np.ndarray) -> float:
  squares = [np.diff(grey, axis=axis)[_pairs(inside, axis)] ** 2 for axis in (1, 2)]
  both = np.concatenate(squares)
  return float(both.mean()) if both.size else 0.0


def _pairs(inside: np.ndarray, axis: int) -> np.ndarray:
  """Returns for each pair of neighbours along an axis whether both lie inside."""
  first, second = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
  return np.moveaxis(first & second, 0, axis)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
  "deviation": _deviation,
  "entropy": _entropy,
  "contrast": _contrast,
}


def check_statistic(name: str) -> None:
  """Raises a UserError where there is no statistic of this name."""
  if name not in STATISTICS:
    raise unknown("texture statistic", name, STATISTICS)


def signed_distances(
  masks: np.ndarray, num_classes: int, spacing: Sequence[float] | None = None
) -> np.ndarray:
  """Returns the signed distance maps of each class.

  Outside of the region of a class, the value is the distance to it. Inside, it is minus the
  distance to the rest of the image, plus one pixel. In pixels, the maps are the same as those of
  `mlseg.losses.signed_distances`, which is computed inside a compiled program.

  Source: Kervadec et al., Boundary loss for highly unbalanced segmentation, MIDL 2019.

  Args:
    masks: [N, H, W], classes.
    num_classes: C.
    spacing: height and width of a pixel; None: 1 and 1. The "one pixel" is the smaller of them.

  Returns:
    [N, H, W, C] float32, in the unit of the spacing; 0 everywhere for a class that an image does
    not have, or that fills the image.

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


def number_objects(
  masks: np.ndarray, max_objects: int, known: np.ndarray | None = None
) -> np.ndarray:
  """Returns the number of the object at each pixel.

  An object is a connected region of one class, with 8 neighbours per pixel. Objects are numbered
  from the largest on, from 1. Those beyond `max_objects` become 0, the background.

  Args:
    masks: [N, H, W] integer, classes, 0 the background.
    max_objects: at most 255.
    known: [N, H, W] integer, the true objects by number, and 0 outside of them; None: they are
      found in the masks.

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
