"""MGDA, multiple-gradient descent: the shortest convex combination of the gradients."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.from_gram.gram import Given, from_gram, normalize, unit
from mlseg.weighting.from_gram.quadratic import definite, minimize_quadratic
from mlseg.weighting.presence import only

_NORMALIZATIONS = ("none", "l2", "loss", "loss+")


def mgda(normalization: Literal["none", "l2", "loss", "loss+"] = "none") -> LossWeighting:
  """Gives the shortest convex combination of the gradients, along which every loss falls.

  Formula: w = argmin ‖Σ_k w_k g_k‖² over w_k ≥ 0, Σ_k w_k = 1

  The combination is 0 where all losses fall in no direction. With a normalisation the gradients are
  first divided by ‖g_k‖ ('l2'), L_k ('loss') or L_k‖g_k‖ ('loss+'), and the divided ones are
  combined. The weights of the gradients themselves are then w_k over the divisor, and do not sum to
  1. A divisor that is not positive counts as 1.

  A gradient that is exactly 0 is left out, and has the weight 0; where all are 0, weights are 1/K.
  It would be the shortest combination, so a loss that is absent from a batch, or at its minimum,
  would stop all others.

  Needs: Gram matrix

  Use when: no loss may rise, even if the others fall more slowly for it; the shortest gradient
  dominates, so choose a normalisation for losses of different scales.

  Differs: where one of two gradients is the shortest combination, the authors' solver stops at
  weights of 0.001 and 0.999; here they are 0 and 1. Their solver and TorchJD's are Frank–Wolfe
  iterations; this one is exact up to rounding for any K.

  Differs: the authors' code and TorchJD give all the weight to a gradient that is 0.

  Differs: with a normalisation LibMTL sums the divided gradients, as here; nash-mtl applies the
  weights, times K, to the losses themselves.

  Source: Sener & Koltun 2018, NeurIPS, arXiv 1810.04650, eq. 3 and algorithm 2; Désidéri 2012.

  Args:
    normalization: 'none', 'l2', 'loss' or 'loss+'.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where the normalisation is unknown.

  Example:
    >>> weighting = mgda()
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.2, 0.8]
  """
  if normalization not in _NORMALIZATIONS:
    choices = ", ".join(_NORMALIZATIONS)
    raise ValueError(f"normalization: choose from {choices}; got {normalization!r}")

  def solve(given: Given) -> jax.Array:
    gram, losses = given.gram, given.losses
    lengths = jnp.sqrt(jnp.diagonal(gram) / given.factor)
    divisors = jnp.ones_like(losses)
    if normalization != "none":
      divisors = {"l2": lengths, "loss": losses, "loss+": losses * lengths}[normalization]
      divisors = jnp.where(divisors > 0, divisors, 1)
      # A common scale of the divisors changes nothing here.
      shrunk = only(divisors / only(divisors, given.present).max(), given.present, 1)
      gram = normalize(gram / shrunk[:, None] / shrunk[None])[0]
    return min_norm_weights(gram, given.present) / divisors

  return from_gram(solve)


def min_norm_weights(gram: jax.Array, present: jax.Array | None = None) -> jax.Array:
  """Returns the weights of the shortest convex combination of the gradients that are not 0.

  Args:
    gram: [K, K], as `normalize` returns it.
    present: [K], bool, at least one, or None for all; the rows and columns of the others are 0.

  Returns:
    [K], sum 1: 0 for a gradient that is 0, but 1/K if all are; 0 for an absent one.

  Example:
    >>> print(min_norm_weights(jnp.array([[1.0, 1.0], [1.0, 2.0]])).round(4))
    [1. 0.]
  """
  cosines, norms = unit(gram)
  is_zero = norms == 0
  safe = jnp.where(is_zero, 1, norms)
  shortest = jnp.where(is_zero, jnp.inf, norms).min()
  # A gradient of 0 stands here as one at a right angle to all others, so it takes the same share of
  # the weight of each.
  normal = only(jnp.where(is_zero, 1, shortest / safe), present)
  weights = minimize_quadratic(definite(cosines), jnp.zeros_like(norms), normal, present) / safe
  weights = jnp.where(is_zero & ~is_zero.all(), 0, weights)
  return weights / weights.sum()
