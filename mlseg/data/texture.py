"""How rough a lesion is: statistics of its grey levels, and classes of them from the data."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from mlseg.data import padding
from mlseg.errors import unknown

_BINS = 32  # of the 256 grey levels


def statistics(
  images: np.ndarray, masks: np.ndarray, name: str = "deviation", slices: int = 1
) -> np.ndarray:
  """Returns a statistic of the grey levels of each picture within its lesion, [N] float32.

  - 'deviation': their standard deviation;
  - 'entropy': -Σ p log2 p of their histogram in 32 bins, in bits;
  - 'contrast': the mean squared difference of neighbours in rows and columns, as of a
    co-occurrence matrix.

  Pixels at the edge of a lesion in its slice are left out, for they are partly of what surrounds
  it; but not where nothing else is left. Of a picture without a lesion it is 0.

  Args:
    images: [N, S H, W, 1] uint8, slices one below the other.
    masks: [N, S H, W], nonzero and not 255 within a lesion.
    name: of the statistic.
    slices: S.

  Raises:
    UserError: an unknown name.

  Reference: Haralick, Shanmugam, Dinstein, IEEE Trans. SMC 3 (1973), features f2 and f9.

  Example:
    >>> image = np.array([[[0, 8], [0, 8]]], np.uint8)[..., None]
    >>> [statistics(image, np.ones([1, 2, 2]), name).tolist() for name in STATISTICS]
    [[4.0], [1.0], [32.0]]
  """
  if name not in STATISTICS:
    raise unknown("texture statistic", name, STATISTICS)
  shape = len(masks), slices, -1, masks.shape[2]
  inside = ((masks > 0) & (masks != padding.IGNORED)).reshape(shape)
  inner = ndimage.binary_erosion(inside, np.ones((1, 1, 3, 3)))
  inside = np.where(inner.any((1, 2, 3), keepdims=True), inner, inside)
  grey = images[..., 0].reshape(shape).astype(np.float64)
  of_one = STATISTICS[name]
  values = [of_one(*both) if both[1].any() else 0.0 for both in zip(grey, inside, strict=True)]
  return np.array(values, np.float32)


def edges(values: np.ndarray, num_classes: int) -> np.ndarray:
  """Returns [num_classes - 1] float32, the values that part a sample into classes of equal size.

  A value's class is the number of edges that it reaches.

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
  """Returns which neighbours along an axis both lie inside."""
  first, second = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
  return np.moveaxis(first & second, 0, axis)


STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
  "deviation": _deviation,
  "entropy": _entropy,
  "contrast": _contrast,
}
