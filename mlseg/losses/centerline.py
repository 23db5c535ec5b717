"""Losses of centre lines, which are soft skeletons: clDice, and their recall."""

import functools

import jax
import jax.numpy as jnp

from mlseg.losses.overlap_counts import ratio
from mlseg.losses.probabilities import Activation, check_shapes, foreground, probabilities
from mlseg.losses.reduction import class_sum


def cl_dice(
  logits: jax.Array,
  masks: jax.Array,
  *,
  iterations: int = 3,
  smooth: float = 1.0,
  activation: Activation = "softmax",
  include_background: bool = False,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the centre-line Dice: 1 - mean over classes of 2 P S / (P + S).

  P = (sum S_p g + s) / (sum S_p + s) is the share of the prediction's skeleton that lies in the
  true region, and S = (sum S_g p + s) / (sum S_g + s) the share of the true skeleton that is found.
  The loss keeps thin connections. The paper adds the Dice loss to it; here, a weighting combines
  the two.

  Source: Shit et al., clDice - a novel topology-preserving loss function for tubular structure
    segmentation, CVPR 2021, eqs. 1-2 and alg. 1-2.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    iterations: steps of the skeletonisation, at least the largest radius of a structure in pixels.
    smooth: s, pixels.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, iterations is negative, smooth is not
      positive, or an option is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]])]
    >>> half = jnp.eye(2)[jnp.array([[[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]])]
    >>> print(f"{cl_dice(100 * half, masks)[0]:.2f}")  # P = 1, S = (2 + 1) / (4 + 1)
    0.25
  """
  check_shapes(logits, masks, valid, activation)
  if iterations < 0:
    raise ValueError(f"iterations: must be >= 0, got {iterations}")
  p = foreground(probabilities(logits, activation), include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  of_p, of_g = (soft_skeleton(x, iterations, valid) for x in (p, g))
  precision = ratio(class_sum(of_p * g, valid), class_sum(of_p, valid), smooth)
  sensitivity = ratio(class_sum(of_g * p, valid), class_sum(of_g, valid), smooth)
  return 1 - (2 * precision * sensitivity / (precision + sensitivity)).mean(axis=-1)


def skeleton_recall(
  logits: jax.Array,
  masks: jax.Array,
  *,
  skeletons: jax.Array | None = None,
  iterations: int = 3,
  radius: int = 2,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = False,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the recall of thick centre lines: 1 - (1/C) sum_c (sum_i s p / sum_i s)_c.

  s are the true skeletons, made thicker by radius pixels within the true regions. Only they are
  skeletonised, not the prediction, so that the loss costs little. Predictions beyond the skeletons
  change nothing: combine the loss with one of overlap.

  Source: Kirchhoff et al., Skeleton recall loss for connectivity conserving and resource efficient
    segmentation of thin tubular structures, ECCV 2024. There, exact skeletons are computed before
    training, and dilated twice; give them as `skeletons`.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    skeletons: [B, ..., C], s, any real dtype, computed before training; None: computed here from
      the masks, by soft skeletons.
    iterations: steps of the skeletonisation, at least the largest radius of a structure in pixels.
    radius: pixels by which computed skeletons become thicker.
    smooth: pixels added to numerator and denominator.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1]; a class without pixels has loss 0.

  Raises:
    ValueError: where the shapes do not fit together, iterations or radius is negative, smooth is
      not positive, or an option is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]])]
    >>> half = jnp.eye(2)[jnp.array([[[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]])]
    >>> print(f"{skeleton_recall(100 * half, masks)[0]:.2f}")
    0.50
  """
  check_shapes(logits, masks, valid, activation)
  for name, value in (("iterations", iterations), ("radius", radius)):
    if value < 0:
      raise ValueError(f"{name}: must be >= 0, got {value}")
  p = foreground(probabilities(logits, activation), include_background)
  if skeletons is None:
    g = foreground(masks, include_background).astype(p.dtype)
    counts = None if valid is None else valid.astype(bool)[..., None]
    skeletons = soft_skeleton(g, iterations, valid)
    for _ in range(radius):
      skeletons = _dilate(skeletons, counts)
    skeletons = skeletons * g
  elif skeletons.shape != logits.shape:
    raise ValueError(f"skeletons: must have the shape {logits.shape}, got {skeletons.shape}")
  else:
    skeletons = foreground(skeletons, include_background).astype(p.dtype)
  found = class_sum(skeletons * p, valid)
  return 1 - ratio(found, class_sum(skeletons, valid), smooth).mean(axis=-1)


def soft_skeleton(regions: jax.Array, iterations: int, valid: jax.Array | None = None) -> jax.Array:
  """Returns the skeleton of soft regions: the pixels of each erosion that an opening removes.

  Args:
    regions: [B, ..., C], in [0, 1].
    iterations: the number of erosions.
    valid: [B, ...], whether a pixel counts; the others are treated like pixels beyond the border.
      None: all count.

  Returns:
    [B, ..., C], in [0, 1].

  Example:
    >>> import jax.numpy as jnp
    >>> thick = jnp.pad(jnp.ones([3, 4]), 1)
    >>> soft_skeleton(thick[None, ..., None], 2)[0, ..., 0].astype(int).tolist()[2]
    [0, 0, 1, 1, 0, 0]
  """
  counts = None if valid is None else valid.astype(bool)[..., None]
  return _skeleton(regions, counts, iterations)


@functools.partial(jax.jit, static_argnums=2)  # so that a call outside of jit is fast
def _skeleton(regions: jax.Array, counts: jax.Array | None, iterations: int) -> jax.Array:
  def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
    regions, skeleton = carry
    eroded = _erode(regions, counts)
    lost = jax.nn.relu(regions - _dilate(eroded, counts))
    return (eroded, skeleton + jax.nn.relu(lost - skeleton * lost)), None

  (_, skeleton), _ = jax.lax.scan(step, (regions, jnp.zeros_like(regions)), length=iterations + 1)
  return skeleton


def _erode(x: jax.Array, counts: jax.Array | None) -> jax.Array:
  """Returns the minimum over a pixel and two neighbours per axis; beyond the border is 1."""
  x = x if counts is None else jnp.where(counts, x, 1)
  smallest = x
  for axis in range(1, x.ndim - 1):
    before, after = _beside(x, axis, 1.0)
    smallest = jnp.minimum(smallest, jnp.minimum(before, after))
  return smallest


def _dilate(x: jax.Array, counts: jax.Array | None) -> jax.Array:
  """Returns the maximum over 3 pixels along each axis; pixels beyond the border are 0."""
  x = x if counts is None else jnp.where(counts, x, 0)
  for axis in range(1, x.ndim - 1):
    before, after = _beside(x, axis, 0.0)
    x = jnp.maximum(x, jnp.maximum(before, after))
  return x


def _beside(x: jax.Array, axis: int, border: float) -> tuple[jax.Array, jax.Array]:
  """Returns the values before and after each pixel along an axis."""
  pad = [(0, 0)] * x.ndim
  pad[axis] = (1, 1)
  padded = jnp.pad(x, pad, constant_values=border)
  size = x.shape[axis]
  before, after = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in (0, 2))
  return before, after
