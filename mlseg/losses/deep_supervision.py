"""Deep supervision: one loss at several resolutions."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np


def deep_supervision(
  loss: Callable[..., jax.Array], *, weights: Sequence[float] = ()
) -> Callable[..., jax.Array]:
  """Returns a loss of logits at several resolutions: sum_s w_s L(x_s, g_s).

  The masks g_s, and the pixels that count, are those of the full resolution at the pixels nearest
  to the centres of the coarse pixels. Distances that are computed before training are those of the
  full resolution; at the others a loss that reads them computes its own.

  Source: Lee et al., Deeply-supervised nets, AISTATS 2015; default weights: 2^-s over their sum, as
    in nnU-Net (which leaves out the coarsest).

  Args:
    loss: f(logits [B, ..., C], masks [B, ..., C], *, valid) -> [B], any loss of this package.
    weights: w, one per resolution, the finest first; (): 2^-s divided by their sum.

  Returns:
    f(logits, masks, *, valid=None, distances=None) -> [B], where logits is a sequence of
    [B, ..., C], masks are [B, ..., C], and distances, for the losses that take them,
    [B, ..., C].

  Raises:
    ValueError: where a weight is negative or not finite; when the result is called: where there are
      no logits, or their number is not that of the weights.

  Example:
    >>> import jax.numpy as jnp
    >>> from mlseg.losses import cross_entropy
    >>> masks = jnp.ones([1, 4, 4, 1]) * jnp.array([0.0, 1.0])
    >>> logits = [jnp.zeros([1, size, size, 2]) for size in (4, 2)]
    >>> print(f"{deep_supervision(cross_entropy)(logits, masks)[0]:.4f}")
    0.6931
  """
  if not all(0 <= weight < math.inf for weight in weights):
    raise ValueError(f"weights: must be finite and >= 0, got {tuple(weights)}")

  def supervised(
    logits: Sequence[jax.Array],
    masks: jax.Array,
    *,
    valid: jax.Array | None = None,
    distances: jax.Array | None = None,
  ) -> jax.Array:
    if not logits:
      raise ValueError("logits: must be at least one array [B, ..., C], got none")
    if weights and len(weights) != len(logits):
      raise ValueError(f"weights: must be one per resolution ({len(logits)}), got {tuple(weights)}")
    halves = 0.5 ** np.arange(len(logits))
    factors = weights or (halves / halves.sum()).tolist()
    known = {} if distances is None else {"distances": distances}
    values = [
      loss(
        x,
        _nearest(masks, x.shape),
        valid=None if valid is None else _nearest(valid, x.shape),
        **(known if x.shape[1:-1] == masks.shape[1:-1] else {}),
      )
      for x in logits
    ]
    return sum(
      (factor * value for factor, value in zip(factors, values, strict=True)),
      jnp.zeros_like(values[0]),
    )

  return supervised


def _nearest(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Returns [B, ...] at the pixels nearest to the centres of a coarser grid."""
  for axis in range(1, len(shape) - 1):
    fine, coarse = array.shape[axis], shape[axis]
    if fine != coarse:
      indices = ((np.arange(coarse) + 0.5) * fine / coarse).astype(np.int32)
      array = jnp.take(array, jnp.asarray(indices), axis=axis)
  return array
