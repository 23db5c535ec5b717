"""Conflicts between the gradients of several losses: their cosines, and statistics of a series."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class ConflictStatistics(NamedTuple):
  """How the gradients of K losses agree over a series; nan where a pair was never measured."""

  mean_cosine: np.ndarray  # [K, K] float64, in [-1, 1]
  conflict_share: np.ndarray  # [K, K] float64, share of the measurements with a negative cosine
  num_measured: np.ndarray  # [K, K] integers


def gradient_cosines(gram: jax.Array) -> jax.Array:
  """Returns the cosines between gradients: c_ij = G_ij / sqrt(G_ii G_jj).

  Two gradients are in conflict where their cosine is negative: a small step along the one makes the
  other loss larger. The function is pure, and may be compiled and vmapped.

  Source: Yu et al., Gradient surgery for multi-task learning, NeurIPS 2020, definition 1.

  Args:
    gram: G, [..., K, K], the inner products of the gradients, of any float dtype.

  Returns:
    [..., K, K] in [-1, 1], without a unit, in float32 or the wider dtype of `gram`. It is symmetric
    where G is, and 1 on the diagonal. It is 0 where a gradient is 0, and where G_ii, G_jj or G_ij
    is not finite, so it is always finite.

  Raises:
    ValueError: where the shape is not [..., K, K].

  Example:
    >>> gradients = jnp.array([[3.0, 0.0], [-1.0, 1.0], [0.0, 0.0]])
    >>> print(gradient_cosines(gradients @ gradients.T).round(2))
    [[ 1.   -0.71  0.  ]
     [-0.71  1.    0.  ]
     [ 0.    0.    0.  ]]
  """
  if jnp.ndim(gram) < 2 or gram.shape[-1] != gram.shape[-2]:
    raise ValueError(f"gram: must be [..., K, K], got the shape {jnp.shape(gram)}")
  gram = gram.astype(jnp.promote_types(gram.dtype, jnp.float32))
  norms = jnp.sqrt(jnp.diagonal(gram, axis1=-2, axis2=-1))
  known = jnp.isfinite(norms) & (norms > 0)
  norms = jnp.where(known, norms, 1)
  # One norm after the other: their product may be too large or too small for the dtype.
  once = gram / norms[..., :, None] / norms[..., None, :]
  cosines = (once + jnp.swapaxes(once, -1, -2)) / 2  # both orders of division round differently
  cosines = jnp.where(jnp.eye(gram.shape[-1], dtype=bool), 1, jnp.clip(cosines, -1, 1))
  both = known[..., :, None] & known[..., None, :] & jnp.isfinite(gram)
  return jnp.where(both & jnp.isfinite(cosines), cosines, 0)


def conflict_statistics(cosines: Any, present: Any = None) -> ConflictStatistics:
  """Returns for every pair of losses the mean cosine, and the share of negative ones.

  Over the measurements t in which both losses are present and the cosine is not nan, n_ij of them:
  mean_ij = 1/n_ij sum_t c_tij, and share_ij = |{t: c_tij < 0}| / n_ij.

  Source: the share counts the conflicts of Yu et al., Gradient surgery for multi-task learning,
    NeurIPS 2020, definition 1.

  Args:
    cosines: c, [T, K, K], such as those of `gradient_cosines` at T steps; nan where there is none.
    present: [T, K] bool, which losses each step has; None: all.

  Returns:
    The statistics, each [K, K]; mean and share are nan for a pair that was never measured.

  Raises:
    ValueError: where the shapes do not fit.

  Example:
    >>> series = np.array([[[1.0, -0.5], [-0.5, 1.0]], [[1.0, 0.75], [0.75, 1.0]]])
    >>> found = conflict_statistics(series)
    >>> float(found.mean_cosine[0, 1]), float(found.conflict_share[0, 1])
    (0.125, 0.5)
    >>> found = conflict_statistics(series, [[True, True], [True, False]])
    >>> float(found.mean_cosine[0, 1]), found.num_measured.tolist()
    (-0.5, [[2, 1], [1, 1]])
  """
  values = np.asarray(cosines, np.float64)
  if values.ndim != 3 or values.shape[1] != values.shape[2]:
    raise ValueError(f"cosines: must be [T, K, K], got the shape {values.shape}")
  counted = ~np.isnan(values)
  if present is not None:
    mask = np.asarray(present, bool)
    if mask.shape != values.shape[:2]:
      raise ValueError(f"present: must be [T, K] = {values.shape[:2]}, got the shape {mask.shape}")
    counted &= mask[:, :, None] & mask[:, None, :]
  count = counted.sum(0)
  total = np.where(counted, values, 0).sum(0)
  negative = (counted & (values < 0)).sum(0)
  never = np.full(count.shape, np.nan)
  return ConflictStatistics(
    np.divide(total, count, out=never.copy(), where=count > 0),
    np.divide(negative, count, out=never.copy(), where=count > 0),
    count,
  )
