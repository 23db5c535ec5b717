"""Projection onto the simplex: the weights that are not negative and sum to 1."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import normalize
from mlseg.weighting.presence import only


def project_to_simplex(point: jax.Array) -> jax.Array:
  """Returns the nearest w with w_k >= 0 and Σ_k w_k = 1: w_k = max(p_k - τ, 0).

  Unlike the projection of optax it accepts -inf, and does not mix dtypes.

  Source: Held, Wolfe & Crowder 1974: τ = max_n (Σ_{k<=n} p_(k) - 1) / n, p_(k) in falling order.

  Args:
    point: [K], p; may hold -inf.

  Returns:
    [K].

  Example:
    >>> project_to_simplex(jnp.array([0.5, 1.0, -jnp.inf])).tolist()
    [0.25, 0.75, 0.0]
  """
  # A value that is below the largest by 1 or more becomes 0, however far below it is.
  point = jnp.clip(point - point.max(), -1, 0)
  sums = jnp.cumsum(jnp.sort(point, descending=True))
  excess = (sums - 1) / jnp.arange(1, point.size + 1, dtype=point.dtype)
  return jnp.maximum(point - excess.max(), 0)


def shares_of(weights: jax.Array, present: jax.Array | None) -> jax.Array:
  """Returns the weights of the present losses as if these were alone; undone by `share`.

  Args:
    weights: [K], on the simplex.
    present: [K], bool, or None for all.

  Returns:
    [K], on the simplex of the present losses, 0 for the others; the weights where all are present.

  Example:
    >>> shares_of(jnp.array([0.25, 0.25, 0.5]), jnp.array([True, True, False])).tolist()
    [0.5, 0.5, 0.0]
  """
  return weights if present is None else normalize(weights, present)


def share(shares: jax.Array, held: jax.Array, present: jax.Array | None = None) -> jax.Array:
  """Returns held weights after the present losses have shared the sum of theirs anew.

  The absent losses keep what they have, so the sum over all stays, but for rounding.

  Args:
    shares: [K], of the present losses, with the sum 1.
    held: [K], not negative.
    present: [K], bool, or None for all, and then the shares themselves are returned.

  Example:
    >>> held, present = jnp.array([0.25, 0.25, 0.5]), jnp.array([True, False, True])
    >>> share(jnp.array([1.0, 0.0, 0.0]), held, present).tolist()
    [0.75, 0.25, 0.0]
  """
  if present is None:
    return shares
  # From a sum of 0 no loss would ever rise again.
  total = jnp.maximum(only(held, present).sum(), jnp.finfo(held.dtype).eps)
  return jnp.where(present, shares * total, held)
