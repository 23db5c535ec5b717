"""ROIAlign as two matrix products per region, and the choice of a level of a pyramid.

Sources: He et al., "Mask R-CNN", ICCV 2017, section 3; Lin et al., "Feature Pyramid Networks for
Object Detection", CVPR 2017, eq. 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.mask_rcnn.boxes import area

_CELLS = 14  # the side of the smallest region of a level, in its cells: 224 pixels at stride 16
_SLACK = 1e-6  # a region of just that side belongs to the level, as in torchvision


def roi_align(
  features: jax.Array,
  boxes: jax.Array,
  stride: int,
  size: int,
  samples: int = 2,
  aligned: bool = True,
) -> jax.Array:
  """Returns what each box sees of the features, on a grid of fixed size.

  A box is divided into size × size bins; a bin's value is the mean of samples × samples points in
  it, regularly spaced, each interpolated bilinearly from four cells. The interpolation, and what
  happens at the border, factor into rows and columns, so that the value is R X Cᵀ: matrix products,
  whose gradient scatters nothing.

  Args:
    features: [B, h, w, F].
    boxes: [B, R, 4] in pixels.
    stride: pixels per cell.
    size: S, bins along each side.
    samples: points per bin along each side; torchvision's `sampling_ratio`.
    aligned: whether the value of a cell stands at its centre, half a cell from its edge. Without,
      as in the paper's first program, everything shifts by half a cell, and boxes count as one cell
      where they are smaller.

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
  """Returns `roi_align` of each box on the level that suits its size, as `level_of` says.

  All levels are read, with weights 0 but at one: shapes do not depend on the boxes.

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
  own = level_of(boxes, strides[0], len(strides))
  factors = []
  for level, (features, stride) in enumerate(zip(levels, strides, strict=True)):
    start, end = jnp.split(boxes / stride, 2, axis=-1)
    height, width = features.shape[1:3]
    rows = _weights(start[..., 0], end[..., 0], height, size, samples, aligned)
    columns = _weights(start[..., 1], end[..., 1], width, size, samples, aligned)
    factors.append((rows * (own == level)[..., None, None], features, columns))

  def of_image(factors: list[tuple[jax.Array, jax.Array, jax.Array]]) -> jax.Array:
    return sum((_product(*level) for level in factors), start=jnp.zeros(()))

  return jax.vmap(of_image)(factors) if images_at_once() else lax.map(of_image, factors)


def images_at_once() -> bool:
  """Returns whether the regions of all images are read together: not on a CPU.

  There the bands of one image stay in the cache, and it takes a fifth of the time.
  """
  return jax.default_backend() != "cpu"


def _product(rows: jax.Array, features: jax.Array, columns: jax.Array) -> jax.Array:
  """Returns R X Cᵀ for rows [R, S, h], features [h, w, F] and columns [R, S, w]: [R, S, S, F]."""
  bands = jnp.einsum("rph,hwf->rpwf", rows, features)
  # Written out, or the product is one over regions with a transposition of the bands before it.
  each = jnp.broadcast_to(columns[:, None], (*bands.shape[:2], *columns.shape[1:]))
  return jnp.matmul(each, bands)


def level_of(boxes: jax.Array, finest_stride: int, num_levels: int) -> jax.Array:
  """Returns the level whose cells divide a box's side into 14 to 28, or the nearest there is.

    level = floor(log2(sqrt(area) / (14 finest_stride)))

  Args:
    boxes: [..., 4] in pixels.
    finest_stride: of level 0.
    num_levels: the stride doubles from one to the next.

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
  """Returns how much each of `length` cells along an axis counts in each bin, [..., size, length].

  A point up to one cell out of the features takes the nearest cell; one further out counts as 0.
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
