"""Cropping a volume to a lesion, resampling it, and windowing its values."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mlseg.errors import UserError, require
from mlseg.io.volumes.volume import Volume

Spacing = tuple[float, float, float]  # of slices, rows and columns, mm


class Box(NamedTuple):
  """The voxels of a volume with indices from `low` up to, but without, `high`."""

  low: tuple[int, int, int]
  high: tuple[int, int, int]


def lesion_box(mask: Volume, margin: float) -> Box:
  """Returns the box around a lesion with a margin, within the volume.

  Args:
    mask: nonzero inside the lesion.
    margin: mm around it.

  Raises:
    UserError: the mask is empty, or the margin is negative.
  """
  require(margin >= 0, "margin must not be negative", margin)
  low, high = [], []
  for axis, (size, spacing) in enumerate(zip(mask.values.shape, mask.spacing, strict=True)):
    others = tuple(other for other in range(3) if other != axis)
    inside = np.flatnonzero(mask.values.any(axis=others))
    if not len(inside):
      raise UserError("has an empty mask: no voxel is marked")
    more = int(np.ceil(margin / spacing - 1e-6))
    low.append(max(int(inside[0]) - more, 0))
    high.append(min(int(inside[-1]) + 1 + more, size))
  return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def crop_to(volume: Volume, box: Box) -> Volume:
  """Returns the part of a volume in a box, with its position in the patient."""
  affine = volume.affine.copy()
  affine[:3, 3] = volume.world(np.array(box.low))
  parts = tuple(slice(low, high) for low, high in zip(box.low, box.high, strict=True))
  return Volume(volume.values[parts], affine)


def resample(volume: Volume, spacing: Spacing, *, nearest: bool = False) -> Volume:
  """Returns a volume resampled to another spacing, with the same centre and axes.

  An axis of n voxels with the spacing s gets round(n s / s') voxels with the spacing s'. The
  interpolation is trilinear, without a filter before reduction. Beyond the centres of the outermost
  voxels, their values are repeated.

  Args:
    volume: with integers or floats.
    spacing: s' of slices, rows and columns in mm; 0: the axis is not changed.
    nearest: whether each voxel copies the nearest one, which masks need.

  Returns:
    The volume with float32 values, or with `nearest` values of the same type.

  Raises:
    UserError: a spacing is negative or not finite.

  Example:
    >>> volume = Volume(np.array([[[0.0, 4.0]]]), np.diag([1.0, 1.0, 2.0, 1.0]))
    >>> finer = resample(volume, (0, 0, 1))
    >>> finer.values.tolist(), finer.world(np.zeros(3)).tolist()
    ([[[0.0, 1.0, 3.0, 4.0]]], [0.0, 0.0, -0.5])
  """
  sound = all(0 <= one < np.inf for one in spacing)
  require(sound, "spacing must be three numbers that are not negative", spacing)
  old = np.array(volume.spacing)
  wanted = np.where(np.array(spacing) > 0, spacing, old)
  sizes = np.array(volume.values.shape)
  shape = np.maximum(np.rint(sizes * old / wanted), 1).astype(int)
  ratio = wanted / old
  # Both centres coincide, so where an old voxel is a whole number of new ones, they fit evenly.
  first = (sizes - 1) / 2 - ratio * (shape - 1) / 2
  dtype = volume.values.dtype if nearest else np.float32
  if (shape == sizes).all() and np.allclose(ratio, 1):
    return volume._replace(values=volume.values.astype(dtype, copy=False))
  values = ndimage.affine_transform(
    volume.values,
    ratio,
    first,
    tuple(shape),
    output=dtype,
    order=0 if nearest else 1,
    mode="nearest",
    prefilter=False,
  )
  affine = volume.affine.copy()
  affine[:3, :3] *= ratio
  affine[:3, 3] = volume.world(first)
  return Volume(values, affine)


def window(values: np.ndarray, low: float, high: float) -> np.ndarray:
  """Returns values in a window as uint8: `low` and less become 0, `high` and more become 255.

  Args:
    values: of any shape, Hounsfield units of a CT.
    low: lower end of the window.
    high: upper end of the window.

  Raises:
    UserError: the window is empty.

  Example:
    >>> window(np.array([-1000, -160, 40, 240]), -160, 240).tolist()
    [0, 0, 128, 255]
  """
  if not low < high:
    raise UserError(f"window must go from a lower to a higher value, not {low:g} to {high:g}")
  scaled = (np.clip(values, low, high).astype(np.float32) - low) * np.float32(255 / (high - low))
  return np.rint(scaled).astype(np.uint8)
