"""Losses that make probabilities calibrated: neither too sure nor too unsure of a class."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.losses.cross_entropy import cross_entropy
from mlseg.losses.probabilities import (
  Activation,
  check_shapes,
  finite_logits,
  foreground,
  probabilities,
)
from mlseg.losses.reduction import divisor, pixel_mean, pixel_sum

_MAX_BINS = 1000


def margin_based_label_smoothing(
  logits: jax.Array,
  masks: jax.Array,
  *,
  margin: float = 10.0,
  penalty: float = 0.1,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the MbLS loss: cross-entropy + penalty (1/N) sum_i (1/C) sum_c relu(d_ic - margin).

  d_ic = max_j x_ij - x_ic are the distances of the logits from the largest one. Label smoothing
  draws all of them to 0; here those below the margin are free.

  Source: Liu et al., The devil is in the margin: margin-based label smoothing for network
    calibration, CVPR 2022, with the mean over classes of the authors' code and its defaults.

  Args:
    logits: [B, ..., C], x, any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels.
    margin: the distance up to which a logit is free, at least 0.
    penalty: the weight of the second term; 0 gives the cross-entropy.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B].

  Raises:
    ValueError: where the shapes do not fit together, or margin or penalty is negative or not
      finite.

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{margin_based_label_smoothing(30 * masks, masks)[0]:.4f}")  # 0.1 * 20 / 2
    1.0000
  """
  _check_not_negative(margin=margin, penalty=penalty)
  value = cross_entropy(logits, masks, valid=valid)
  x = finite_logits(logits)
  excess = jax.nn.relu(x.max(axis=-1, keepdims=True) - x - margin)
  return value + penalty * pixel_mean(excess.mean(axis=-1), valid)


def neighbor_aware_calibration(
  logits: jax.Array,
  masks: jax.Array,
  *,
  kernel_size: int = 3,
  distance: Literal["l1", "l2"] = "l1",
  penalty: float = 0.1,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the NACL loss: cross-entropy + penalty (1/N) sum_i (1/C) sum_c |t_ic - x_ic|.

  t_ic is the share of class c among the pixels around pixel i, itself included; pixels beyond the
  border, and those that do not count, have no class. With 'l2' the difference is squared.

  Source: Murugesan et al., Trust your neighbours: penalty-based constraints for model calibration,
    MICCAI 2023, with the mean over classes of MONAI.

  Args:
    logits: [B, ..., C], x, any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels.
    kernel_size: the side of the neighbourhood in pixels, an odd number of at most 99.
    distance: 'l1' or 'l2'.
    penalty: the weight of the second term; 0 gives the cross-entropy.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B].

  Raises:
    ValueError: where the shapes do not fit together, kernel_size is not odd or out of its range,
      there is no such distance, or penalty is negative or not finite.

  Example:
    >>> masks = jnp.eye(2)[jnp.zeros([1, 3, 3], int)]
    >>> value = neighbor_aware_calibration(jnp.zeros([1, 3, 3, 2]), masks, penalty=1.0)
    >>> print(f"{value[0]:.4f}")  # log 2 + (9 + 4 * 6 + 4 * 4) / 81 / 2
    0.9956
  """
  _check_not_negative(penalty=penalty)
  if kernel_size not in range(1, 100, 2):
    raise ValueError(f"kernel_size: must be an odd number in [1, 99], got {kernel_size}")
  if distance not in ("l1", "l2"):
    raise ValueError(f"distance: choose from l1, l2; got {distance!r}")
  value = cross_entropy(logits, masks, valid=valid)
  x = finite_logits(logits)
  g = masks.astype(x.dtype)
  if valid is not None:
    g = jnp.where(valid.astype(bool)[..., None], g, 0)
  window = (1, *[kernel_size] * (g.ndim - 2), 1)
  sums = jax.lax.reduce_window(g, np.zeros((), g.dtype), jax.lax.add, window, (1,) * g.ndim, "SAME")
  difference = x - sums / math.prod(window)
  if distance == "l1":
    terms = jnp.abs(difference)
  else:
    terms = jnp.clip(difference, -1e15, 1e15) ** 2  # that of the largest logits would be infinite
  return value + penalty * pixel_mean(terms.mean(axis=-1), valid)


def average_calibration_error(
  logits: jax.Array,
  masks: jax.Array,
  *,
  num_bins: int = 20,
  activation: Activation = "softmax",
  include_background: bool = True,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the L1-ACE: (1/C) sum_c (1/M_c) sum_m |mean of g - mean of p over the pixels in bin m|.

  The pixels of class c are in num_bins bins by their probabilities p, of equal width in [0, 1], of
  which M_c have pixels. In which bin a pixel is is a constant of the derivative. So a class is
  calibrated in an image where of the pixels of one probability, that share has the class. Combine
  the loss with one of overlap.

  Source: Barfoot et al., Average calibration error: a differentiable loss for improved reliability
    in image segmentation, MICCAI 2024, mL1-ACE.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    num_bins: the number of bins, in [1, 1000].
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, num_bins is out of its range, or an option is
      unknown.

  Example:
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 0, 1]]])]
    >>> calibrated = jnp.log(jnp.array([0.75, 0.25])) * jnp.ones([1, 1, 4, 1])
    >>> for logits in (calibrated, 0 * calibrated):
    ...   print(f"{average_calibration_error(logits, masks)[0]:.4f}")
    0.0000
    0.2500
  """
  check_shapes(logits, masks, valid, activation)
  if not 1 <= num_bins <= _MAX_BINS:
    raise ValueError(f"num_bins: must be in [1, {_MAX_BINS}], got {num_bins}")
  p = foreground(probabilities(logits, activation), include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  bins = jnp.clip(jnp.floor(jax.lax.stop_gradient(p) * num_bins), 0, num_bins - 1)
  all_bins = jnp.arange(num_bins, dtype=p.dtype).reshape((1,) * p.ndim + (-1,))
  inside = bins[..., None] == all_bins  # [B, ..., C, M], which no sum over pixels holds in memory
  num_axes = p.ndim - 2
  error, size = (
    pixel_sum(jnp.where(inside, values[..., None], 0), valid, num_axes=num_axes)
    for values in (g - p, jnp.ones_like(p))
  )
  filled = (size > 0).astype(p.dtype)
  return ((jnp.abs(error) / divisor(size)).sum(-1) / divisor(filled.sum(-1))).mean(axis=-1)


def _check_not_negative(**options: float) -> None:
  for name, value in options.items():
    if not 0 <= value < math.inf:
      raise ValueError(f"{name}: must be finite and >= 0, got {value}")
