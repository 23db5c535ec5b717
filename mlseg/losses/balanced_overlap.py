"""Overlap losses in which small classes have larger weights."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.losses.overlap_counts import dice_ratio, ratio, soft_counts
from mlseg.losses.probabilities import Activation
from mlseg.losses.reduction import divisor


def class_balanced_dice(
  logits: jax.Array,
  masks: jax.Array,
  *,
  class_weights: Literal["paper", "inverse"] = "paper",
  smooth: float = 1e-5,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns one minus the class-balanced Dice: 1 - sum_c w_c Dice_c, with larger w_c if c is small.

  Let r_c = N_c / N be the share of an image that class c covers. The weights w_c sum to 1, and are
  proportional to 1 - r_c ('paper') or to 1 / (r_c + 1e-6) ('inverse', as in the authors' demo).

  Source: Golnari & Diba 2026, eqs. 21-25, with soft counts; r_c comes from the mask of each image.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    class_weights: 'paper' or 'inverse'.
    smooth: pixels added to numerator and denominator.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, class_weights is unknown, or smooth is not
      positive.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{class_balanced_dice(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    1.0000
  """
  if class_weights not in ("paper", "inverse"):
    raise ValueError(f"class_weights: choose from inverse, paper; got {class_weights!r}")
  counts = soft_counts(logits, masks, valid)
  num_pixels = counts.true.sum(axis=-1, keepdims=True)
  part = counts.true / divisor(num_pixels)
  weights = 1 - part if class_weights == "paper" else 1 / (part + 1e-6)
  weights = weights / weights.sum(axis=-1, keepdims=True)
  return 1 - (weights * dice_ratio(counts, smooth)).sum(axis=-1)


def generalized_dice(
  logits: jax.Array,
  masks: jax.Array,
  *,
  class_weights: Literal["square", "simple", "uniform"] = "square",
  smooth: float = 1e-5,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the generalized Dice loss: 1 - 2 sum_c w_c TP_c / sum_c w_c (2 TP_c + FP_c + FN_c).

  w_c is 1 / N_c^2 ('square'), 1 / N_c ('simple') or 1 ('uniform'), with N_c the number of true
  pixels of class c in the image. A class without any gets the largest weight of the others, as in
  NiftyNet and MONAI. Where no class has a pixel, which can be so with 'sigmoid', all weights are 1.

  Source: Sudre et al., Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations, DLMIA 2017, eq. of GDL_v; 'simple' and 'uniform' as in MONAI.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    class_weights: 'square', 'simple' or 'uniform'.
    smooth: added to numerator and denominator, in pixels of the class with the largest weight.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 counts.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, smooth is not positive, or an option is
      unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{generalized_dice(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.5000
  """
  if class_weights not in ("square", "simple", "uniform"):
    choices = "simple, square, uniform"
    raise ValueError(f"class_weights: choose from {choices}; got {class_weights!r}")
  counts = soft_counts(logits, masks, valid, activation, include_background)
  size = jnp.maximum(divisor(counts.true), 1e-9)  # its square is not 0 for the least weights
  weights = {"square": 1 / size**2, "simple": 1 / size, "uniform": jnp.ones_like(size)}[
    class_weights
  ]
  present = counts.true > 0
  largest = jnp.where(present, weights, 0).max(axis=-1, keepdims=True)
  weights = jnp.where(present, weights, jnp.where(present.any(-1, keepdims=True), largest, 1))
  weights = weights / weights.max(axis=-1, keepdims=True)  # so that smooth keeps its unit
  overlap = (weights * counts.overlap).sum(axis=-1)
  total = (weights * (counts.predicted + counts.true)).sum(axis=-1)
  return 1 - ratio(2 * overlap, total, smooth)
