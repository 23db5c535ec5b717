"""Cross-entropies with class weights from the sizes of the classes, or from their losses.

Where no counts are given, the weights come from the mask of each image, at every step. They are
constants of the derivative.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mlseg.losses.cross_entropy import of_classes, per_class
from mlseg.losses.probabilities import check_shapes, log_probabilities
from mlseg.losses.reduction import class_sum, divisor, pixel_mean


def dynamic_weighted_cross_entropy(
  logits: jax.Array, masks: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
  """Returns the cross-entropy, weighted by the inverse size of each class: sum w l / sum w.

  l_i is the cross-entropy of pixel i, and w_i = N / N_c for its true class c, of which the image
  has N_c pixels. So every class in the image counts the same, however small it is.

  Source: the dynamic weighted cross-entropy (DWCE) of Lu et al., Dynamic weighted cross entropy for
    semantic segmentation with extremely imbalanced data, AIAM 2019, as described by those who cite
    it: weights from the inverse class frequencies of the images. The paper itself was not
    available.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats.

  Raises:
    ValueError: where the shapes do not fit together.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 0, 1]]])]
    >>> right_about_0 = jnp.array([10.0, -10.0]) * jnp.ones([1, 1, 4, 1])
    >>> print(f"{dynamic_weighted_cross_entropy(right_about_0, masks)[0]:.4f}")
    10.0000
  """
  check_shapes(logits, masks, valid)
  means, present = _losses_by_class(logits, masks, valid)
  return means.sum(axis=-1) / jnp.maximum(present.sum(axis=-1), 1).astype(means.dtype)


def dynamically_weighted_balanced(
  logits: jax.Array,
  masks: jax.Array,
  *,
  class_counts: Sequence[float] = (),
  regularization: float = 1.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the DWB loss: (1/N) sum_i sum_c (-w_c^(1-p_ic) g_ic log p_ic + r p_ic (1 - p_ic)).

  w_c = log(max_j n_j / n_c) + 1, so that rare classes have larger weights, above all for pixels
  that are predicted badly. The second term, a part of the Brier score, calibrates the confidence.

  Source: Fernando & Tsokos, Dynamically weighted balanced loss: class imbalanced learning and
    confidence calibration of deep neural networks, IEEE TNNLS 33 (2022).
  Differs: the formula is printed without brackets; here the second term has the sign of a penalty,
    with which the loss is bounded and 0 for a perfect prediction.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    class_counts: n, the size of each class in the training set; (): that in each image, at least 1.
    regularization: r, the factor of the second term.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats per pixel where r = 0.

  Raises:
    ValueError: where the shapes do not fit together, there are not C positive counts, or
      regularization is negative or not finite.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{dynamically_weighted_balanced(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    1.1931
  """
  check_shapes(logits, masks, valid)
  if not 0 <= regularization < math.inf:
    raise ValueError(f"regularization: must be finite and >= 0, got {regularization}")
  log_p = log_probabilities(logits)
  p, g = jnp.exp(log_p), masks.astype(log_p.dtype)
  if len(class_counts):
    counts = of_classes(per_class("class_counts", class_counts, logits.shape[-1]), p)
    if not all(count > 0 for count in class_counts):
      raise ValueError(f"class_counts: must be > 0, got {class_counts}")
  else:
    sizes = jnp.maximum(class_sum(g, valid), 1)
    counts = jnp.expand_dims(sizes, tuple(range(1, g.ndim - 1)))
  weights = jnp.log(counts.max(axis=-1, keepdims=True) / counts) + 1
  terms = -(weights ** (1 - p)) * g * log_p + regularization * p * (1 - p)
  return pixel_mean(terms.sum(axis=-1), valid)


def ordered_weighted_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  alpha: float = 0.5,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns an ordered average of the mean cross-entropies of classes: sum_k w_k L_(k).

  L_(1) >= L_(2) >= ... are the mean losses of the m classes in an image, in falling order. The
  weights w_k = (k/m)^alpha - ((k-1)/m)^alpha make it an ordered weighted average (OWA) with the
  basic quantifier r^alpha: with alpha = 1 it is the plain mean over classes, and towards 0 only the
  worst class counts.

  Source: after Maldonado et al., OWAdapt: an adaptive loss function for deep learning using OWA
    operators, Knowledge-Based Systems 280 (2023); quantifiers of Yager, 1988. Here it has only the
    basic quantifier, and the classes are sorted for each image and step.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    alpha: exponent of the quantifier, in (0, 1].
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats.

  Raises:
    ValueError: where the shapes do not fit together, or alpha is not in (0, 1].

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 0, 1]]])]
    >>> right_about_0 = jnp.array([10.0, -10.0]) * jnp.ones([1, 1, 4, 1])
    >>> print(f"{ordered_weighted_cross_entropy(right_about_0, masks)[0]:.4f}")  # 20 sqrt(1/2)
    14.1421
  """
  check_shapes(logits, masks, valid)
  if not 0 < alpha <= 1:
    raise ValueError(f"alpha: must be in (0, 1], got {alpha}")
  means, present = _losses_by_class(logits, masks, valid)
  means = -jnp.sort(-jnp.where(present, means, -1))  # losses are not negative: absent classes last
  count = present.sum(axis=-1, keepdims=True).astype(means.dtype)
  size = jnp.maximum(count, 1)
  rank = of_classes(jnp.arange(1, means.shape[-1] + 1), means)
  weights = (rank / size) ** alpha - ((rank - 1) / size) ** alpha
  return jnp.where(rank <= count, weights * means, 0).sum(axis=-1)


def _losses_by_class(logits, masks, valid) -> tuple[jax.Array, jax.Array]:
  """Returns the mean cross-entropy over the pixels of each class, and whether there are any."""
  log_p = log_probabilities(logits)
  g = masks.astype(log_p.dtype)
  sizes = class_sum(g, valid)
  return class_sum(-g * log_p, valid) / divisor(sizes), sizes > 0
