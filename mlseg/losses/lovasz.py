"""Lovász extensions of the Jaccard loss: convex surrogates of it, computed from sorted errors."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.losses.probabilities import check_shapes, finite_logits, probabilities
from mlseg.losses.reduction import class_sum, divisor, pixel_weights


def lovasz_softmax(
  logits: jax.Array,
  masks: jax.Array,
  *,
  classes: Literal["present", "all"] = "present",
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Lovász-softmax loss: the mean over classes of sum_i m_(i) J'(m)_(i).

  m_i = |g_ic - p_ic| are the errors of class c in falling order. J'(m) are the differences of the
  Jaccard losses 1 - IoU that result if the first i pixels in this order are wrong.

  Source: Berman, Triki & Blaschko, The Lovász-softmax loss, CVPR 2018, with J' by alg. 1; per
    image.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot.
    classes: 'present': the mean is over the classes in the image; 'all': over all.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in [0, 1].

  Raises:
    ValueError: where the shapes do not fit together, or classes is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> print(f"{lovasz_softmax(jnp.zeros([1, 2, 2, 2]), masks)[0]:.4f}")
    0.5000
  """
  if classes not in ("present", "all"):
    raise ValueError(f"classes: choose from all, present; got {classes!r}")
  check_shapes(logits, masks, valid)
  p = probabilities(logits)
  g = masks.astype(p.dtype)
  per_class = _lovasz(jnp.abs(g - p), g, _counts(valid, g))
  if classes == "all":
    return per_class.mean(axis=-1)
  present = (class_sum(g, valid) > 0).astype(p.dtype)
  return (per_class * present).sum(axis=-1) / jnp.maximum(present.sum(axis=-1), 1)


def lovasz_hinge(
  logits: jax.Array, masks: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
  """Returns the Lovász hinge: the mean over labels of sum_i max(m_(i), 0) J'(m)_(i).

  m_i = 1 - x_i (2 g_i - 1) are the hinge errors of a label's logits x in falling order; J' is as in
  `lovasz_softmax`. In an image without the label only the largest error counts.

  Source: Berman, Triki & Blaschko, The Lovász-softmax loss, CVPR 2018; Yu & Blaschko, ICML 2015;
    per image.

  Args:
    logits: [B, ..., C], any floating dtype; C >= 1.
    masks: [B, ..., C], zeros and ones.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], not negative.

  Raises:
    ValueError: where the shapes do not fit together.

  Example:
    >>> import jax.numpy as jnp
    >>> lovasz_hinge(jnp.zeros([1, 2, 2, 1]), jnp.ones([1, 2, 2, 1])).tolist()
    [1.0]
  """
  check_shapes(logits, masks, valid, "sigmoid")
  x = finite_logits(logits)
  g = masks.astype(x.dtype)
  return _lovasz(jax.nn.relu(1 - x * (2 * g - 1)), g, _counts(valid, g)).mean(axis=-1)


def _counts(valid: jax.Array | None, g: jax.Array) -> jax.Array:
  """Returns [B, ..., 1]: how much a pixel counts."""
  if valid is None:
    return jnp.ones((*g.shape[:-1], 1), g.dtype)
  return pixel_weights(valid, g.dtype)[..., None]


def _lovasz(errors: jax.Array, g: jax.Array, counts: jax.Array) -> jax.Array:
  """Returns the Lovász extension of the Jaccard loss at errors >= 0, [B, C].

  Pixels that do not count are sorted behind all others, where they change neither intersection nor
  union.
  """
  channels_last = (errors.shape[0], -1, errors.shape[-1])
  counts = jnp.broadcast_to(counts, errors.shape).reshape(channels_last)
  errors = jnp.where(counts > 0, errors.reshape(channels_last), 0)
  g = g.reshape(channels_last) * counts
  order = jnp.argsort(jnp.where(counts > 0, -errors, 1), axis=1)
  errors, g, counts = (jnp.take_along_axis(array, order, axis=1) for array in (errors, g, counts))
  size = g.sum(axis=1, keepdims=True)
  intersection = size - jnp.cumsum(g, axis=1)
  union = size + jnp.cumsum(counts - g, axis=1)
  jaccard = 1 - intersection / divisor(union)
  steps = jnp.diff(jaccard, axis=1, prepend=jnp.zeros_like(size))
  return (errors * jax.lax.stop_gradient(steps)).sum(axis=1)
