"""Cross-entropies with another penalty of hard pixels: the worst ones, or wrong labels.

Masks may be soft labels: shares of the classes that sum to 1. A pixel without a class has loss 0.
"""

import math

import jax
import jax.numpy as jnp

from mlseg.losses.probabilities import check_shapes, log_probabilities, probabilities
from mlseg.losses.reduction import divisor, pixel_mean, pixel_weights


def top_k_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  share: float = 0.1,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the mean cross-entropy of the worst pixels: (1/K) sum_(i <= K) l_(i), K = share N.

  l_(1) >= l_(2) >= ... are the cross-entropies of the pixels in falling order. Where K is not an
  integer, the last pixel counts in part, so that no pixel is needed to reach the share.

  Source: Wu, Shen & van den Hengel, Bridging category-level and instance-level semantic image
    segmentation, arXiv 1605.06885 (2016), as in nnU-Net (share 0.1), there over a batch.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels.
    share: of the pixels of an image, in (0, 1]; 1 gives the cross-entropy.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not fit together, or share is not in (0, 1].

  Example:
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 0, 1]]])]
    >>> right_about_0 = jnp.array([10.0, -10.0]) * jnp.ones([1, 1, 4, 1])
    >>> print(f"{top_k_cross_entropy(right_about_0, masks, share=0.5)[0]:.4f}")
    10.0000
  """
  check_shapes(logits, masks, valid)
  if not 0 < share <= 1:
    raise ValueError(f"share: must be in (0, 1], got {share}")
  log_p = log_probabilities(logits)
  values = -(masks.astype(log_p.dtype) * log_p).sum(axis=-1)
  weights = jnp.ones_like(values) if valid is None else pixel_weights(valid, values.dtype)
  values, weights = (array.reshape(len(array), -1) for array in (values, weights))
  order = jnp.argsort(jnp.where(weights > 0, -jax.lax.stop_gradient(values), jnp.inf), axis=-1)
  values, weights = (jnp.take_along_axis(array, order, axis=-1) for array in (values, weights))
  up_to = jnp.cumsum(weights, axis=-1)
  wanted = share * up_to[:, -1:]
  counted = jnp.clip(wanted - (up_to - weights), 0, weights)
  return jnp.where(counted > 0, counted * values, 0).sum(axis=-1) / divisor(counted.sum(axis=-1))


def poly_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  epsilon: float = 1.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Poly-1 loss: (1/N) sum_i sum_c g_ic (-log p_ic + epsilon (1 - p_ic)).

  Of the series -log p = sum_j (1 - p)^j / j, it changes the first coefficient by epsilon.

  Source: Leng et al., PolyLoss: a polynomial expansion perspective of classification loss
    functions, ICLR 2022, Poly-1.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels.
    epsilon: what is added to the first coefficient, at least -1; 0 gives the cross-entropy.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B].

  Raises:
    ValueError: where the shapes do not fit together, or epsilon is below -1 or not finite.

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{poly_cross_entropy(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")  # log 2 + 1/2
    1.1931
  """
  check_shapes(logits, masks, valid)
  if not -1 <= epsilon < math.inf:
    raise ValueError(f"epsilon: must be finite and >= -1, got {epsilon}")
  log_p = log_probabilities(logits)
  terms = epsilon * (1 - jnp.exp(log_p)) - log_p
  return pixel_mean((masks.astype(log_p.dtype) * terms).sum(axis=-1), valid)


def generalized_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  q: float = 0.7,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the generalized cross-entropy: (1/N) sum_i sum_c g_ic (1 - p_ic^q) / q.

  It lies between the cross-entropy (q to 0) and the mean absolute error (q = 1), which wrong labels
  disturb less because it is bounded.

  Source: Zhang & Sabuncu, Generalized cross entropy loss for training deep neural networks with
    noisy labels, NeurIPS 2018, the L_q loss with its default q = 0.7, not truncated.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels.
    q: the exponent, in (0, 1].
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1/q].

  Raises:
    ValueError: where the shapes do not fit together, or q is not in (0, 1].

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{generalized_cross_entropy(jnp.zeros([1, 2, 2, 2]), masks, q=1.0)[0]:.4f}")
    0.5000
  """
  check_shapes(logits, masks, valid)
  if not 0 < q <= 1:
    raise ValueError(f"q: must be in (0, 1], got {q}")
  log_p = log_probabilities(logits)
  terms = masks.astype(log_p.dtype) * -jnp.expm1(q * log_p) / q
  return pixel_mean(terms.sum(axis=-1), valid)


def symmetric_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  alpha: float = 0.1,
  beta: float = 1.0,
  log_of_zero: float = -4.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the symmetric cross-entropy: -(1/N) sum_i sum_c (alpha g log p + beta p log g)_ic.

  The second, reverse cross-entropy takes log_of_zero for log 0, and is bounded, so that wrong
  labels disturb it less.

  Source: Wang et al., Symmetric cross entropy for robust learning with noisy labels, ICCV 2019,
    with its log 0 = -4, and alpha and beta of its experiments on CIFAR-10.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot, or soft labels.
    alpha: the weight of the cross-entropy.
    beta: the weight of the reverse cross-entropy.
    log_of_zero: log 0, and the least logarithm of a soft label; negative.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B].

  Raises:
    ValueError: where the shapes do not fit together, alpha or beta is negative or not finite, or
      log_of_zero is not negative and finite.

  Example:
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{symmetric_cross_entropy(jnp.zeros([1, 2, 2, 2]), masks, alpha=0.0)[0]:.4f}")
    2.0000
  """
  check_shapes(logits, masks, valid)
  for name, value in (("alpha", alpha), ("beta", beta)):
    if not 0 <= value < math.inf:
      raise ValueError(f"{name}: must be finite and >= 0, got {value}")
  if not -math.inf < log_of_zero < 0:
    raise ValueError(f"log_of_zero: must be finite and < 0, got {log_of_zero}")
  log_p, p = log_probabilities(logits), probabilities(logits)
  g = masks.astype(log_p.dtype)
  log_g = jnp.where(g > 0, jnp.log(divisor(g)), log_of_zero)
  reverse = p * jnp.maximum(log_g, log_of_zero) * g.sum(axis=-1, keepdims=True)
  return pixel_mean(-(alpha * g * log_p + beta * reverse).sum(axis=-1), valid)
