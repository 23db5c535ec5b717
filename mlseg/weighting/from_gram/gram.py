"""What weightings share that decide from the Gram matrix G_ij = <g_i, g_j> of the gradients."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from mlseg.weighting.base import (
  EmptyState,
  Losses,
  LossWeighting,
  all_finite,
  num_losses,
  ravel,
)


class Given(NamedTuple):
  """What a method decides from; finite."""

  gram: jax.Array  # [K, K], as `normalize` returns it
  factor: jax.Array  # []: what normalised it
  losses: jax.Array  # [K]
  neutral: jax.Array  # [K]: the weights where nothing can be decided
  key: jax.Array | None  # a random key


def require(gram: jax.Array | None, losses: jax.Array) -> jax.Array:
  """Returns the Gram matrix, symmetric and in the dtype of the losses.

  Args:
    gram: [K, K], what `update` was given.
    losses: [K], the losses as a vector.

  Raises:
    ValueError: where it was not given, or has another shape.

  Example:
    >>> require(jnp.array([[1.0, 2.0], [4.0, 9.0]]), jnp.zeros(2)).tolist()
    [[1.0, 3.0], [3.0, 9.0]]
  """
  if gram is None:
    raise ValueError(
      "gram: must be given, [K, K] inner products of the gradients of the losses, got None"
    )
  shape = (losses.size, losses.size)
  if jnp.shape(gram) != shape:
    raise ValueError(f"gram: must have the shape [K, K] = {shape}, got {jnp.shape(gram)}")
  half = jnp.asarray(gram).astype(losses.dtype) * 0.5  # before the sum, which may overflow
  return half + half.T


def is_finite(gram: jax.Array) -> jax.Array:
  """Returns whether no inner product is NaN or infinite, as a scalar.

  Args:
    gram: [K, K].

  Example:
    >>> bool(is_finite(jnp.array([[1.0, jnp.nan], [jnp.nan, 1.0]])))
    False
  """
  return all_finite(gram)


def normalize(gram: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the Gram matrix times a power of two, with its largest diagonal entry in [1, 4).

  The power is even, so norms scale exactly too. What no gradients can have is bounded: a diagonal
  entry is at least 0, and |G_ij| at most the product of the two norms. A matrix whose diagonal is
  nowhere a normal positive number is taken for that of gradients that are all 0.

  Args:
    gram: [K, K], symmetric and finite.

  Returns:
    The matrix [K, K], and the factor that it was multiplied by, a scalar: 1 for zeros.

  Example:
    >>> normalized, factor = normalize(jnp.array([[1e30, 0.0], [0.0, 4e30]]))
    >>> print(normalized, bool((normalized / factor == jnp.diag(jnp.array([1e30, 4e30]))).all()))
    [[0.7888609 0.       ]
     [0.        3.1554437]] True
  """
  factor, known = even_power(gram)
  scaled = jnp.where(known, gram * factor, 0)
  diagonal = jnp.maximum(jnp.diagonal(scaled), 0)
  norms = jnp.sqrt(diagonal)
  bound = norms[:, None] * norms
  bounded = jnp.clip(scaled, -bound, bound)
  return jnp.where(jnp.eye(diagonal.size, dtype=bool), diagonal, bounded), factor


def even_power(gram: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the even power of two that takes the largest diagonal entry to [1, 4).

  Args:
    gram: [K, K], finite.

  Returns:
    The power, and whether an entry of the diagonal is a normal positive number: 1 and False where
    none is. Scalars.

  Example:
    >>> [float(power) for power in even_power(jnp.diag(jnp.array([1.0, 32.0])))]
    [0.0625, 1.0]
  """
  largest = jnp.diagonal(gram).max()
  known = largest >= jnp.finfo(gram.dtype).tiny
  _, exponent = jnp.frexp(jnp.where(known, largest, 1))
  return jnp.ldexp(jnp.ones_like(largest), -2 * ((exponent - 1) // 2)), known


def unit(gram: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the cosines between the gradients, and their norms.

  Args:
    gram: [K, K], as `normalize` returns it.

  Returns:
    [K, K], 1 on the diagonal and 0 in the rows and columns of gradients that are 0; and [K].

  Example:
    >>> cosines, norms = unit(jnp.array([[4.0, -1.0], [-1.0, 1.0]]))
    >>> cosines.tolist(), norms.tolist()
    ([[1.0, -0.5], [-0.5, 1.0]], [2.0, 1.0])
  """
  norms = jnp.sqrt(jnp.diagonal(gram))
  divisors = jnp.where(norms > 0, norms, 1)
  cosines = jnp.clip(gram / divisors[:, None] / divisors, -1, 1)
  return jnp.where(jnp.eye(norms.size, dtype=bool), jnp.sign(norms), cosines), norms


def from_unit(parts: jax.Array, norms: jax.Array) -> jax.Array:
  """Returns weights of the gradients from those of unit gradients; 0 for a gradient that is 0.

  Args:
    parts: [K], finite.
    norms: [K].

  Example:
    >>> print(from_unit(jnp.array([1.0, 3.0]), jnp.array([4.0, 0.0])))
    [0.25 0.  ]
  """
  return jnp.where(norms > 0, parts / jnp.where(norms > 0, norms, 1), 0)


def from_gram(
  solve: Callable[[Given], jax.Array],
  neutral: Callable[[Losses], ArrayLike] = lambda losses: 1 / num_losses(losses),
) -> LossWeighting:
  """Returns a weighting without state from a function of the Gram matrix.

  Args:
    solve: from what is given to weights [K]. What it gives for zeros is for it to say.
    neutral: from the losses to the weights, [K] or one number for all, where a loss, an inner
      product or the result is not finite. What it raises, `init` raises.

  Example:
    >>> weighting = from_gram(lambda given: jnp.diagonal(given.gram))
    >>> losses = jnp.zeros(2)
    >>> for gram in jnp.diag(jnp.array([1.0, 2.0])), jnp.full((2, 2), jnp.inf):
    ...   print(weighting.update(losses, weighting.init(losses), gram=gram)[0])
    [1. 2.]
    [0.5 0.5]
  """

  def init(losses: Losses) -> EmptyState:
    num_losses(losses)
    neutral(losses)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, extra
    vector, unravel = ravel(losses)
    gram = require(gram, vector)
    otherwise = jnp.broadcast_to(jnp.asarray(neutral(losses), vector.dtype), vector.shape)
    enters = is_finite(gram) & all_finite(vector)
    # Iterations on NaN are slow and of no use.
    normalized, factor = normalize(jnp.where(enters, gram, jnp.eye(vector.size, dtype=gram.dtype)))
    solution = solve(Given(normalized, factor, jnp.where(enters, vector, 1), otherwise, key))
    useful = enters & all_finite(solution)
    return unravel(jnp.where(useful, solution, otherwise)), state

  return LossWeighting(init, update, needs_gram=True)
