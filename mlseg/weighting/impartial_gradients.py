"""Impartial multi-task learning for the gradients: equal projections on every loss's gradient."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.gram import from_gram, unit


def impartial_gradients() -> LossWeighting:
  """Weights under which the sum has equal projections onto the directions of all gradients.

  Formula: w = G⁺d / Σ_k (G⁺d)_k, d_k = ‖g_k‖, so that ⟨Σ_j w_j g_j, g_k/‖g_k‖⟩ is the same for all
  k

  Weights sum to 1 and may be negative. A gradient that is 0 gets the weight 0. Where the sum that
  they are divided by is 0 or nearly so, as for two opposite gradients, weights are 1/K.

  Needs: Gram matrix

  Use when: no loss may dominate by the length of its gradient; not when gradients are nearly
  parallel or opposite, where the weights become huge or negative.

  Differs: TorchJD gives zeros where the divisor is below 1e-12; here weights are then 1/K, and the
  pseudo-inverse is that of the cosines, so lengths that differ by orders of magnitude do no harm.

  Source: Liu et al. 2021, ICLR, "Towards Impartial Multi-task Learning", IMTL-G, eq. 6.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Example:
    >>> weighting = impartial_gradients()
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> print(weights.round(4))
    [0.3333 0.6667]
  """

  def solve(gram: jax.Array, factor: jax.Array, losses: jax.Array) -> jax.Array:
    del factor, losses
    cosines, norms = unit(gram)
    parts = equal_cosines(cosines, norms) / jnp.where(norms > 0, norms, 1)
    total = parts.sum()
    decided = jnp.abs(total) > 1e3 * jnp.finfo(parts.dtype).eps * jnp.abs(parts).sum()
    return jnp.where(decided, parts / jnp.where(decided, total, 1), 1 / parts.size)

  return from_gram(solve)


def equal_cosines(cosines: jax.Array, norms: jax.Array) -> jax.Array:
  """Returns the y = C⁺1 for which Σ_k y_k g_k/‖g_k‖ has the same cosine with every gradient.

  Directions in which the cosines are singular to within rounding do not count.

  Args:
    cosines: [K, K], C, zero in the rows and columns of gradients that are 0.
    norms: [K].

  Returns:
    [K].

  Example:
    >>> print(equal_cosines(jnp.array([[1.0, 0.5], [0.5, 1.0]]), jnp.ones(2)).round(4))
    [0.6667 0.6667]
  """
  values, vectors = jnp.linalg.eigh(cosines)
  cut = values.max() * values.size * 10 * jnp.finfo(values.dtype).eps
  inverse = jnp.where(values > cut, 1 / jnp.where(values > cut, values, 1), 0)
  ones = jnp.sign(norms)
  along = (vectors * ones[:, None]).sum(axis=0)
  return (vectors * (inverse * along)).sum(axis=1) * ones
