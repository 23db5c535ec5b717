"""ConFIG: a direction that has the same positive cosine with every gradient."""

import warnings

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.from_gram.gram import Given, from_gram, unit
from mlseg.weighting.from_gram.impartial_gradients import equiangular
from mlseg.weighting.from_gram.quadratic import dot


def conflict_free() -> LossWeighting:
  """Gives the direction that has one cosine with all gradients, the longer the less they conflict.

  The method is called ConFIG.

  Formula: Σ_k w_k g_k = (Σ_k g_k·x̂) x̂, x̂ = x / |x|, x = U⁺ 1, the rows of U the g_k / |g_k|

  With the cosines C = U Uᵀ and y = C⁺ 1, x is Uᵀ y, so w_k = y_k / |g_k| Σ_j |g_j| (C y)_j /
  yᵀ C y. Weights may be negative. For gradients at right angles and of equal length the weights are
  1, as in the plain sum.

  The direction is that of `impartial_gradients`. Where there are more losses than dimensions, the
  cosines are as equal as least squares can make them. A gradient that is 0 has the weight 0. All
  weights are 0 where x is 0, as for two opposite gradients, which leave no direction. Weights are 1
  where an inner product or a loss is not finite.

  Needs: Gram matrix

  Use when: losses conflict and differ in scale, and each should fall at every step, as the parts of
  a physics-informed loss; steps become short when some gradients are nearly opposite.

  Source: Liu, Chu & Thuerey 2025, ICLR, arXiv 2408.11104, eqs. 2 and 3.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Example:
    >>> weighting = conflict_free()
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([9.0, 1.0]))
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.6667, 2.0]
  """
  return from_gram(_solve, neutral=lambda losses: 1.0)


def config() -> LossWeighting:
  """Returns `conflict_free()`, which had this name before version 0.2.

  Deprecated: this name goes with the next version.

  Example:
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...   weighting = config()
    >>> weighting.needs_gram
    True
  """
  message = "mlseg.weighting.config is now called mlseg.weighting.conflict_free"
  warnings.warn(message, DeprecationWarning, stacklevel=2)
  return conflict_free()


def _solve(given: Given) -> jax.Array:
  """Returns the weights [K]."""
  cosines, norms = unit(given.gram)
  solution = equiangular(cosines)
  products = dot(cosines, solution)  # of x with the unit gradients
  squared = (solution * products).sum()
  exists = squared > jnp.finfo(norms.dtype).eps
  scale = (norms * products).sum() / jnp.where(exists, squared, 1)
  return jnp.where(exists, scale * solution / jnp.where(norms > 0, norms, jnp.inf), 0)
