"""Trimmed mean: in every coordinate, the largest and smallest gradients are left out.

Coordinates are not in the Gram matrix, so the method is an optax transformation of the gradients.
"""

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import EmptyState
from mlseg.weighting.checks import check_integer
from mlseg.weighting.stacked import transformation, wide_dtype


def trimmed_mean(num_losses: int, num_trimmed: int = 1) -> optax.GradientTransformationExtraArgs:
  """Averages the gradients in every coordinate without the largest and the smallest ones.

  Formula: (1/(K - 2b)) Σ_(b < i <= K - b) g_(i), g_(1) <= g_(2) <= ... <= g_(K) per coordinate

  With b = (K - 1)/2 it is the median. In a step that lacks losses K is the number of present ones,
  and b at most (K - 1)/2. A complex number is two coordinates. A step in which a gradient is not
  finite gives the mean of the gradients, which is not finite either: it is not trimmed away.

  Needs: per-loss gradients

  Use when: losses are alike, as those of single examples or of several annotators, and up to b of
  them may be wrong; not for losses of different kinds, since it is no gradient of a total.

  Source: Yin et al. 2018, ICML, "Byzantine-robust distributed learning: towards optimal statistical
  rates", definition 2.

  Args:
    num_losses: K.
    num_trimmed: b, 0 <= 2b < K.

  Returns:
    A GradientTransformationExtraArgs.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where gradients do not fit.

  Example:
    >>> transformation = trimmed_mean(4)
    >>> gradients = {"a": jnp.array([[1.0, 0.0], [2.0, 9.0], [3.0, 1.0], [-99.0, 3.0]])}
    >>> updates, _ = transformation.update(gradients, transformation.init({"a": jnp.zeros(2)}))
    >>> updates["a"].tolist()
    [1.5, 2.0]
  """
  check_integer("num_losses", num_losses, 1)
  check_integer("num_trimmed", num_trimmed, 0)
  if 2 * num_trimmed >= num_losses:
    raise ValueError(
      f"num_trimmed: must be less than half of num_losses = {num_losses}, got {num_trimmed}"
    )

  def init(params):
    del params
    return EmptyState()

  def step(gradients, state, losses, present):
    del losses
    combined = jax.tree.map(lambda leaf: _trim(leaf, num_trimmed, present), gradients)
    return combined, state

  return transformation(num_losses, init, step)


def _trim(gradients: jax.Array, num_trimmed: int, present: jax.Array | None) -> jax.Array:
  """Returns the mean of gradients [K, ...] without the extreme ones, [...]."""
  wide = gradients.astype(wide_dtype(gradients))
  finite = jnp.isfinite(wide).all(axis=0)
  ones = (1,) * (wide.ndim - 1)
  first, last = jnp.int32(num_trimmed), jnp.int32(len(wide) - num_trimmed)
  if present is not None:
    wide = jnp.where(jnp.broadcast_to(present.reshape(-1, *ones), wide.shape), wide, jnp.inf)
    number = present.sum().astype(jnp.int32)
    first = jnp.minimum(first, (number - 1) // 2)
    last = number - first
  places = jnp.arange(len(wide), dtype=jnp.int32).reshape(-1, *ones)
  kept = jnp.broadcast_to((places >= first) & (places < last), wide.shape)
  size = (last - first).astype(wide.dtype)
  mean = (jnp.where(kept, jnp.sort(wide, axis=0), 0) / size).sum(axis=0)
  return jnp.where(finite, mean, jnp.nan)
