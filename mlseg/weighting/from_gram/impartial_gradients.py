"""IMTL-G, impartial learning by gradients: a direction that favours no loss."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.from_gram.gram import Given, from_gram, unit
from mlseg.weighting.from_gram.quadratic import dot

_LEAST_SHARE = 1e-3  # the smallest allowed sum of weights, relative to the sum of their magnitudes


def impartial_gradients() -> LossWeighting:
  """Gives the weighted sum the same projection on the direction of every gradient (IMTL-G).

  Formula: w = v / Σ_k v_k, v = G⁺ d, d_k = |g_k|, so Σ_j w_j g_j·g_k / |g_k| is the same for all k

  Weights sum to 1 and may be negative. The direction is that of `conflict_free`, but the length is
  another one: if gradients have very different lengths, the shortest decides it.

  The pseudo-inverse is taken of the cosines C between gradients, v_k = (C⁺ 1)_k / |g_k|. The result
  is the same where gradients are linearly independent, and its precision does not depend on their
  lengths. Where there are more losses than dimensions, the projections are as equal as least
  squares can make them. A gradient that is 0 has the weight 0.

  Weights are 1/K where the sum of v is less than 0.001 of the sum of magnitudes, as for opposite
  gradients or gradients that are all 0. The weights would be huge there, or, with a negative sum,
  would make every loss rise.

  Needs: Gram matrix

  Use when: gradients differ much in length, and no loss should be favoured because of it; not for
  more than a few losses in strong conflict, where weights become large and change their sign.

  Differs: where the sum of v is negative, the weights of the paper and of TorchJD lead uphill for
  every loss; mlseg gives 1/K. Where the sum is 0, TorchJD gives weights of 0.

  Differs: TorchJD takes the pseudo-inverse of G itself, so that longer gradients count more where
  projections cannot be equal.

  Source: Liu et al. 2021, ICLR, section 3.1; G⁺ d is the form of Quinton & Rey 2024, arXiv
  2406.16232.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Example:
    >>> weighting = impartial_gradients()
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([9.0, 1.0]))
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.25, 0.75]
  """

  def solve(given: Given) -> jax.Array:
    cosines, norms = unit(given.gram)
    parts = equiangular(cosines) * norms.max() / jnp.where(norms > 0, norms, jnp.inf)
    total = parts.sum()
    useful = total > _LEAST_SHARE * jnp.abs(parts).sum()
    return jnp.where(useful, parts / jnp.where(useful, total, 1), given.neutral)

  return from_gram(solve)


def equiangular(cosines: jax.Array) -> jax.Array:
  """Returns the combination of unit gradients whose inner product with each of them is 1.

  Args:
    cosines: [K, K], C, between the gradients; 0 in the rows and columns of gradients that are 0.

  Returns:
    [K], the coefficients C⁺ 1; eigenvalues of C that are 0 up to rounding count as 0.

  Example:
    >>> parts = equiangular(jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    >>> [round(float(part), 4) for part in parts]
    [1.0, 0.5, 0.5]
  """
  values, vectors = jnp.linalg.eigh(cosines)
  counts = values > 10 * values.size * jnp.finfo(values.dtype).eps * values.max()
  inverse = jnp.where(counts, 1 / jnp.where(counts, values, 1), 0)
  return dot(vectors, inverse * vectors.sum(axis=0))
