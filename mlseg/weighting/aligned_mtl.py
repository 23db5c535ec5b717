"""Aligned-MTL: gradients made orthogonal and of one length by the nearest such matrix."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, Weights
from mlseg.weighting.gram import from_gram
from mlseg.weighting.per_loss import check_per_loss, per_loss

_SCALES = ("min", "median", "rmse")


def aligned_mtl(
  scale: Literal["min", "median", "rmse"] = "min", preference: Weights | None = None
) -> LossWeighting:
  """Weights for which the gradients count as if they were orthogonal and of one length.

  Formula: w = s V Σ⁻¹ Vᵀ p with G = V Σ² Vᵀ, s the least singular value σ_r of the gradients (or
  the median, or the root of the mean of the squares), p the preference

  Weights may be negative. Singular values below rounding do not count, and their directions get
  nothing. Gradients that are all 0 have the weights p.

  Needs: Gram matrix

  Use when: the gradients conflict or differ in length and a stable step is wanted; 'min' makes
  steps small when two gradients are nearly parallel or opposite, 'rmse' keeps their size.

  Differs: the paper scales by the least singular value alone; 'median' and 'rmse' are of the
  authors' code and of TorchJD.

  Source: Senushkin et al. 2023, CVPR, arXiv 2305.19000, eqs. 12-14.

  Args:
    scale: 'min', 'median' or 'rmse'.
    preference: weights p, not negative, one number per loss; None: 1/K each.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in the first use, where the preference does
      not match the losses.

  Example:
    >>> weighting = aligned_mtl()
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> print(weights)
    [0.25 0.5 ]
  """
  if scale not in _SCALES:
    raise ValueError(f"scale: choose from {', '.join(_SCALES)}; got {scale!r}")
  if preference is not None:
    check_per_loss("preference", preference, 0)

  def solve(gram: jax.Array, factor: jax.Array, losses: jax.Array) -> jax.Array:
    del factor
    wanted = jnp.full_like(losses, 1 / losses.size)
    if preference is not None:
      wanted = jnp.asarray(per_loss("preference", preference, losses), losses.dtype)
    values, vectors = jnp.linalg.eigh(gram)
    counts = values > values.max() * values.size * jnp.finfo(values.dtype).eps
    used = jnp.where(counts, values, 1)
    along = (vectors * wanted[:, None]).sum(axis=0)
    balanced = (vectors * jnp.where(counts, along / jnp.sqrt(used), 0)).sum(axis=1)
    weights = jnp.sqrt(_scale(used, counts, scale)) * balanced
    return jnp.where(counts.any(), weights, wanted)

  return from_gram(solve)


def _scale(values: jax.Array, counts: jax.Array, scale: str) -> jax.Array:
  """Returns the least, the (lower) median or the mean of the eigenvalues that count."""
  number = jnp.maximum(counts.sum(), 1)
  if scale == "rmse":
    return jnp.where(counts, values, 0).sum() / number.astype(values.dtype)
  ordered = jnp.sort(jnp.where(counts, values, jnp.inf))
  return ordered[0] if scale == "min" else ordered[(number - 1) // 2]
