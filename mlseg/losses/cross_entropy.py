"""Losses that sum the logarithms of probabilities over pixels."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mlseg.losses.probabilities import check_shapes, log_probabilities
from mlseg.losses.reduction import pixel_mean


def cross_entropy(
  logits: jax.Array, masks: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
  """Returns the categorical cross-entropy: -(1/N) sum_i sum_c g_ic log p_ic.

  Source: Golnari & Diba 2026, eq. 16.

  Args:
    logits: [B, H, W, C], any floating dtype.
    masks: [B, H, W, C], one-hot.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not belong together.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{cross_entropy(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.6931
  """
  check_shapes(logits, masks, valid)
  log_p = log_probabilities(logits)
  return pixel_mean(-(masks.astype(log_p.dtype) * log_p).sum(axis=-1), valid)


def focal(
  logits: jax.Array,
  masks: jax.Array,
  *,
  gamma: float = 2.0,
  alpha: float | Sequence[float] = 0.25,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the focal loss: -(1/N) sum_i sum_c alpha_c g_ic (1 - p_ic)^gamma log p_ic.

  Source: Golnari & Diba 2026, eq. 19; the defaults are those of Lin et al. 2017.

  Args:
    logits: [B, H, W, C], any floating dtype.
    masks: [B, H, W, C], one-hot.
    gamma: how much easy pixels are discounted; 0 gives alpha times the cross-entropy.
    alpha: the weight of every class, or one weight per class.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not belong together, gamma or an alpha is negative or not
      finite, or the number of alphas is not C.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{focal(jnp.zeros([1, 2, 2, 2]), masks, alpha=(0.5, 1.0))[0]:.4f}")
    0.1733
  """
  check_shapes(logits, masks, valid)
  alphas = _alpha_per_class(alpha, logits.shape[-1])
  if not 0 <= gamma < math.inf:
    raise ValueError(f"gamma: must be finite and >= 0, got {gamma}")
  log_p = log_probabilities(logits)
  difficulty = _power(1 - jnp.exp(log_p), gamma)
  terms = masks.astype(log_p.dtype) * difficulty * log_p
  return pixel_mean(-(terms * jnp.asarray(alphas, log_p.dtype)).sum(axis=-1), valid)


def _alpha_per_class(alpha: float | Sequence[float], num_classes: int) -> list[float]:
  alphas = [alpha] * num_classes if isinstance(alpha, float | int) else list(alpha)
  if len(alphas) != num_classes:
    raise ValueError(f"alpha: must be one number or one per class ({num_classes}), got {alpha}")
  if not all(0 <= a < math.inf for a in alphas):
    raise ValueError(f"alpha: must be finite and >= 0, got {alpha}")
  return alphas


def _power(base: jax.Array, exponent: float) -> jax.Array:
  if float(exponent).is_integer():
    return base ** int(exponent)  # much cheaper than a general power, and differentiable at 0
  # The derivative of a fractional power is infinite at 0, where the loss itself is flat.
  return jnp.maximum(base, 1e-12) ** exponent
