"""Multi-objective descent from stochastic gradients: weights that move a little at every step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  all_finite,
  check_integer,
  check_number,
  num_losses,
  ravel,
  state_dtype,
)
from mlseg.weighting.gram import require


class SimplexState(NamedTuple):
  """The weights, which the next step goes on from."""

  weights: jax.Array  # [K], not negative, sum 1


def modo(gamma: float = 0.1, rho: float = 0.1) -> LossWeighting:
  """One projected gradient step per update towards the shortest convex combination.

  Formula: w ← Π(w − γ (H w + ρ w)), H_ij = ⟨g_i, g'_j⟩ of two independent batches, Π the projection
  onto the simplex

  H is what is given as `gram`. The product of gradients of one batch with themselves, which
  `losses_and_gradients` gives, is a biased estimate of it, too large on the diagonal. Where a loss
  or an inner product is not finite the weights stay. The step depends on the scale of gradients.

  Needs: Gram matrix

  Use when: `mgda` jumps from step to step with small batches.

  Source: Chen et al. 2023, NeurIPS, arXiv 2305.20057, algorithm 1 (MoDo).

  Args:
    gamma: > 0, the step size of the weights.
    rho: >= 0, how much the weights are drawn to uniform.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = modo()
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> print(weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)[0])
    [0.425 0.575]
  """
  check_number("gamma", gamma, 0)
  check_number("rho", rho, 0)

  def move(weights: jax.Array, gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    moved = project(weights - gamma * (_times(gram, weights) + rho * weights))
    return moved, moved

  return _descent(move)


def sdmgrad(
  learning_rate: float = 10.0,
  momentum: float = 0.5,
  num_steps: int = 20,
  regularization: float = 0.3,
) -> LossWeighting:
  """Several projected gradient steps per update, towards the mean gradient's neighbourhood.

  Formula: v ← m v + H̃ (w + λ/K), w ← Π(w − η v), `num_steps` times; the weights are
  (w + λ/K) / (1 + λ); H̃ = H / mean_k(√H_kk)², H_ij = ⟨g_i, g'_j⟩ of two independent batches

  H is what is given as `gram`; see `modo` for what one batch means. The inner w is kept from update
  to update; where a loss or an inner product is not finite it stays.

  Needs: Gram matrix

  Use when: batches are small and a direction close to the plain mean is wanted.

  Source: Xiao, Ban & Ji 2023, NeurIPS, arXiv 2305.18409, algorithm 1; with the projected steps and
  the scaling of the authors' code.

  Args:
    learning_rate: η > 0.
    momentum: in [0, 1].
    num_steps: of the inner descent.
    regularization: λ >= 0, the weight of the mean gradient.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = sdmgrad()
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> print(weights.round(4))
    [0.8583 0.1417]
  """
  check_number("learning_rate", learning_rate, 0)
  check_number("momentum", momentum, 0, 1)
  check_integer("num_steps", num_steps, 1)
  check_number("regularization", regularization, 0)

  def move(weights: jax.Array, gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 0)).mean()
    matrix = gram / (scale**2 + 1e-8)
    towards = regularization / weights.size

    def body(_, carry):
      weights, velocity = carry
      velocity = momentum * velocity + _times(matrix, weights + towards)
      return project(weights - learning_rate * velocity), velocity

    moved, _ = jax.lax.fori_loop(0, num_steps, body, (weights, jnp.zeros_like(weights)))
    return moved, (moved + towards) / (1 + regularization)

  return _descent(move)


def _descent(move) -> LossWeighting:
  """Returns a weighting from `move(weights, gram) -> (next weights, weights to use)`."""

  def init(losses: Losses) -> SimplexState:
    number = num_losses(losses)
    return SimplexState(jnp.full(number, 1 / number, state_dtype(losses)))

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, key, extra
    vector, unravel = ravel(losses)
    require(gram, vector)  # its shape; a product of two batches is not symmetric
    moved, used = move(state.weights, jnp.asarray(gram).astype(vector.dtype))
    enters = all_finite(vector) & all_finite(moved) & all_finite(used)
    return (
      unravel(jnp.where(enters, used, state.weights)),
      SimplexState(jnp.where(enters, moved, state.weights)),
    )

  return LossWeighting(init, update, needs_gram=True)


def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  return (matrix * vector).sum(axis=1)


def project(point: jax.Array) -> jax.Array:
  """Returns the nearest point of the simplex: max(x − τ, 0) with the τ that makes the sum 1.

  Args:
    point: [K].

  Example:
    >>> print(project(jnp.array([0.5, 1.5, -1.0])))
    [0. 1. 0.]
  """
  ordered = jnp.sort(point)[::-1]
  # How far the sum of the k largest is from 1, shared among them.
  excess = (jnp.cumsum(ordered) - 1) / jnp.arange(1, point.size + 1).astype(point.dtype)
  number = jnp.maximum((ordered > excess).sum(), 1)
  return jnp.maximum(point - excess[number - 1], 0)
