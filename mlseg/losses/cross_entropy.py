"""Cross-entropies: losses that average logarithms of probabilities over pixels."""

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.losses.probabilities import check_shapes, finite_logits, log_probabilities, power
from mlseg.losses.reduction import pixel_mean

_LABEL_REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum}


def cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  label_smoothing: float = 0.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the categorical cross-entropy: -(1/N) sum_i sum_c g_ic log p_ic.

  With label_smoothing = e, g_ic is replaced by (1 - e) g_ic + e / C, so that the least loss is
  reached at probabilities within (0, 1). A pixel without a class keeps none.

  Source: Golnari & Diba 2026, eq. 16; label smoothing: Szegedy et al., Rethinking the Inception
    architecture for computer vision, CVPR 2016, section 7.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    label_smoothing: share e of a label that is spread over all of them, in [0, 1); 0: none.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not fit together, or label_smoothing is not in [0, 1).

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{cross_entropy(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.6931
  """
  check_shapes(logits, masks, valid)
  _check_smoothing(label_smoothing)
  log_p = log_probabilities(logits)
  g = masks.astype(log_p.dtype)
  if label_smoothing:
    g = (1 - label_smoothing) * g + label_smoothing * g.mean(axis=-1, keepdims=True)
  return pixel_mean(-(g * log_p).sum(axis=-1), valid)


def _check_smoothing(value: float) -> None:
  if not 0 <= value < 1:
    raise ValueError(f"label_smoothing: must be in [0, 1), got {value}")


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
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    gamma: how much easy pixels are discounted; 0 gives alpha times the cross-entropy.
    alpha: the weight of every class, or one weight per class.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not fit together, gamma or an alpha is negative or not
      finite, or the number of alphas is not C.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{focal(jnp.zeros([1, 2, 2, 2]), masks, alpha=(0.5, 1.0))[0]:.4f}")
    0.1733
  """
  check_shapes(logits, masks, valid)
  alphas = per_class("alpha", alpha, logits.shape[-1])
  if not 0 <= gamma < math.inf:
    raise ValueError(f"gamma: must be finite and >= 0, got {gamma}")
  log_p = log_probabilities(logits)
  difficulty = power(1 - jnp.exp(log_p), gamma)
  terms = masks.astype(log_p.dtype) * difficulty * log_p
  return pixel_mean(-(terms * of_classes(alphas, log_p)).sum(axis=-1), valid)


def binary_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  positive_weight: float | Sequence[float] = 1.0,
  label_reduction: Literal["mean", "sum"] = "mean",
  label_smoothing: float = 0.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the mean over labels of -(1/N) sum_i (w g_i log s_i + (1 - g_i) log(1 - s_i)).

  s is the sigmoid of a label's logit. With one channel this is the binary cross-entropy; with
  several it is the multi-label one, where a pixel can have any number of labels. With
  label_reduction='sum' it is the sum over labels, which does not shrink beside other losses as
  labels are added; `topology` and `geometry` are sums over labels too. With label_smoothing = e,
  g_i is replaced by (1 - e) g_i + e / 2, as in Keras and `optax.smooth_labels` of two classes.

  Source: BenTaieb & Hamarneh 2017, eq. 6 without its uncertainty, with label_reduction='sum'.

  Args:
    logits: [B, ..., C], any floating dtype; C >= 1.
    masks: [B, ..., C], zeros and ones.
    positive_weight: w, the weight of pixels that have the label, one number or one per label.
    label_reduction: 'mean' or 'sum', over the labels of a pixel.
    label_smoothing: share e of a label that is spread over all of them, in [0, 1); 0: none.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats per pixel and label, or per pixel with 'sum'.

  Raises:
    ValueError: where the shapes do not fit together, a weight is negative or not finite, the number
      of weights is not C, there is no such reduction, or label_smoothing is not in [0, 1).

  Example:
    >>> import jax.numpy as jnp
    >>> print(f"{binary_cross_entropy(jnp.zeros([1, 2, 2, 1]), jnp.ones([1, 2, 2, 1]))[0]:.4f}")
    0.6931
  """
  if label_reduction not in _LABEL_REDUCTIONS:
    choices = ", ".join(_LABEL_REDUCTIONS)
    raise ValueError(f"label_reduction: choose from {choices}; got {label_reduction!r}")
  _check_smoothing(label_smoothing)
  check_shapes(logits, masks, valid, "sigmoid")
  weights = per_class("positive_weight", positive_weight, logits.shape[-1])
  x = finite_logits(logits)
  g = masks.astype(x.dtype)
  if label_smoothing:
    g = (1 - label_smoothing) * g + label_smoothing / 2
  missed = of_classes(weights, x) * g * jax.nn.softplus(-x)
  terms = missed + (1 - g) * jax.nn.softplus(x)
  return pixel_mean(_LABEL_REDUCTIONS[label_reduction](terms, axis=-1), valid)


def weighted_cross_entropy(
  logits: jax.Array,
  masks: jax.Array,
  *,
  class_weights: float | Sequence[float] | jax.Array = 1.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the cross-entropy with a weight per class: -(1/N) sum_i sum_c w_c g_ic log p_ic.

  `balanced_class_weights` gives weights that make up for the sizes of the classes in a data set.
  The sum is divided by N, as in Keras; PyTorch divides by the sum of the weights.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    class_weights: w, one number per class, or one for all. The values of an array [C] are not
      checked, since it may be traced.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not fit together, a weight is negative or not finite, or
      the number of weights is not C.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> values = weighted_cross_entropy(jnp.zeros([1, 2, 2, 2]), masks, class_weights=(1.0, 2.0))
    >>> print(f"{values[0]:.4f}")
    1.3863
  """
  check_shapes(logits, masks, valid)
  num_classes = logits.shape[-1]
  if not isinstance(class_weights, jax.Array):
    class_weights = jnp.array(per_class("class_weights", class_weights, num_classes))
  elif class_weights.shape != (num_classes,):
    raise ValueError(f"class_weights: must be [{num_classes}], got {class_weights.shape}")
  log_p = log_probabilities(logits)
  terms = masks.astype(log_p.dtype) * log_p * of_classes(class_weights, log_p)
  return pixel_mean(-terms.sum(axis=-1), valid)


def balanced_class_weights(counts: Sequence[float]) -> tuple[float, ...]:
  """Returns scikit-learn's 'balanced' weights of classes: w_c = n / (C n_c).

  Args:
    counts: how many examples or pixels of the training set each class has, n_c.

  Returns:
    C weights whose mean over the examples is 1.

  Raises:
    ValueError: where a count is not positive, since the weight would be infinite.

  Example:
    >>> balanced_class_weights([300, 100])
    (0.6666666666666666, 2.0)
  """
  array = np.asarray(counts, np.float64)
  if array.ndim != 1 or not (np.isfinite(array) & (array > 0)).all():
    raise ValueError(f"counts: must be one positive number per class, got {counts}")
  return tuple((array.sum() / (len(array) * array)).tolist())


def of_classes(values: Sequence[float] | jax.Array, like: jax.Array) -> jax.Array:
  """Returns one number per class in the rank and dtype of another array.

  Args:
    values: [C].
    like: [..., C].

  Returns:
    [1, ..., C].

  Example:
    >>> of_classes((0.5, 2.0), jnp.zeros((3, 4, 2))).shape
    (1, 1, 2)
  """
  return jnp.asarray(values, like.dtype).reshape((1,) * (like.ndim - 1) + (-1,))


def per_class(name: str, value: float | Sequence[float], num_classes: int) -> list[float]:
  """Returns one number per class, from an option that is one number or one per class.

  Args:
    name: of the option, for the error message.
    value: of the option.
    num_classes: C.

  Raises:
    ValueError: where a number is negative or not finite, or there are not C.

  Example:
    >>> per_class("alpha", 0.25, 2)
    [0.25, 0.25]
  """
  values = [value] * num_classes if isinstance(value, float | int) else list(value)
  if len(values) != num_classes:
    raise ValueError(f"{name}: must be one number or one per class ({num_classes}), got {value}")
  if not all(0 <= v < math.inf for v in values):
    raise ValueError(f"{name}: must be finite and >= 0, got {value}")
  return values
