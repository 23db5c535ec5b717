"""Losses of label vectors, where some labels contain or exclude each other.

A table of containments and exclusions tells which vectors of R labels are valid. There are at most
2^R, so the normaliser over the valid ones can be computed exactly.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from mlseg.losses.probabilities import check_shapes, finite_logits
from mlseg.losses.reduction import divisor, pixel_count, pixel_mean, pixel_weights

Pairs = Sequence[tuple[int, int]]
MAX_LABELS = 12


def label_vectors(
  num_labels: int, containment: Pairs = (), exclusion: Pairs = (), need_label: bool = False
) -> np.ndarray:
  """Returns the label vectors that a table allows, V(S) = 1.

  Args:
    num_labels: R, at most 12.
    containment: pairs (inner, outer): a pixel with label inner has label outer too.
    exclusion: pairs of labels that no pixel has both.
    need_label: whether a pixel must have a label; if not, the vector without labels is valid too.

  Returns:
    [V, R] int64, zeros and ones, in the order of binary numbers with label 0 first.

  Raises:
    ValueError: where a pair is not two different labels, R is out of its range, or a label is in
      no valid vector.

  Example:
    >>> label_vectors(3, containment=[(2, 1)], exclusion=[(0, 1), (0, 2)]).tolist()
    [[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
  """
  if not 1 <= num_labels <= MAX_LABELS:
    raise ValueError(f"num_labels: must be in [1, {MAX_LABELS}], got {num_labels}")
  for name, pairs in (("containment", containment), ("exclusion", exclusion)):
    for pair in pairs:
      if len(pair) != 2 or pair[0] == pair[1] or not all(0 <= r < num_labels for r in pair):
        rule = f"must be pairs of different labels below {num_labels}"
        raise ValueError(f"{name}: {rule}, got {tuple(pair)}")
  vectors = (np.arange(2**num_labels)[:, None] >> np.arange(num_labels)[::-1]) & 1
  keep = np.ones(len(vectors), bool)
  for inner, outer in containment:
    keep &= vectors[:, inner] <= vectors[:, outer]
  for one, other in exclusion:
    keep &= vectors[:, one] + vectors[:, other] < 2
  if need_label:
    keep &= vectors.any(axis=1)
  never = np.flatnonzero(~vectors[keep].any(axis=0))
  if len(never):
    raise ValueError(f"containment and exclusion: leave no valid vector with label {never[0]}")
  return vectors[keep]


def topology(
  logits: jax.Array,
  masks: jax.Array,
  *,
  containment: Pairs = (),
  exclusion: Pairs = (),
  need_label: bool = False,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the topology loss: -(1/N) sum_p log P_t(S_p), P_t(S) = V(S) prod_r exp(f_r)^(S^r) / Z.

  Z sums over the valid label vectors, so only these have a probability, and the network learns
  which labels exclude or contain each other. If every pair is excluded and a label is needed, the
  loss is the cross-entropy under softmax. With an empty table it is the sum of R sigmoid
  cross-entropies.

  Source: BenTaieb & Hamarneh 2017, eqs. 7-8 (there, a sum over pixels), without its uncertainty.

  Args:
    logits: [B, ..., R], f, any floating dtype.
    masks: [B, ..., R], zeros and ones: the labels of a pixel.
    containment: pairs (inner, outer): a pixel with label inner has label outer too.
    exclusion: pairs of labels that no pixel has both.
    need_label: whether a pixel must have a label.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count. A pixel whose true
      labels are not valid by the table does not count either, since its loss would be infinite.

  Returns:
    [B], in nats per pixel.

  Raises:
    ValueError: where the shapes do not fit together, or as `label_vectors` says.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0, 1.0])
    >>> table = {"containment": [(2, 1)], "exclusion": [(0, 1), (0, 2)]}
    >>> print(f"{topology(jnp.zeros([1, 2, 2, 3]), masks, **table)[0]:.4f}")  # log 4
    1.3863
  """
  check_shapes(logits, masks, valid, "sigmoid")
  vectors = label_vectors(logits.shape[-1], containment, exclusion, need_label)
  scores = finite_logits(logits)
  log_z = logsumexp(_vector_scores(scores, vectors), axis=-1)
  g = masks.astype(scores.dtype)
  own = masks[..., None, :].astype(jnp.int32)
  each = np.expand_dims(vectors.astype(np.int32), tuple(range(g.ndim - 1)))
  allowed = (own == each).all(-1).any(-1)
  counts = allowed if valid is None else jnp.where(allowed, pixel_weights(valid, g.dtype), 0)
  return pixel_mean(log_z - (g * scores).sum(axis=-1), counts)


def geometry(
  logits: jax.Array,
  masks: jax.Array,
  *,
  containment: Pairs = (),
  exclusion: Pairs = (),
  need_label: bool = False,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the geometry loss: (1/N) sum_p sum_r sum_q S_p^r |log P_t(S_p^r) / P_t(S_q^r)| B_pq.

  q runs over the neighbours of p, two along each axis, and B_pq is 1 where p and q have the same
  true labels. So the loss is lowest if probabilities change at true boundaries only. P_t(S_p^r) is
  the probability that p has label r: the sum over the valid label vectors with this label, see
  `topology`.

  Source: BenTaieb & Hamarneh 2017, eq. 9 (there, a sum over pixels), without its uncertainty.

  Args:
    logits: [B, ..., R], any floating dtype.
    masks: [B, ..., R], zeros and ones: which labels a pixel has.
    containment: pairs (inner, outer): a pixel with label inner has label outer too.
    exclusion: pairs of labels that no pixel has both.
    need_label: whether a pixel must have a label.
    valid: [B, ...], whether a pixel counts, or its weight, both as p and as q; None: all count.

  Returns:
    [B], in nats per pixel; 0 where the probabilities are constant within regions.

  Raises:
    ValueError: where the shapes do not fit together, or as `label_vectors` says.

  Example:
    >>> import jax.numpy as jnp
    >>> logits = jnp.array([0.0, 1.0]).reshape([1, 1, 2, 1])
    >>> print(f"{geometry(logits, jnp.ones([1, 1, 2, 1]))[0]:.4f}")  # log(sigmoid(1) / sigmoid(0))
    0.3799
  """
  check_shapes(logits, masks, valid, "sigmoid")
  vectors = label_vectors(logits.shape[-1], containment, exclusion, need_label)
  scores = _vector_scores(finite_logits(logits), vectors)
  log_z = logsumexp(scores, axis=-1)
  having = [np.flatnonzero(column) for column in vectors.T]
  log_p = jnp.stack([logsumexp(scores[..., i], axis=-1) - log_z for i in having], axis=-1)
  total = jnp.zeros(log_p.shape[:1], log_p.dtype)
  for axis in range(1, masks.ndim - 1):
    (p, q), (here, there) = (_neighbours(array, axis) for array in (log_p, masks))
    same = (here == there).all(axis=-1, keepdims=True)
    counts = jnp.asarray(2, p.dtype)  # p to q and q to p are the same
    if valid is not None:
      w_p, w_q = _neighbours(pixel_weights(valid, p.dtype), axis)
      same = same & ((w_p > 0) & (w_q > 0))[..., None]
      counts = w_p + w_q
    terms = jnp.where(same, here.astype(p.dtype) * jnp.abs(p - q), 0).sum(axis=-1)
    total = total + (counts * terms).sum(axis=tuple(range(1, terms.ndim)))
  return total / divisor(pixel_count(log_p, valid, num_axes=log_p.ndim - 2))


def _vector_scores(scores: jax.Array, vectors: np.ndarray) -> jax.Array:
  """Returns the score of each valid vector, the sum over its labels, [B, ..., V]."""
  # By default, accelerators round the factors of a product to about 10 bits.
  exact = jax.lax.Precision.HIGHEST
  return jnp.matmul(scores, jnp.asarray(vectors.T, scores.dtype), precision=exact)


def _neighbours(array: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
  """Returns all pairs of neighbours along an axis: the first of each pair, and the second."""
  size = array.shape[axis]
  first = jax.lax.slice_in_dim(array, 0, size - 1, axis=axis)
  return first, jax.lax.slice_in_dim(array, 1, size, axis=axis)
