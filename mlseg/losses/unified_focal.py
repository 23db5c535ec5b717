"""The unified focal loss: focal cross-entropy and focal Tversky loss under the same options."""

import jax
import jax.numpy as jnp

from mlseg.losses.cross_entropy import of_classes
from mlseg.losses.overlap_counts import ratio, soft_counts
from mlseg.losses.probabilities import log_probabilities, power
from mlseg.losses.reduction import pixel_mean


def unified_focal(
  logits: jax.Array,
  masks: jax.Array,
  *,
  weight: float = 0.5,
  delta: float = 0.6,
  gamma: float = 0.5,
  asymmetric: bool = True,
  smooth: float = 1e-5,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the unified focal loss: weight * F + (1 - weight) * T.

    F = -(1/N) sum_i sum_c a_c g_ic (1 - p_ic)^gamma log p_ic
    T = (1/C) sum_c (1 - TI_c)^(1 - gamma),  TI = TP / (TP + delta FN + (1 - delta) FP)

  a_c is delta for the classes of the foreground, which are taken for rare, and 1 - delta for class
  0. If it is asymmetric, gamma is 0 in F for the foreground, which is not to be suppressed, and in
  T for class 0, which is not to be enhanced.

  Source: Yeung et al., Unified focal loss: generalising Dice and cross entropy-based losses to
    handle class imbalanced medical image segmentation, Computerized Medical Imaging and Graphics 95
    (2022), with the defaults of the authors' code; here with any number of classes.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    weight: of F, in [0, 1].
    delta: the weight of missed foreground, in [0, 1].
    gamma: how much easy pixels are discounted, and classes that are almost right enhanced, in
      [0, 1).
    asymmetric: whether class 0 and the foreground are treated differently.
    smooth: pixels added to numerator and denominator of TI.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], not negative.

  Raises:
    ValueError: where the shapes do not fit together, weight, delta or gamma is out of its range, or
      smooth is not positive.

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{unified_focal(jnp.zeros([1, 2, 2, 2]), masks, weight=1.0)[0]:.4f}")  # 0.6 log 2
    0.4159
  """
  for name, value in (("weight", weight), ("delta", delta)):
    if not 0 <= value <= 1:
      raise ValueError(f"{name}: must be in [0, 1], got {value}")
  if not 0 <= gamma < 1:
    raise ValueError(f"gamma: must be in [0, 1), got {gamma}")
  counts = soft_counts(logits, masks, valid)
  missed, added = counts.true - counts.overlap, counts.predicted - counts.overlap
  index = ratio(counts.overlap, counts.overlap + delta * missed + (1 - delta) * added, smooth)
  of_region = power(1 - index, 1 - gamma)
  log_p = log_probabilities(logits)
  easy = power(1 - jnp.exp(log_p), gamma)
  if asymmetric:
    of_region = jnp.concatenate([1 - index[..., :1], of_region[..., 1:]], axis=-1)
    easy = jnp.concatenate([easy[..., :1], jnp.ones_like(easy[..., 1:])], axis=-1)
  alphas = of_classes([1 - delta] + [delta] * (logits.shape[-1] - 1), log_p)
  of_pixels = -(alphas * masks.astype(log_p.dtype) * easy * log_p).sum(axis=-1)
  return weight * pixel_mean(of_pixels, valid) + (1 - weight) * of_region.mean(axis=-1)
