"""ConFIG: a direction that has the same positive cosine with every gradient."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.from_gram.gram import Given, from_gram, unit
from mlseg.weighting.from_gram.impartial_gradients import equiangular
from mlseg.weighting.from_gram.quadratic import dot


def config() -> LossWeighting:
  """Gives the direction that has one cosine with all gradients, the longer the less they conflict.

  Formula: Σ_k w_k g_k = (Σ_k g_k·x̂) x̂, x̂ = x / |x|, x = U⁺ 1, the rows of U the g_k / |g_k|

  In terms of the cosines C = U Uᵀ and y = C⁺ 1, x is Uᵀ y, so w_k = y_k / |g_k| Σ_j |g_j| (C y)_j /
  yᵀ C y. Weights may be negative. Gradients at right angles have weights that are those of the
  plain sum if they are equally long.

  The direction is that of `impartial_gradients`. Where there are more losses than dimensions,
  cosines are as equal as they can be in least squares. A gradient that is 0 has the weight 0, and
  all weights are 0 where x is: two opposite gradients leave no direction. Weights are 1 where an
  inner product or a loss is not finite.

  Needs: Gram matrix

  Use when: losses conflict and differ in scale, and each should fall at every step, as the parts of
  a physics-informed loss; steps become short when some gradients are nearly opposite.

  Source: Liu, Chu & Thuerey 2025, ICLR, arXiv 2408.11104, eqs. 2 and 3.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Example:
    >>> weighting = config()
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([9.0, 1.0]))
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.6667, 2.0]
  """
  return from_gram(_solve, neutral=lambda losses: 1.0)


def _solve(given: Given) -> jax.Array:
  """Returns the weights [K]."""
  cosines, norms = unit(given.gram)
  solution = equiangular(cosines)
  products = dot(cosines, solution)  # of x with the unit gradients
  squared = (solution * products).sum()
  exists = squared > jnp.finfo(norms.dtype).eps
  scale = (norms * products).sum() / jnp.where(exists, squared, 1)
  return jnp.where(exists, scale * solution / jnp.where(norms > 0, norms, jnp.inf), 0)
