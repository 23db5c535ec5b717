"""GradDrop, gradient sign dropout: in every coordinate, gradients of one sign are kept.

Coordinates are not in the Gram matrix, so the method is an optax transformation of the gradients.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.stacked import (
  as_complex,
  as_real,
  check_stacked,
  mask_of,
  only_present,
  wide_dtype,
)

PyTree = Any


class GradDropState(NamedTuple):
  """The number of steps, from which the keys of the draws follow."""

  num_updates: jax.Array  # [], int32


def graddrop(
  num_losses: int, leak: float | Sequence[float] = 0.0, seed: int = 0
) -> optax.GradientTransformationExtraArgs:
  """Keeps, in every coordinate, the gradients of one sign, drawn in proportion to their sum.

  Formula: Σ_k (l_k + (1 - l_k) m_k) g_k with m_k = 1[P > U] 1[g_k > 0] + 1[P < U] 1[g_k < 0],
  P = (1 + Σ_k g_k / Σ_k |g_k|) / 2, U uniform in [0, 1), all of it per coordinate

  Where the losses agree on the sign, the result is the sum of the gradients. Elsewhere the mean of
  the result over the draws is that sum. A complex number is two coordinates.

  Needs: per-loss gradients, key

  Use when: losses pull single parameters in opposite directions, and the optimiser averages over
  many steps, since the draws add noise to every update.

  Differs: the paper and LibMTL drop gradients with respect to the features that the tasks share,
  multiplied by the signs of the features and summed over the batch. TorchJD and mlseg drop
  gradients with respect to the parameters.

  Source: Chen et al. 2020, NeurIPS, "Just Pick a Sign", arXiv 2010.06808, algorithm 1.

  Args:
    num_losses: K.
    leak: l, the share of a dropped gradient that is kept, in [0, 1]; one number, or K.
    seed: of the draws where `update` is given no `key=`; then they are the same for all models
      under `vmap`.

  Returns:
    A GradientTransformationExtraArgs.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where gradients do not fit.

  Example:
    >>> transformation = graddrop(2)
    >>> gradients = {"a": jnp.array([[1.0, 3.0], [2.0, -1.0]])}
    >>> updates, _ = transformation.update(gradients, transformation.init({"a": jnp.zeros(2)}))
    >>> updates["a"].tolist()  # the second coordinate: 3 or -1
    [3.0, -1.0]
  """
  check_integer("num_losses", num_losses, 1)
  check_integer("seed", seed, 0)
  leaks = np.ravel(leak)
  for value in leaks:
    check_number("leak", value, 0, 1)
  if leaks.size not in (1, num_losses):
    raise ValueError(f"leak: must be one number or K = {num_losses}, got {leak!r}")

  def init(params):
    del params
    return GradDropState(jnp.zeros((), jnp.int32))

  def update(updates, state, params=None, *, losses=None, key=None, present=None, **extra):
    del params, extra
    check_stacked(updates, num_losses)
    mask = mask_of(num_losses, losses, present)
    leaves, structure = jax.tree.flatten(only_present(as_real(updates), mask))
    if key is None:
      key = jax.random.fold_in(jax.random.key(seed), state.num_updates)
    combined = []
    for index, leaf in enumerate(leaves):
      leaf_key = jax.random.fold_in(key, index)
      draws = jax.random.uniform(leaf_key, leaf.shape[1:], wide_dtype(leaf))
      combined.append(_drop(leaf, draws, leaks).astype(leaf.dtype))
    number = optax.safe_increment(state.num_updates)
    if mask is not None:
      number = jnp.where(mask.any(), number, state.num_updates)
    next_state = GradDropState(number)
    return as_complex(jax.tree.unflatten(structure, combined), updates), next_state

  return optax.GradientTransformationExtraArgs(init, update)


def _drop(gradients: jax.Array, draws: jax.Array, leaks: np.ndarray) -> jax.Array:
  """Returns the sum over K of gradients [K, ...] without those of one sign, given draws [...]."""
  wide = gradients.astype(draws.dtype)
  share = wide / wide.shape[0]  # so that the sums are no larger than the largest gradient
  size = jnp.abs(share).sum(axis=0)
  purity = (1 + share.sum(axis=0) / jnp.where(size == 0, 1, size)) / 2
  kept = jnp.where(wide > 0, (purity > draws)[None], (purity < draws)[None]).astype(draws.dtype)
  leak = jnp.asarray(leaks, draws.dtype).reshape(-1, *[1] * draws.ndim)
  dropped = ((leak + (1 - leak) * kept) * wide).sum(axis=0)
  # A compiler may turn 0 · NaN into 0. The purity is NaN where any gradient is not finite.
  return jnp.where(jnp.isnan(purity), purity, dropped)
