"""The multiple-gradient descent algorithm: the shortest convex combination of the gradients."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.gram import from_gram, normalize, unit
from mlseg.weighting.quadratic import minimize_quadratic, ridge

_NORMALIZATIONS = ("none", "l2", "loss", "loss+")


def mgda(normalization: Literal["none", "l2", "loss", "loss+"] = "none") -> LossWeighting:
  if normalization not in _NORMALIZATIONS:
    raise ValueError(
      f"normalization: choose from {', '.join(_NORMALIZATIONS)}; got {normalization!r}"
    )

  def solve(gram, factor, losses):
    del factor
    divisors = _divisors(gram, losses, normalization)
    scaled, _ = normalize(gram / divisors[:, None] / divisors)
    return min_norm_weights(scaled) / divisors

  return from_gram(solve)


def _divisors(gram, losses, normalization):
  norms = jnp.sqrt(jnp.diagonal(gram))
  return {"none": jnp.ones_like(losses), "l2": norms, "loss": losses, "loss+": losses*norms}[normalization]

def min_norm_weights(gram: jax.Array) -> jax.Array:
  cosines, norms = unit(gram)
  is_zero = norms == 0
  safe = jnp.where(is_zero, 1, norms)
  normal = jnp.where(is_zero, 1, jnp.where(is_zero, jnp.inf, norms).min() / safe)
  definite = jnp.where(jnp.eye(norms.size, dtype=bool), 1 + ridge(gram.dtype), cosines)
  weights = minimize_quadratic(definite, jnp.zeros_like(norms), normal) / safe
  weights = jnp.where(is_zero.any(), is_zero.astype(norms.dtype), weights)
  return weights / weights.sum()
