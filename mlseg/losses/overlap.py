"""Losses on the overlap of soft regions: counts per image and class, then the ratio, then the mean.

A smoothing term in the numerator and the denominator (1e-5, as MONAI and nnU-Net have it) makes the
overlap of two empty regions 1, and keeps the gradient finite there.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.losses.probabilities import check_shapes, probabilities
from mlseg.losses.reduction import pixel_sum


class SoftCounts(NamedTuple):
  """Sums over the pixels of each image: what true and false positives and negatives follow from."""

  overlap: jax.Array  # [B, C], sum of p g: true positives
  predicted: jax.Array  # [B, C], sum of p: true and false positives
  true: jax.Array  # [B, C], sum of g: true positives and false negatives


def soft_iou(
  logits: jax.Array, masks: jax.Array, *, smooth: float = 1e-5, valid: jax.Array | None = None
) -> jax.Array:
  """Returns one minus the mean IoU: 1 - (1/C) sum_c TP_c / (TP_c + FP_c + FN_c).

  Source: Golnari & Diba 2026, eq. 17, with soft counts.

  Args:
    logits: [B, H, W, C], any floating dtype.
    masks: [B, H, W, C], one-hot.
    smooth: pixels added to numerator and denominator.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not belong together, or smooth is not positive.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{soft_iou(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.7500
  """
  counts = _count(logits, masks, valid)
  return 1 - _ratio(counts.overlap, counts.predicted + counts.true - counts.overlap, smooth).mean(
    axis=-1
  )


def soft_dice(
  logits: jax.Array, masks: jax.Array, *, smooth: float = 1e-5, valid: jax.Array | None = None
) -> jax.Array:
  """Returns one minus the mean Dice: 1 - (1/C) sum_c 2 TP_c / (2 TP_c + FP_c + FN_c).

  Source: Golnari & Diba 2026, eq. 18, with soft counts.

  Args:
    logits: [B, H, W, C], any floating dtype.
    masks: [B, H, W, C], one-hot.
    smooth: pixels added to numerator and denominator.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not belong together, or smooth is not positive.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{soft_dice(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.6667
  """
  return 1 - _dice(_count(logits, masks, valid), smooth).mean(axis=-1)


def tversky(
  logits: jax.Array,
  masks: jax.Array,
  *,
  alpha: float = 0.7,
  beta: float = 0.3,
  smooth: float = 1e-5,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Tversky loss: 1 - (1/C) sum_c TP_c / (TP_c + alpha FP_c + beta FN_c).

  Source: Golnari & Diba 2026, eq. 20; the defaults are those of the authors' demo.

  Args:
    logits: [B, H, W, C], any floating dtype.
    masks: [B, H, W, C], one-hot.
    alpha: the weight of false positives; alpha = beta = 1/2 gives the Dice loss.
    beta: the weight of false negatives; alpha = beta = 1 gives the IoU loss.
    smooth: pixels added to numerator and denominator.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not belong together, alpha or beta is negative or not finite, or
      smooth is not positive.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{tversky(jnp.zeros([1, 2, 2, 2]), masks, alpha=1.0, beta=1.0)[0]:.4f}")
    0.7500
  """
  for name, value in (("alpha", alpha), ("beta", beta)):
    if not 0 <= value < math.inf:
      raise ValueError(f"{name}: must be finite and >= 0, got {value}")
  counts = _count(logits, masks, valid)
  false_positives = counts.predicted - counts.overlap
  false_negatives = counts.true - counts.overlap
  denominator = counts.overlap + alpha * false_positives + beta * false_negatives
  return 1 - _ratio(counts.overlap, denominator, smooth).mean(axis=-1)


def class_balanced_dice(
  logits: jax.Array,
  masks: jax.Array,
  *,
  class_weights: Literal["paper", "inverse"] = "paper",
  smooth: float = 1e-5,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the class-balanced Dice: 1 - sum_c w_c Dice_c, small classes weighing more.

  With r_c = N_c / N the part of an image that class c covers, w_c is proportional to 1 - r_c
  ('paper') or to 1 / (r_c + 1e-6) ('inverse', the authors' demo), and sums to 1.

  Source: Golnari & Diba 2026, eqs. 21-25, with soft counts; r_c is taken from each image's mask.

  Args:
    logits: [B, H, W, C], any floating dtype.
    masks: [B, H, W, C], one-hot.
    class_weights: 'paper' or 'inverse'.
    smooth: pixels added to numerator and denominator.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not belong together, class_weights is unknown, or smooth is not
      positive.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{class_balanced_dice(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    1.0000
  """
  if class_weights not in ("paper", "inverse"):
    raise ValueError(f"class_weights: choose from inverse, paper; got {class_weights!r}")
  counts = _count(logits, masks, valid)
  num_pixels = counts.true.sum(axis=-1, keepdims=True)
  part = counts.true / jnp.maximum(num_pixels, 1)
  weights = 1 - part if class_weights == "paper" else 1 / (part + 1e-6)
  weights = weights / weights.sum(axis=-1, keepdims=True)
  return 1 - (weights * _dice(counts, smooth)).sum(axis=-1)


def _count(logits: jax.Array, masks: jax.Array, valid: jax.Array | None) -> SoftCounts:
  check_shapes(logits, masks, valid)
  p = probabilities(logits)
  g = masks.astype(p.dtype)
  return SoftCounts(pixel_sum(p * g, valid), pixel_sum(p, valid), pixel_sum(g, valid))


def _dice(counts: SoftCounts, smooth: float) -> jax.Array:
  return _ratio(2 * counts.overlap, counts.predicted + counts.true, smooth)


def _ratio(numerator: jax.Array, denominator: jax.Array, smooth: float) -> jax.Array:
  if not 0 < smooth < math.inf:
    raise ValueError(f"smooth: must be finite and > 0, got {smooth}")
  return (numerator + smooth) / (denominator + smooth)
