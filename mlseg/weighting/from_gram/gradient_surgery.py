"""Gradient surgery: gradients in conflict are turned before they are summed.

PCGrad turns them to right angles, GradVac to the running average of the angles between them.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, all_finite, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_gram.gram import Given, from_gram, is_finite, normalize, require, unit
from mlseg.weighting.presence import ravel_present

_REDUCTIONS = ("sum", "mean")
_MAX_TARGET = 0.9999  # so that a turn adds at most 71 times the length of a gradient


class GradVacState(NamedTuple):
  """The running averages of the cosines between a turned gradient and the gradient of a loss."""

  targets: jax.Array  # [K, K], in [-1, 1]; 0 on the diagonal


def pcgrad(reduction: Literal["sum", "mean"] = "sum") -> LossWeighting:
  """Removes from each gradient the parts that conflict with the others, in turn (PCGrad).

  Formula: Σ_k w_k g_k = Σ_i g_i', where for all j ≠ i in random order g_i' ← g_i' -
  min(g_i'·g_j, 0) / |g_j|² g_j, from g_i' = g_i

  So g_i' changes from j to j, while g_j is always the original gradient. The `key` decides the
  orders; without a key they are the order of the losses. A gradient that is 0 has the weight 1.
  Weights are 1 where an inner product or a loss is not finite. With 'mean' all weights are divided
  by K.

  Needs: Gram matrix, key

  Use when: conflicting gradients should not undo each other, and without conflicts the result
  should be the plain sum. A gradient that dominates by its length still does.

  Differs: the authors' TensorFlow code averages the turned gradients, while algorithm 1 of the
  paper, LibMTL, TorchJD and ConFIG sum them; here `reduction` decides, by default the sum.

  Source: Yu et al. 2020, NeurIPS, arXiv 2001.06782, algorithm 1.

  Args:
    reduction: 'sum' or 'mean' of the turned gradients.

  Returns:
    A LossWeighting whose weights are at least 1 ('sum') or 1/K ('mean'). In a chain it replaces
    what came before.

  Raises:
    ValueError: where the reduction is unknown.

  Example:
    >>> weighting = pcgrad()
    >>> losses, gram = jnp.ones(2), jnp.array([[4.0, -1.0], [-1.0, 1.0]])
    >>> weighting.update(losses, weighting.init(losses), gram=gram)[0].tolist()
    [1.25, 2.0]
  """
  if reduction not in _REDUCTIONS:
    raise ValueError(f"reduction: choose from {', '.join(_REDUCTIONS)}; got {reduction!r}")

  def solve(given: Given) -> jax.Array:
    return _project(given.gram, _orders(given.key, len(given.gram))) * given.neutral

  return from_gram(solve, lambda losses: 1.0 if reduction == "sum" else None)


def gradvac(beta: float = 0.01) -> LossWeighting:
  """Turns gradients towards each other until their cosines reach moving targets (GradVac).

  Formula: Σ_k w_k g_k = Σ_i g_i', where for all j ≠ i in random order, with φ = cos(g_i', g_j), if
  φ < φ̂_ij, g_i' ← g_i' + |g_i'| (φ̂_ij √(1-φ²) - φ √(1-φ̂_ij²)) / (|g_j| √(1-φ̂_ij²)) g_j, from
  g_i' = g_i; then φ̂_ij ← (1-β) φ̂_ij + β φ

  The targets φ̂ begin at 0, and with β = 0 it is `pcgrad`. Targets are clipped to [-0.9999, 0.9999]
  where they are used, because the formula grows without bound towards 1. The `key` decides the
  orders; without a key they are the order of the losses. Pairs with a gradient that is 0 are left
  out. Weights are 1, and targets stay, where an inner product or a loss is not finite.

  Needs: Gram matrix, key

  Use when: the losses are related, so that their gradients should be closer to each other than the
  right angle of `pcgrad`; where conflicts are usual, its targets allow for some conflict.

  Differs: β is 0.01 in the paper, as here, and 0.5 in LibMTL and TorchJD.

  Differs: LibMTL's package moves a target only where it turns the gradient, so its targets never
  rise; its repository, TorchJD and mlseg always move it, as the paper has it.

  Source: Wang et al. 2021, ICLR, arXiv 2010.05874, algorithm 1.

  Args:
    beta: β, in [0, 1], how fast targets follow the cosines.

  Returns:
    A LossWeighting whose weights are at least 1. In a chain it replaces what came before.

  Raises:
    ValueError: where beta is out of its range.

  Example:
    >>> weighting = gradvac(0.5)
    >>> losses, gram = jnp.ones(2), jnp.array([[4.0, -1.0], [-1.0, 1.0]])
    >>> weights, state = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> weights.tolist(), state.targets[0].tolist()
    ([1.25, 2.0], [0.0, -0.25])
  """
  check_number("beta", beta, 0, 1)

  def init(losses: Losses) -> GradVacState:
    number = num_losses(losses)
    return GradVacState(jnp.zeros((number, number), state_dtype(losses)))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, extra
    vector, unravel, mask = ravel_present(losses, present)
    gram = require(gram, vector, mask)  # zeros: pairs with an absent loss are left out
    enters = is_finite(gram) & all_finite(vector)
    normalized, _ = normalize(jnp.where(enters, gram, 0))
    solution, targets = _turn(normalized, _orders(key, vector.size), state.targets, beta)
    enters &= all_finite(solution)
    decided = jnp.where(enters, solution, 1)
    return unravel(decided), GradVacState(jnp.where(enters, targets, state.targets))

  return LossWeighting(init, update, needs_gram=True)


def _orders(key: jax.Array | None, number: int) -> jax.Array:
  """Returns for each loss an order of all losses, [K, K]."""
  orders = jnp.broadcast_to(jnp.arange(number), (number, number))
  return orders if key is None else jax.random.permutation(key, orders, axis=1, independent=True)


def _project(gram: jax.Array, orders: jax.Array) -> jax.Array:
  """Returns the weights [K] of PCGrad: targets of 0 are right angles."""
  return _turn(gram, orders, jnp.zeros_like(gram), 0.0)[0]


def _turn(
  gram: jax.Array, orders: jax.Array, targets: jax.Array, beta: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the weights [K] of the sum of all turned gradients, and the next targets [K, K].

  Each row is one turned gradient, as a combination of the unit gradients u_j, so that gradients of
  very different lengths lose no precision. All rows make their t-th turn at once.
  """
  cosines, norms = unit(gram)
  rows = jnp.arange(norms.size)

  def turn(t, carry):
    combinations, products, targets = carry  # of u_j; with u_j; all [K, K]
    j = orders[:, t]
    is_j = j[:, None] == rows[None]
    squared = (combinations * products).sum(axis=1)
    # A gradient that is 0 up to rounding has no direction.
    exists = (squared > 8 * jnp.finfo(gram.dtype).eps) & (norms[j] > 0) & (j != rows)
    length = jnp.sqrt(jnp.where(exists, squared, 1))
    cosine = jnp.clip(jnp.where(is_j, products, 0).sum(axis=1) / length, -1, 1)
    target = jnp.where(is_j, targets, 0).sum(axis=1)
    bounded = jnp.clip(target, -_MAX_TARGET, _MAX_TARGET)
    amount = length * (bounded * _sine(cosine) / _sine(bounded) - cosine)
    amount = jnp.where(exists & (cosine < bounded), amount, 0)[:, None]
    moved = jnp.where(exists, (1 - beta) * target + beta * cosine, target)[:, None]
    return (
      jnp.where(is_j, combinations + amount, combinations),
      products + amount * cosines[j],
      jnp.where(is_j, moved, targets),
    )

  start = (jnp.eye(norms.size, dtype=gram.dtype), cosines, targets)
  combinations, _, targets = jax.lax.fori_loop(0, norms.size, turn, start)
  # In terms of the gradients themselves, g_i' = Σ_j |g_i| c_ij / |g_j| g_j.
  lengths = (norms[:, None] * combinations).sum(axis=0)
  return jnp.where(norms > 0, lengths / jnp.where(norms > 0, norms, 1), 1), targets


def _sine(cosine: jax.Array) -> jax.Array:
  """Returns √(1 - φ²), exact near ±1."""
  return jnp.sqrt((1 - cosine) * (1 + cosine))
