"""Aligned-MTL: gradients are replaced by the nearest orthogonal ones of equal length."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, Weights
from mlseg.weighting.checks import check_per_loss, per_loss
from mlseg.weighting.from_gram.gram import Given, from_gram, unit
from mlseg.weighting.from_gram.quadratic import dot

_SCALES = ("min", "median", "rmse")


def aligned_mtl(
  scale: Literal["min", "median", "rmse"] = "min", preference: Weights | None = None
) -> LossWeighting:
  """Makes the gradients orthogonal and equally long, with the smallest possible change.

  Formula: w = √λ V Λ^(-1/2) Vᵀ p, G = V Λ Vᵀ the eigenvalues that are not 0, λ one of them: the
  least, the median or the mean

  So Σ_k w_k g_k = Σ_k p_k ĝ_k, where the ĝ_k are orthogonal and have the length √λ. The weights do
  not depend on a common scale of the gradients, and may be negative. They are p where all gradients
  are 0, or an inner product or a loss is not finite.

  The eigenvalues are computed as squares of the singular values of a factor of G, made of the
  cosines between gradients. So in float32 the lengths of gradients may differ by up to about 10⁵.
  The median of an even number of eigenvalues is the lower one of the two in the middle.

  Needs: Gram matrix

  Use when: gradients conflict and differ in length, and every loss should keep its share p of each
  step; with 'min' steps are short where gradients are nearly linearly dependent.

  Differs: the paper scales by the least eigenvalue; the authors' code also offers 'median' and
  'rmse'. The default of TorchJD and mlseg is 'min'.

  Source: Senushkin et al. 2023, CVPR, arXiv 2305.19000, algorithm 1.

  Args:
    scale: λ: 'min', 'median' or 'rmse' (the mean).
    preference: p >= 0, one number for all, or K in the order of `jax.tree.leaves`, or a pytree like
      the losses; None: 1/K.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where preferences do not match the
      losses.

  Example:
    >>> weighting = aligned_mtl()
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([16.0, 1.0]))
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.125, 0.5]
  """
  if scale not in _SCALES:
    raise ValueError(f"scale: choose from {', '.join(_SCALES)}; got {scale!r}")
  check_per_loss("preference", preference, 0)

  def solve(given: Given) -> jax.Array:
    return dot(_balance(given.gram, scale), given.neutral)

  if preference is None:
    return from_gram(solve)
  return from_gram(solve, lambda losses: per_loss("preference", preference, losses))


def _balance(gram: jax.Array, scale: str) -> jax.Array:
  """Returns √λ V Λ^(-1/2) Vᵀ, [K, K]; the identity for a Gram matrix of zeros."""
  cosines, norms = unit(gram)
  values, vectors = jnp.linalg.eigh(cosines)
  noise = 10 * norms.size * jnp.finfo(gram.dtype).eps
  roots = jnp.sqrt(jnp.where(values > noise * values.max(), values, 0))
  # R with RᵀR = G: its singular values lose half as many digits to rounding as G's eigenvalues.
  factor = roots[:, None] * vectors.T * norms[None]
  _, singular, rows = jnp.linalg.svd(factor)
  counts = singular > noise * singular[0]
  inverse = jnp.where(counts, _scale(singular, counts, scale) / jnp.where(counts, singular, 1), 0)
  balance = jnp.matmul(rows.T * inverse[None], rows, precision=jax.lax.Precision.HIGHEST)
  return jnp.where(counts.any(), balance, jnp.eye(norms.size, dtype=gram.dtype))


def _scale(singular: jax.Array, counts: jax.Array, scale: str) -> jax.Array:
  """Returns √λ from falling singular values [K]; `counts` [K] tells which of them are not 0."""
  rank = counts.sum()
  if scale == "rmse":
    squares = jnp.where(counts, singular**2, 0)
    return jnp.sqrt(squares.sum() / jnp.maximum(rank, 1).astype(singular.dtype))
  return singular[rank // 2] if scale == "median" else singular[jnp.maximum(rank - 1, 0)]
