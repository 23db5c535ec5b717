"""Overlap losses that are made of metrics: of soft labels, and of all four counts."""

import math

import jax
import jax.numpy as jnp

from mlseg.losses.overlap_counts import SoftCounts, dice_ratio, ratio
from mlseg.losses.probabilities import Activation, check_shapes, foreground, probabilities
from mlseg.losses.reduction import class_sum, divisor, pixel_count


def jaccard_metric(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Jaccard metric loss (JML): 1 - (1/C) sum_c (P + G - D)_c / (P + G + D)_c.

  P = sum_i p_ic, G = sum_i g_ic and D = sum_i |p_ic - g_ic|. With hard labels it is `soft_iou`;
  with soft ones, such as smoothed or averaged labels, it is 0 where p = g, which `soft_iou` is not.

  Source: Wang et al., Jaccard metric losses: optimizing the Jaccard index with soft labels, NeurIPS
    2023, the first of the two.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels in [0, 1].
    smooth: pixels added to numerator and denominator, after both are halved.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, smooth is not positive, or an option is
      unknown.

  Example:
    >>> masks = jnp.full([1, 2, 2, 2], 0.5)
    >>> print(f"{jaccard_metric(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.0000
  """
  counts = _metric_counts(logits, masks, valid, activation, include_background)
  union = counts.predicted + counts.true - counts.overlap
  return 1 - ratio(counts.overlap, union, smooth).mean(axis=-1)


def dice_semimetric(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Dice semimetric loss (DML): 1 - (1/C) sum_c (P + G - D)_c / (P + G)_c.

  P, G and D are as in `jaccard_metric`. With hard labels it is `soft_dice`; with soft ones it is 0
  where p = g.

  Source: Wang et al., Dice semimetric losses: optimizing the Dice score with soft labels, MICCAI
    2023, the first of the two.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels in [0, 1].
    smooth: pixels added to numerator and denominator.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, smooth is not positive, or an option is
      unknown.

  Example:
    >>> masks = jnp.full([1, 2, 2, 2], 0.5)
    >>> print(f"{dice_semimetric(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.0000
  """
  counts = _metric_counts(logits, masks, valid, activation, include_background)
  return 1 - dice_ratio(counts, smooth).mean(axis=-1)


def matthews(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the mean Matthews correlation coefficient of the classes.

    1 - (1/C) sum_c (TP TN - FP FN)_c / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN))_c

  with soft counts. True negatives count too, unlike in Dice and IoU. A class without pixels, or
  with all of them, has no correlation, and the loss 1 with gradient 0; where no pixel is wrong, it
  is 0.

  Source: Abhishek & Hamarneh, Matthews correlation coefficient loss for deep convolutional
    networks: application to skin lesion segmentation, ISBI 2021.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    smooth: pixels, the least value of the root divided by the number of pixels.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 2].

  Raises:
    ValueError: where the shapes do not fit together, smooth is not positive, or an option is
      unknown.

  Example:
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 1, 1]]])]
    >>> for logits in (100 * masks, 0 * masks, -100 * masks):
    ...   print(f"{matthews(logits, masks)[0]:.4f}")
    0.0000
    1.0000
    2.0000
  """
  check_shapes(logits, masks, valid, activation)
  if not 0 < smooth < math.inf:
    raise ValueError(f"smooth: must be finite and > 0, got {smooth}")
  p = foreground(probabilities(logits, activation), include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  total = divisor(pixel_count(p, valid, num_axes=p.ndim - 2))[:, None]
  # Of the four counts as they are, so that a class without pixels has the covariance 0 exactly.
  tp, fp, fn, tn = (
    class_sum(x * y, valid) for x, y in ((p, g), (p, 1 - g), (1 - p, g), (1 - p, 1 - g))
  )
  # Divided by the number of pixels, so that no product of four counts is infinite in float32.
  covariance = tp / total * tn - fp / total * fn
  of_p, of_g = (tp + fp) / total * (tn + fn), (tp + fn) / total * (tn + fp)
  root = jnp.sqrt(of_p * of_g + smooth**2)
  wrong = class_sum(jnp.abs(p - g), valid)
  return jnp.where(wrong > 0, 1 - covariance / root, 0).mean(axis=-1)


def _metric_counts(logits, masks, valid, activation, include_background) -> SoftCounts:
  """Returns soft counts whose overlap is (P + G - D) / 2, a sum of minima."""
  check_shapes(logits, masks, valid, activation)
  p = foreground(probabilities(logits, activation), include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  return SoftCounts(*(class_sum(x, valid) for x in (jnp.minimum(p, g), p, g)))
