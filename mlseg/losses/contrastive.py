"""Losses of embeddings: examples of one class should be close, those of different classes distant.

There is one value per anchor. An anchor without another example of its class has the value 0, and
should not count in a mean: give `has_partner` to `reduce`.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp


def supervised_contrastive(
  embeddings: jax.Array,
  labels: jax.Array,
  *,
  temperature: float = 0.1,
  num_hard_negatives: int = 0,
  hardness: float = 0.0,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the supervised contrastive (SupCon) loss of each anchor, with hard negatives.

  L_i = -(1/|P_i|) sum_(p in P_i) log(e^(z_i z_p / t) / (sum_(a in P_i) e^(z_i z_a / t) + N_i)),
  with z the embeddings at unit length, P_i the other examples of the anchor's class and N_i the sum
  of w_ia e^(z_i z_a / t) over the examples a of other classes. By default w = 1. Hard negatives can
  be mined (`num_hard_negatives` = k: only the k most similar ones count), or weighted (`hardness` =
  b: w_ia is e^(b z_i z_a) divided by its mean), or both.

  Source: Khosla et al., Supervised contrastive learning, NeurIPS 2020, eq. 2 (L_out); weights:
    Robinson et al., Contrastive learning with hard negative samples, ICLR 2021, without its
    correction for false negatives, since with labels there are none.

  Args:
    embeddings: [B, D], any floating dtype, any length; several views of one example are several
      rows with the same label.
    labels: [B], integers.
    temperature: t.
    num_hard_negatives: k; 0: all negatives count.
    hardness: b; 0: all negatives that count have the same weight.
    valid: [B], nonzero where an example counts, as anchor and as partner; None: all count.

  Returns:
    [B], float32, in nats; 0 for an anchor that has no other example of its class.

  Raises:
    ValueError: where the shapes do not fit together, temperature is not positive, or
      num_hard_negatives or hardness is negative.

  Example:
    >>> import jax.numpy as jnp
    >>> embeddings = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> values = supervised_contrastive(embeddings, jnp.array([0, 0, 1, 1]), temperature=1.0)
    >>> print(f"{values[0]:.4f}")  # log(1 + 2 / e)
    0.5514
  """
  if not 0 < temperature < math.inf:
    raise ValueError(f"temperature: must be finite and > 0, got {temperature}")
  if num_hard_negatives < 0:
    raise ValueError(f"num_hard_negatives: must be >= 0, got {num_hard_negatives}")
  if not 0 <= hardness < math.inf:
    raise ValueError(f"hardness: must be finite and >= 0, got {hardness}")
  positive, negative = _pairs(embeddings, labels, valid)
  similarity = _similarities(_unit(embeddings))
  weights = _hard_weights(similarity, negative, num_hard_negatives, hardness)
  scaled = similarity / temperature
  log_weights = jnp.where(positive, 0, jnp.log(jnp.where(weights > 0, weights, 1)))
  counted = positive | (weights > 0)
  log_total = _masked_logsumexp(scaled + log_weights, counted)
  num_positive = jnp.maximum(positive.sum(axis=-1), 1).astype(scaled.dtype)
  terms = jnp.where(positive, log_total[:, None] - scaled, 0)
  return terms.sum(axis=-1) / num_positive


def triplet_hard(
  embeddings: jax.Array,
  labels: jax.Array,
  *,
  margin: float | None = 0.3,
  mining: Literal["hard", "semihard"] = "hard",
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the triplet loss of each anchor: max(0, margin + max_p d(a, p) - min_n d(a, n)).

  d is the Euclidean distance. The maximum is over the other examples of the anchor's class, and the
  minimum over the examples of other classes, so both are the hardest ones ('hard'). With 'semihard'
  the negative is the nearest of those that are further away than the positive, where there is one.
  With a margin of None the loss is log(1 + e^(d(a, p) - d(a, n))), a soft margin.

  Source: Hermans, Beyer & Leibe, In defense of the triplet loss, 2017, eq. 5 (batch hard) and its
    soft margin; semi-hard negatives: Schroff et al., FaceNet, CVPR 2015, here for the hardest
    positive.

  Args:
    embeddings: [B, D], any floating dtype; normalise them if the margin should keep its meaning
      throughout training.
    labels: [B], integers.
    margin: in the unit of the embeddings, or None.
    mining: 'hard' or 'semihard'.
    valid: [B], nonzero where an example counts, as anchor and as partner; None: all count.

  Returns:
    [B], float32; 0 for an anchor without another example of its class, or without one of another.

  Raises:
    ValueError: where the shapes do not fit together, margin is negative, or mining is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> embeddings = jnp.array([[0.0], [1.0], [1.5], [5.0]])
    >>> triplet_hard(embeddings, jnp.array([0, 0, 1, 1]), margin=1.0).tolist()
    [0.5, 1.5, 4.0, 0.5]
  """
  if margin is not None and not 0 <= margin < math.inf:
    raise ValueError(f"margin: must be None or finite and >= 0, got {margin}")
  if mining not in ("hard", "semihard"):
    raise ValueError(f"mining: choose from hard, semihard; got {mining!r}")
  positive, negative = _pairs(embeddings, labels, valid)
  distances = _distances(_wide(embeddings))
  furthest = jnp.where(positive, distances, 0).max(axis=-1)
  nearest = _nearest(distances, negative)
  if mining == "semihard":
    beyond = negative & (distances > jax.lax.stop_gradient(furthest)[:, None])
    nearest = jnp.where(beyond.any(axis=-1), _nearest(distances, beyond), nearest)
  gap = furthest - nearest
  values = jax.nn.softplus(gap) if margin is None else jax.nn.relu(margin + gap)
  return jnp.where(positive.any(axis=-1) & negative.any(axis=-1), values, 0)


def has_partner(labels: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns which examples have another one of their class, so that they have a loss as anchors.

  Args:
    labels: [B], integers.
    valid: [B], nonzero where an example counts; None: all count.

  Returns:
    [B] bool.

  Example:
    >>> import jax.numpy as jnp
    >>> has_partner(jnp.array([3, 5, 3])).tolist()
    [True, False, True]
  """
  return _same_class(labels, valid).any(axis=-1)


def _same_class(labels: jax.Array, valid: jax.Array | None) -> jax.Array:
  """Returns [B, B], true for two different examples of one class that both count."""
  same = (labels[:, None] == labels[None, :]) & ~jnp.eye(labels.shape[0], dtype=bool)
  return (
    same if valid is None else same & (valid.astype(bool)[:, None] & valid.astype(bool)[None, :])
  )


def _pairs(embeddings, labels, valid) -> tuple[jax.Array, jax.Array]:
  """Returns two arrays [B, B]: the pairs of one class, and the pairs of two classes."""
  if embeddings.ndim != 2:
    raise ValueError(f"embeddings: must be [B, D], got {embeddings.shape}")
  if labels.shape != embeddings.shape[:1]:
    raise ValueError(f"labels: must be [B] = {embeddings.shape[:1]}, got {labels.shape}")
  if valid is not None and valid.shape != labels.shape:
    raise ValueError(f"valid: must be [B] = {labels.shape}, got {valid.shape}")
  different = labels[:, None] != labels[None, :]
  if valid is not None:
    different = different & (valid.astype(bool)[:, None] & valid.astype(bool)[None, :])
  return _same_class(labels, valid), different


def _hard_weights(similarity, negative, num_hard_negatives, hardness) -> jax.Array:
  """Returns the weight of each pair in the sum over negatives, [B, B]."""
  fixed = jax.lax.stop_gradient(similarity)
  if num_hard_negatives and num_hard_negatives < similarity.shape[0]:
    ranked = jnp.sort(jnp.where(negative, fixed, -jnp.inf), axis=-1)
    negative = negative & (fixed >= ranked[:, -num_hard_negatives][:, None])
  weights = negative.astype(similarity.dtype)
  if hardness:
    powers = jnp.where(negative, jnp.exp(hardness * (fixed - 1)), 0)  # at most 1
    total = jnp.maximum(powers.sum(axis=-1, keepdims=True), jnp.finfo(powers.dtype).tiny)
    weights = powers * weights.sum(axis=-1, keepdims=True) / total
  return weights


def _masked_logsumexp(values: jax.Array, counted: jax.Array) -> jax.Array:
  """Returns the logarithm of the sum of e^v over the values that count, 0 where none does."""
  largest = jax.lax.stop_gradient(jnp.where(counted, values, -jnp.inf).max(axis=-1, keepdims=True))
  largest = jnp.where(counted.any(axis=-1, keepdims=True), largest, 0)
  total = jnp.where(counted, jnp.exp(jnp.where(counted, values - largest, 0)), 0).sum(axis=-1)
  return jnp.log(jnp.where(total > 0, total, 1)) + largest[:, 0]


def _nearest(distances: jax.Array, among: jax.Array) -> jax.Array:
  """Returns the smallest of the distances in `among`, 0 where there are none."""
  smallest = jnp.where(among, distances, jnp.inf).min(axis=-1)
  return jnp.where(among.any(axis=-1), smallest, 0)


def _wide(embeddings: jax.Array) -> jax.Array:
  return embeddings.astype(jnp.promote_types(embeddings.dtype, jnp.float32))


def _unit(embeddings: jax.Array) -> jax.Array:
  """Returns the embeddings scaled to length 1; zeros stay zeros, with finite derivatives."""
  wide = _wide(embeddings)
  squared = (wide**2).sum(axis=-1, keepdims=True)
  return wide * jax.lax.rsqrt(jnp.maximum(squared, 1e-24))


def _similarities(unit: jax.Array) -> jax.Array:
  # By default, accelerators round the factors of a product to about 10 bits.
  return jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)


def _distances(wide: jax.Array) -> jax.Array:
  """Returns the distances of all pairs, with derivative 0 where they are 0."""
  squared = ((wide[:, None] - wide[None, :]) ** 2).sum(axis=-1)
  return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)
