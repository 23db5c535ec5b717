"""Cropping to a lesion, a common spacing, and a window of values."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mlseg.errors import UserError, require
from mlseg.io.volumes.volume import Volume

Spacing = tuple[float, float, float]  # of slices, rows and columns, in mm


class Box(NamedTuple):
  """Voxels of a volume, from a first one up to before a last one."""

  low: tuple[int, int, int]
  high: tuple[int, int, int]


def lesion_box(mask: Volume, margin: float) -> Box:
  """Returns the box around a lesion, within the volume.

  Args:
    mask: nonzero inside the lesion.
    margin: mm around it.

  Raises:
    UserError: the mask is empty, or the margin negative.
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
  """Returns the part of a volume in a box, where it lies."""
  affine = volume.affine.copy()
  affine[:3, 3] = volume.world(np.array(box.low))
  parts = tuple(slice(low, high) for low, high in zip(box.low, box.high, strict=True))
  return Volume(volume.values[parts], affine)


def resample(volume: Volume, spacing: Spacing, *, nearest: bool = False) -> Volume:
  """Returns a volume on a grid of another spacing that fills the same box, along the same axes.

  A volume [Z, Y, X] of spacing s becomes one of round(Z s / s') voxels along an axis; its centre is
  kept, and what lies beyond the outermost voxels' centres has their values. Trilinear, without a
  filter before reduction.

  Args:
    volume: of integers or floats.
    spacing: of slices, rows and columns in mm; 0: as it is.
    nearest: whether each voxel copies the nearest one, as masks must.

  Returns:
    float32, or with `nearest` the type of the values.

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
  # Centres coincide, so that a whole number of new voxels in an old one fills it evenly.
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
  """Returns values as bytes: low and what is below are 0, high and what is above 255.

  Args:
    values: any shape, Hounsfield units of a CT.
    low: of the window.
    high: of it.

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
