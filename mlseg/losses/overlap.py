"""Losses of the overlap of soft regions: means over classes of ratios of soft counts per image.

A smoothing term in the numerator and the denominator (1e-5, as in MONAI and nnU-Net) makes the
overlap of two empty regions 1, and keeps the gradient finite there. With `activation='sigmoid'` the
channels are labels, of which a pixel can have several. With `include_background=False` class 0 is
left out.
"""

import math

import jax

from mlseg.losses.overlap_counts import dice_ratio, ratio, soft_counts
from mlseg.losses.probabilities import Activation, power


def soft_iou(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the mean IoU: 1 - (1/C) sum_c TP_c / (TP_c + FP_c + FN_c).

  Source: Golnari & Diba 2026, eq. 17, with soft counts.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
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
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{soft_iou(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.7500
  """
  counts = soft_counts(logits, masks, valid, activation, include_background)
  union = counts.predicted + counts.true - counts.overlap
  return 1 - ratio(counts.overlap, union, smooth).mean(axis=-1)


def soft_dice(
  logits: jax.Array,
  masks: jax.Array,
  *,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the mean Dice: 1 - (1/C) sum_c 2 TP_c / (2 TP_c + FP_c + FN_c).

  Source: Golnari & Diba 2026, eq. 18, with soft counts.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
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
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{soft_dice(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.6667
  """
  counts = soft_counts(logits, masks, valid, activation, include_background)
  return 1 - dice_ratio(counts, smooth).mean(axis=-1)


def tversky(
  logits: jax.Array,
  masks: jax.Array,
  *,
  alpha: float = 0.7,
  beta: float = 0.3,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Tversky loss: 1 - (1/C) sum_c TP_c / (TP_c + alpha FP_c + beta FN_c).

  Source: Golnari & Diba 2026, eq. 20; the defaults are those of the authors' demo.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    alpha: the weight of false positives; alpha = beta = 1/2 gives the Dice loss.
    beta: the weight of false negatives; alpha = beta = 1 gives the IoU loss.
    smooth: pixels added to numerator and denominator.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, alpha or beta is negative or not finite,
      smooth is not positive, or an option is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{tversky(jnp.zeros([1, 2, 2, 2]), masks, alpha=1.0, beta=1.0)[0]:.4f}")
    0.7500
  """
  index = _tversky_index(logits, masks, alpha, beta, smooth, activation, include_background, valid)
  return 1 - index.mean(axis=-1)


def focal_tversky(
  logits: jax.Array,
  masks: jax.Array,
  *,
  alpha: float = 0.3,
  beta: float = 0.7,
  gamma: float = 4 / 3,
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the focal Tversky loss: (1/C) sum_c (1 - TI_c)^(1/gamma), TI_c as in `tversky`.

  A gamma above 1 raises the share of classes that are almost right, such as small lesions.

  Source: Abraham & Khan, A novel focal Tversky loss function with improved attention U-Net for
    lesion segmentation, ISBI 2019, with their defaults. Their alpha is the weight of false
    negatives; here it is that of false positives, as in `tversky`. Their sum over classes is a mean
    here.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    alpha: the weight of false positives.
    beta: the weight of false negatives.
    gamma: the exponent is 1 / gamma; 1 gives the Tversky loss.
    smooth: pixels added to numerator and denominator.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, alpha or beta is negative or not finite,
      gamma or smooth is not positive, or an option is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{focal_tversky(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.7570
  """
  if not 0 < gamma < math.inf:
    raise ValueError(f"gamma: must be finite and > 0, got {gamma}")
  index = _tversky_index(logits, masks, alpha, beta, smooth, activation, include_background, valid)
  return power(1 - index, 1 / gamma).mean(axis=-1)


def _tversky_index(
  logits, masks, alpha, beta, smooth, activation, include_background, valid
) -> jax.Array:
  """Returns the Tversky index [B, C]."""
  for name, value in (("alpha", alpha), ("beta", beta)):
    if not 0 <= value < math.inf:
      raise ValueError(f"{name}: must be finite and >= 0, got {value}")
  counts = soft_counts(logits, masks, valid, activation, include_background)
  false_positives = counts.predicted - counts.overlap
  false_negatives = counts.true - counts.overlap
  denominator = counts.overlap + alpha * false_positives + beta * false_negatives
  return ratio(counts.overlap, denominator, smooth)
