"""Distances between predicted and true surfaces, and metrics of these distances, on the host.

The surface of a region are its pixels that have a neighbour outside of it along an axis; pixels
beyond the image are outside. Distances are Euclidean, between the centres of pixels, in units of
`spacing`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage


class SurfaceDistances(NamedTuple):
  """Distances between the predicted and the true surface of one region, in units of spacing."""

  to_true: np.ndarray  # [P] float64, from each point of the predicted surface to the true one
  to_prediction: np.ndarray  # [T] float64, from each point of the true surface to the predicted one


def surface_distances(
  prediction: np.ndarray,
  mask: np.ndarray,
  *,
  spacing: Sequence[float] | None = None,
  missing: float | None = None,
) -> SurfaceDistances:
  """Measures the distance of each point of one surface from the other surface, both ways.

    to_true = [min_t |s (p - t)| for each p], to_prediction = [min_p |s (p - t)| for each t]

  with p and t the pixels of the predicted and of the true surface, and s the spacing.

  Args:
    prediction: [H, W] or [D, H, W], nonzero in the predicted region.
    mask: the shape of prediction, nonzero in the true region.
    spacing: length of a pixel along each axis; None: 1.
    missing: the distance to the surface of an empty region; None: the diagonal of the image,
      sqrt(sum_axis (length * spacing)^2), which no distance exceeds, so that means stay finite.

  Returns:
    Distances in the order of the pixels, >= 0. If one region is empty, they are `missing` for each
    point of the other. If both are empty, there are no distances.

  Raises:
    ValueError: where shapes, spacing or missing are not as above.

  Example:
    >>> prediction, mask = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]])
    >>> distances = surface_distances(prediction, mask, spacing=(1.0, 0.5))
    >>> distances.to_true.tolist(), distances.to_prediction.tolist()
    ([0.0, 0.5], [0.0])
  """
  prediction, mask = np.asarray(prediction) != 0, np.asarray(mask) != 0
  if prediction.ndim not in (2, 3) or prediction.shape != mask.shape:
    raise ValueError(
      "prediction and mask: must both be [H, W] or [D, H, W], "
      f"got {prediction.shape} and {mask.shape}"
    )
  lengths, missing = lengths_and_missing(mask.shape, spacing, missing)
  either = prediction | mask
  if not either.any():
    return SurfaceDistances(np.zeros(0), np.zeros(0))
  box = ndimage.find_objects(either.astype(np.uint8))[0]
  predicted, true = _surface(prediction[box]), _surface(mask[box])
  return SurfaceDistances(
    _distances(predicted, true, lengths, missing), _distances(true, predicted, lengths, missing)
  )


def hausdorff(distances: SurfaceDistances, percentile: float = 100.0) -> float:
  """Returns the Hausdorff distance, or a percentile in place of its maxima.

    max(percentile of to_true, percentile of to_prediction)

  With 100 it is max(max_p min_t |p - t|, max_t min_p |p - t|). The percentile is taken for each
  direction, and interpolated, as in MONAI. Others, such as MedPy, pool both directions first, which
  gives another number for percentiles below 100.

  Source: Huttenlocher et al. 1993, IEEE TPAMI 15(9), eqs. 1-2; the percentile is their K-th ranked
  distance.

  Args:
    distances: [P] and [T], in units of spacing.
    percentile: in [0, 100].

  Returns:
    In units of spacing, >= 0. Both regions empty: 0; one of them: `missing` of `surface_distances`.

  Raises:
    ValueError: where percentile is outside [0, 100].

  Example:
    >>> distances = SurfaceDistances(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0]))
    >>> hausdorff(distances), hausdorff(distances, 50)
    (3.0, 1.5)
  """
  if not 0 <= percentile <= 100:
    raise ValueError(f"percentile: must be in [0, 100], got {percentile}")
  return max(_percentile(points, percentile) for points in distances)


def hausdorff95(distances: SurfaceDistances) -> float:
  """Returns the Hausdorff distance at the 95th percentile, which ignores single stray pixels.

    max(95th percentile of to_true, 95th percentile of to_prediction)

  Args:
    distances: [P] and [T], in units of spacing.

  Returns:
    In units of spacing, >= 0. Both regions empty: 0; one of them: `missing` of `surface_distances`.

  Example:
    >>> hausdorff95(SurfaceDistances(np.arange(101.0), np.zeros(5)))
    95.0
  """
  return hausdorff(distances, 95.0)


def average_symmetric_surface_distance(distances: SurfaceDistances) -> float:
  """Returns the mean of all distances in both directions.

    (sum(to_true) + sum(to_prediction)) / (P + T)

  So the longer surface has more weight, as in MONAI and the liver challenge. The mean of the two
  directed means, which is also called by this name, is another number where P and T differ.

  Source: Heimann et al. 2009, IEEE TMI 28(8), section on evaluation (ASD).

  Args:
    distances: [P] and [T], in units of spacing.

  Returns:
    In units of spacing, >= 0. Both regions empty: 0; one of them: `missing` of `surface_distances`.

  Example:
    >>> distances = SurfaceDistances(np.array([0.0, 1.0, 2.0]), np.array([5.0]))
    >>> average_symmetric_surface_distance(distances)
    2.0
  """
  points = np.concatenate(distances)
  return float(points.mean()) if points.size else 0.0


def normalized_surface_dice(distances: SurfaceDistances, tolerance: float) -> float:
  """Returns the share of both surfaces that is within a tolerance of the other one.

    (#{to_true <= tolerance} + #{to_prediction <= tolerance}) / (P + T)

  A surface is measured by its number of pixels, as in MONAI by default; the authors measure its
  length or area.

  Source: Nikolov et al. 2018, arXiv 1809.04430, "surface DSC".

  Args:
    distances: [P] and [T], in units of spacing.
    tolerance: in units of spacing, >= 0, and below `missing` of `surface_distances`.

  Returns:
    In [0, 1]. Both regions empty: 1; one of them: 0.

  Raises:
    ValueError: where tolerance is negative.

  Example:
    >>> normalized_surface_dice(SurfaceDistances(np.array([0.0, 2.0]), np.array([0.0, 1.0])), 1.0)
    0.75
  """
  if not tolerance >= 0:
    raise ValueError(f"tolerance: must be at least 0, got {tolerance}")
  points = np.concatenate(distances)
  return float((points <= tolerance).mean()) if points.size else 1.0


def pooled_distances(distances: Sequence[SurfaceDistances]) -> SurfaceDistances:
  """Joins the distances of several cases; a metric of the result is their pooled value.

  Args:
    distances: one per case, in units of spacing.

  Returns:
    [sum of P] and [sum of T]. No case: no distances, as for two empty regions.

  Example:
    >>> one, two = SurfaceDistances(np.ones(2), np.ones(1)), SurfaceDistances(*np.zeros([2, 3]))
    >>> [points.tolist() for points in pooled_distances([one, two])]
    [[1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
  """
  nothing = SurfaceDistances(np.zeros(0), np.zeros(0))
  return SurfaceDistances(*map(np.concatenate, zip(nothing, *distances, strict=True)))


def lengths_and_missing(
  shape: tuple[int, ...], spacing: Sequence[float] | None, missing: float | None
) -> tuple[np.ndarray, float]:
  """Returns the length of a pixel along each axis, and the distance to an empty region.

  Args:
    shape: of the image.
    spacing: [ndim], or None for 1.
    missing: in units of spacing, infinity allowed, or None for the image's diagonal.

  Raises:
    ValueError: where spacing is not one positive number for each axis, or missing is negative.

  Example:
    >>> lengths, missing = lengths_and_missing((3, 2), (1.0, 2.0), None)
    >>> lengths.tolist(), missing
    ([1.0, 2.0], 5.0)
  """
  lengths = np.ones(len(shape)) if spacing is None else np.asarray(spacing, np.float64)
  if lengths.shape != (len(shape),) or not ((lengths > 0) & np.isfinite(lengths)).all():
    raise ValueError(f"spacing: must be {len(shape)} positive numbers, got {spacing}")
  if missing is None:
    return lengths, math.hypot(*(lengths * shape))
  if not missing >= 0:
    raise ValueError(f"missing: must be at least 0, got {missing}")
  return lengths, float(missing)


def _surface(region: np.ndarray) -> np.ndarray:
  return region & ~ndimage.binary_erosion(region)  # beyond the array counts as outside


def _distances(points: np.ndarray, surface: np.ndarray, lengths, missing: float) -> np.ndarray:
  """Returns the distance to `surface` of each pixel of `points`; both [H, W] or [D, H, W] bool."""
  if not surface.any():
    return np.full(np.count_nonzero(points), missing)
  return ndimage.distance_transform_edt(~surface, sampling=lengths)[points]


def _percentile(points: np.ndarray, percentile: float) -> float:
  """Returns the interpolated percentile, also for infinite distances, unlike numpy."""
  if not points.size:
    return 0.0
  position = (points.size - 1) * percentile / 100
  below, above = math.floor(position), math.ceil(position)
  low, high = np.partition(points, (below, above))[[below, above]]
  return float(low if low == high else low + (high - low) * (position - below))
