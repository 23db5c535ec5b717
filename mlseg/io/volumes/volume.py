"""A volume in memory, and its position in the patient."""

from typing import NamedTuple

import numpy as np

from mlseg.errors import UserError

_AXES = ("slices", "rows", "columns")


class Volume(NamedTuple):
  """Values on a grid of axial slices, oriented as on a radiologist's screen.

  Slices go from the feet to the head, rows from front to back, columns from the patient's right to
  the left. The axes of an oblique grid follow the nearest of these directions.
  """

  values: np.ndarray  # [Z, Y, X]
  affine: np.ndarray  # [4, 4] float64, from (slice, row, column, 1) to mm in RAS+: right, front, up

  @property
  def spacing(self) -> tuple[float, float, float]:
    """Returns the distances of slices, rows and columns in mm."""
    depth, height, width = np.linalg.norm(self.affine[:3, :3], axis=0)
    return float(depth), float(height), float(width)

  def world(self, indices: np.ndarray) -> np.ndarray:
    """Returns the positions [..., 3] in mm of voxels with indices [..., 3]."""
    return indices @ self.affine[:3, :3].T + self.affine[:3, 3]


def oriented(values: np.ndarray, affine: np.ndarray) -> Volume:
  """Returns a volume in the orientation of `Volume` from values with axes in any order.

  Args:
    values: [A, B, C]; a view of them is returned.
    affine: [4, 4], from indices (a, b, c, 1) to mm in RAS+.

  Raises:
    UserError: the matrix is not finite, or is singular.

  Example:
    >>> sagittal = np.array([[0.0, 0, 2, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    >>> volume = oriented(np.zeros([4, 5, 6]), sagittal)
    >>> volume.values.shape, volume.spacing
    ((5, 4, 6), (1.0, 1.0, 2.0))
  """
  from nibabel import orientations

  affine = np.asarray(affine, np.float64)
  if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
    raise UserError(f"has an affine matrix that does not describe a grid: {affine.tolist()}")
  # For each axis of the input, the world axis that it follows, and its direction.
  found = orientations.io_orientation(affine)
  wanted = orientations.axcodes2ornt(("S", "P", "L"))
  change = orientations.ornt_transform(found, wanted)
  moved = orientations.apply_orientation(values, change)
  return Volume(moved, affine @ orientations.inv_ornt_aff(change, values.shape))


def check_same_grid(first: Volume, second: Volume, names: tuple[str, str]) -> None:
  """Raises a UserError where two volumes do not have the same grid.

  Args:
    first: a volume.
    second: another.
    names: of both volumes, for the message.
  """
  rule = f"{names[1]}: does not lie on the grid of {names[0]}"
  if first.values.shape != second.values.shape:
    shapes = ["×".join(map(str, one.values.shape)) for one in (second, first)]
    raise UserError(f"{rule}: {shapes[0]} voxels, not {shapes[1]}")
  corners = np.array(np.meshgrid(*[(0, size - 1) for size in first.values.shape])).reshape(3, -1).T
  away = np.linalg.norm(first.world(corners) - second.world(corners), axis=1).max()
  if away > 0.1 * min(first.spacing):
    words = ", ".join(
      f"{axis} {ours:.3g} and {theirs:.3g} mm"
      for axis, ours, theirs in zip(_AXES, second.spacing, first.spacing, strict=True)
    )
    raise UserError(f"{rule}: corners are up to {away:.3g} mm apart ({words} apart)")
