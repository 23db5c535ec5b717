"""The simplex: the weights that are not negative and sum to 1."""

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


def shares(weights: jax.Array, present: jax.Array | None) -> tuple[jax.Array, jax.Array | float]:
  """Returns the weights of the present losses as if these were alone, and what they sum to.

  Args:
    weights: [K], on the simplex.
    present: [K], bool, or None for all.

  Returns:
    The weights [K] on the simplex of the present losses, 0 for the others, and their sum before, at
    least the precision of the dtype, so that `put_back` loses no share; the weights as they are and
    1 where all are present.

  Example:
    >>> part, mass = shares(jnp.array([0.25, 0.25, 0.5]), jnp.array([True, True, False]))
    >>> part.tolist(), float(mass)
    ([0.5, 0.5, 0.0], 0.5)
  """
  if present is None:
    return weights, 1.0
  mass = jnp.maximum(only(weights, present).sum(), jnp.finfo(weights.dtype).eps)
  return normalize(weights, present), mass


def put_back(
  part: jax.Array, mass: jax.Array | float, weights: jax.Array, present: jax.Array | None
) -> jax.Array:
  """Returns the weights of all losses, given new ones of the present: undoes `shares`.

  Args:
    part: [K], on the simplex of the present losses.
    mass: what the weights of the present losses sum to.
    weights: [K], on the simplex; those of absent losses stay.
    present: [K], bool, or None for all.

  Example:
    >>> present = jnp.array([True, True, False])
    >>> put_back(jnp.array([1.0, 0.0, 0.0]), 0.5, jnp.array([0.25, 0.25, 0.5]), present).tolist()
    [0.5, 0.0, 0.5]
  """
  return part if present is None else only(part * mass, present, weights)
