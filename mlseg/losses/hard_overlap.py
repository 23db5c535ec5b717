"""Overlap losses of the most likely classes (argmax), whose gradient is 0, as in a published demo.

Beside a loss with a gradient, such as the cross-entropy, they can only change the weights. They are
here to reproduce the demo; to train with Dice or IoU, use `soft_dice` and `soft_iou`.
"""

import jax
import jax.numpy as jnp

from mlseg.losses.overlap_counts import SoftCounts, dice_ratio, ratio
from mlseg.losses.probabilities import check_shapes, foreground
from mlseg.losses.reduction import class_sum


def hard_dice(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the mean Dice of the most likely classes; its gradient is zero.

  1 - (1/C) sum_c 2 TP_c / (2 TP_c + FP_c + FN_c), where a pixel counts for the class of its
  largest logit.

  Source: Golnari & Diba 2026, eq. 18, with counts as in the authors' demo.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    smooth: pixels added to numerator and denominator.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, or smooth is not positive.

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{hard_dice(masks, masks)[0]:.4f} {hard_dice(1 - masks, masks)[0]:.4f}")
    0.0000 1.0000
  """
  counts = _counts(logits, masks, valid, include_background)
  return 1 - dice_ratio(counts, smooth).mean(axis=-1)


def hard_iou(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the mean IoU of the most likely classes; its gradient is zero.

  1 - (1/C) sum_c TP_c / (TP_c + FP_c + FN_c), where a pixel counts for the class of its largest
  logit.

  Source: Golnari & Diba 2026, eq. 17, with counts as in the authors' demo.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    smooth: pixels added to numerator and denominator.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, or smooth is not positive.

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{hard_iou(masks, masks)[0]:.4f} {hard_iou(1 - masks, masks)[0]:.4f}")
    0.0000 1.0000
  """
  counts = _counts(logits, masks, valid, include_background)
  union = counts.predicted + counts.true - counts.overlap
  return 1 - ratio(counts.overlap, union, smooth).mean(axis=-1)


def _counts(
  logits: jax.Array, masks: jax.Array, valid: jax.Array | None, include_background: bool
) -> SoftCounts:
  check_shapes(logits, masks, valid, "softmax")
  dtype = jnp.promote_types(logits.dtype, jnp.float32)
  classes = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=dtype)
  p = foreground(classes, include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  return SoftCounts(class_sum(p * g, valid), class_sum(p, valid), class_sum(g, valid))
