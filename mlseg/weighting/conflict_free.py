"""ConFIG: a direction that conflicts with no loss."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.gram import from_gram, unit
from mlseg.weighting.impartial_gradients import equal_cosines


def config() -> LossWeighting:
  """Weights whose sum has the same cosine with every gradient, and the length of their projections.

  Formula: Σ_k w_k g_k = (Σ_k ⟨g_k, u⟩) u, u = x/‖x‖, x = U⁺1, U the unit gradients in rows

  Everything follows from the cosines C between the gradients: x = Uᵀy with y = C⁺1, ‖x‖² = yᵀCy,
  and ⟨g_k, u⟩ = ‖g_k‖ (Cy)_k / ‖x‖. Weights may be negative. A gradient that is 0 gets the weight
  0. Where no direction has a positive cosine with all, as for opposite gradients, C⁺1 is the
  least-squares one; where that is 0 too, weights are 1/K.

  Needs: Gram matrix

  Use when: losses conflict and each must fall at every step, as the terms of a physics-informed
  network; the direction is that of `impartial_gradients`, with a length of its own.

  Source: Liu, Chu & Thuerey 2025, ICLR, arXiv 2408.11104, eqs. 2-3.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Example:
    >>> weighting = config()
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> print(weights)  # the direction (1, 1), three long over √2
    [0.75 1.5 ]
  """

  def solve(gram: jax.Array, factor: jax.Array, losses: jax.Array) -> jax.Array:
    del factor, losses
    cosines, norms = unit(gram)
    solution = equal_cosines(cosines, norms)
    projected = (cosines * solution).sum(axis=1)  # ⟨g_k/‖g_k‖, x⟩
    squared = (solution * projected).sum()  # ‖x‖²
    eps = jnp.finfo(gram.dtype).eps
    decided = squared > eps * jnp.maximum((solution**2).sum(), eps)
    length = (norms * projected).sum() / jnp.where(decided, squared, 1)
    weights = length * solution / jnp.where(norms > 0, norms, 1)
    return jnp.where(decided, weights, 1 / weights.size)

  return from_gram(solve)
