"""ROIAlign as two matrix products per region, and the choice of the pyramid level for a region.

References: He et al., "Mask R-CNN", ICCV 2017, section 3; Lin et al., "Feature Pyramid Networks for
Object Detection", CVPR 2017, eq. 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.mask_rcnn.boxes import area

_CELLS = 14  # side of the smallest region that a level is read for, in cells: 224 px at stride 16
_SLACK = 1e-6  # so that a region of exactly this side is read on the level, as in torchvision


def roi_align(
  features: jax.Array,
  boxes: jax.Array,
  stride: int,
  size: int,
  samples: int = 2,
  aligned: bool = True,
) -> jax.Array:
  """Returns the features inside each box, resampled to a grid of fixed size.

  A box is divided into size × size bins. The value of a bin is the mean of samples × samples
  regularly spaced points in it, each interpolated bilinearly from four cells. The interpolation and
  the treatment of the border factor into rows and columns, so the result is R X Cᵀ: two matrix
  products, whose gradient needs no scatter.

  Args:
    features: [B, h, w, F].
    boxes: [B, R, 4] in pixels.
    stride: pixels per cell.
    size: S, bins along each side.
    samples: points per bin along each side; torchvision's `sampling_ratio`.
    aligned: whether the value of a cell is at its centre, half a cell from its edge. If not, as in
      the paper's first program, everything shifts by half a cell, and boxes smaller than one cell
      are treated as one cell.

  Returns:
    [B, R, S, S, F].

  Example:
    >>> features = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> box = jnp.array([[[0.0, 0.0, 4.0, 4.0]]])
    >>> roi_align(features, box, 1, 2).squeeze().tolist()
    [[2.5, 4.5], [10.5, 12.5]]
  """
  return pyramid_align([features], boxes, [stride], size, samples, aligned)


def pyramid_align(
  levels: Sequence[jax.Array],
  boxes: jax.Array,
  strides: Sequence[int],
  size: int,
  samples: int = 2,
  aligned: bool = True,
) -> jax.Array:
  """Returns `roi_align` of each box on the level that `level_of` chooses by the box's size.

  All levels are read, with weights of 0 at all but the chosen one, so that shapes do not depend on
  the boxes.

  Args:
    levels: per level [B, h, w, F], finest first.
    boxes: [B, R, 4] in pixels.
    strides: pixels per cell of each level, each twice the one before.
    size: S, bins along each side.
    samples: points per bin along each side.
    aligned: as in `roi_align`.

  Returns:
    [B, R, S, S, F].
  """
  chosen = level_of(boxes, strides[0], len(strides))
  factors = []
  for level, (features, stride) in enumerate(zip(levels, strides, strict=True)):
    start, end = jnp.split(boxes / stride, 2, axis=-1)
    height, width = features.shape[1:3]
    rows = _weights(start[..., 0], end[..., 0], height, size, samples, aligned)
    columns = _weights(start[..., 1], end[..., 1], width, size, samples, aligned)
    factors.append((rows * (chosen == level)[..., None, None], features, columns))

  def of_image(factors: list[tuple[jax.Array, jax.Array, jax.Array]]) -> jax.Array:
    return sum((_product(*level) for level in factors), start=jnp.zeros(()))

  return jax.vmap(of_image)(factors) if images_at_once() else lax.map(of_image, factors)


def images_at_once() -> bool:
  """Returns whether the regions of all images are read together, as on every platform but the CPU.

  On a CPU the intermediate products of a single image stay in the cache, so reading one image after
  the other takes a fifth of the time.
  """
  return jax.default_backend() != "cpu"


def _product(rows: jax.Array, features: jax.Array, columns: jax.Array) -> jax.Array:
  """Returns R X Cᵀ for rows [R, S, h], features [h, w, F] and columns [R, S, w]: [R, S, S, F]."""
  bands = jnp.einsum("rph,hwf->rpwf", rows, features)
  # The broadcast keeps XLA from transposing the bands to make one product over all regions.
  each = jnp.broadcast_to(columns[:, None], (*bands.shape[:2], *columns.shape[1:]))
  return jnp.matmul(each, bands)


def level_of(boxes: jax.Array, finest_stride: int, num_levels: int) -> jax.Array:
  """Returns the level on which a box's side has 14 to 28 cells, or the nearest level there is.

    level = floor(log2(sqrt(area) / (14 finest_stride)))

  Args:
    boxes: [..., 4] in pixels.
    finest_stride: stride of level 0, pixels; it doubles from each level to the next.
    num_levels: number of levels.

  Returns:
    [...] int32, 0 to num_levels - 1.

  Example:
    >>> boxes = jnp.array([[0.0, 0.0, 50.0, 50.0], [0.0, 0.0, 112.0, 112.0]])
    >>> level_of(boxes, 4, 3).tolist()
    [0, 1]
  """
  side = jnp.sqrt(area(boxes)) / (_CELLS * finest_stride)
  level = jnp.floor(jnp.log2(jnp.maximum(side, 0.5)) + _SLACK)
  return jnp.clip(level, 0, num_levels - 1).astype(jnp.int32)


def _weights(
  start: jax.Array, end: jax.Array, length: int, size: int, samples: int, aligned: bool
) -> jax.Array:
  """Returns the weight of each of `length` cells along an axis in each bin, [..., size, length].

  A point up to one cell outside the features takes the nearest cell; a point further out gives 0.
  """
  if aligned:
    start, end = start - 0.5, end - 0.5
  extent = end - start if aligned else jnp.maximum(end - start, 1)
  steps = (jnp.arange(size * samples) + 0.5) / (size * samples)
  points = start[..., None] + extent[..., None] * steps
  inside = (points >= -1) & (points <= length)
  cells = jnp.arange(length, dtype=points.dtype)
  distances = jnp.abs(jnp.clip(points, 0, length - 1)[..., None] - cells)
  weights = jnp.where(inside[..., None], jnp.maximum(1 - distances, 0), 0)
  return weights.reshape(*start.shape, size, samples, length).mean(axis=-2)
