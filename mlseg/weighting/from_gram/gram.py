"""Functions shared by the weightings that decide from the Gram matrix G_ij = <g_i, g_j>."""

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
  uniform,
)
from mlseg.weighting.presence import number_of, only, ravel_present


class Given(NamedTuple):
  """The arguments from which a method decides, all of them finite."""

  gram: jax.Array  # [K, K], as `normalize` returns it
  factor: jax.Array  # []: by which `normalize` multiplied it
  losses: jax.Array  # [K]
  neutral: jax.Array  # [K]: the weights where the method cannot decide
  key: jax.Array | None  # a random key
  present: jax.Array | None  # [K], at least one: the rows and columns of the others are 0


def require(
  gram: jax.Array | None, losses: jax.Array, present: jax.Array | None = None
) -> jax.Array:
  """Returns the Gram matrix, symmetric and in the dtype of the losses.

  Args:
    gram: [K, K], as given to `update`; where it is complex (Hermitian), its real part counts.
    losses: [K], the losses as a vector.
    present: [K], bool, or None for all; the rows and columns of the others become 0.

  Raises:
    ValueError: where it is None, or has another shape.

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
  real = of_present(jnp.real(jnp.asarray(gram)).astype(losses.dtype), present)
  half = real * 0.5  # before the sum, which may overflow
  return half + half.T


def of_present(gram: jax.Array, present: jax.Array | None) -> jax.Array:
  """Returns the Gram matrix with 0 in the rows and columns of absent losses.

  Args:
    gram: [K, K]; the rows and columns of absent losses may hold anything.
    present: [K], bool, or None for all.

  Example:
    >>> of_present(jnp.array([[4.0, jnp.nan], [jnp.inf, 1.0]]), jnp.array([True, False])).tolist()
    [[4.0, 0.0], [0.0, 0.0]]
  """
  if present is None:
    return gram
  return jnp.where(present[:, None] & present[None], gram, 0)


def some(present: jax.Array | None) -> jax.Array | None:
  """Returns the mask, or that of all losses where none is present, so that a solver has some.

  Args:
    present: [K], bool, or None.

  Example:
    >>> some(jnp.array([True, False])).tolist(), some(jnp.array([False, False])).tolist()
    ([True, False], [True, True])
  """
  return None if present is None else present | ~present.any()


def mean(values: jax.Array, present: jax.Array | None) -> jax.Array:
  """Returns the mean over the present losses, a scalar.

  Args:
    values: [K].
    present: [K], bool, or None for all.

  Example:
    >>> float(mean(jnp.array([1.0, 2.0, 6.0]), jnp.array([False, True, True])))
    4.0
  """
  return only(values, present).sum() / number_of(values, present)


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

  The power is even, so that norms are scaled exactly too. Entries that no gradients can have are
  clipped: a diagonal entry is at least 0, and |G_ij| is at most the product of the two norms. A
  matrix without a normal positive number on its diagonal counts as that of gradients that are 0.

  Args:
    gram: [K, K], symmetric and finite.

  Returns:
    The matrix [K, K], and the factor by which it was multiplied, a scalar: 1 for zeros.

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
  bound = norms[:, None] * norms[None]
  bounded = jnp.clip(scaled, -bound, bound)
  return jnp.where(jnp.eye(diagonal.size, dtype=bool), diagonal[None], bounded), factor


def even_power(gram: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the even power of two that takes the largest diagonal entry to [1, 4).

  Args:
    gram: [K, K], finite.

  Returns:
    Two scalars: the power, and whether an entry of the diagonal is a normal positive number; 1 and
    False where none is.

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
  cosines = jnp.clip(gram / divisors[:, None] / divisors[None], -1, 1)
  return jnp.where(jnp.eye(norms.size, dtype=bool), jnp.sign(norms)[None], cosines), norms


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
  neutral: Callable[[Losses], ArrayLike | None] = lambda losses: None,
) -> LossWeighting:
  """Returns a weighting without state from a function of the Gram matrix.

  Args:
    solve: a function of `Given` that returns the weights [K], also for a Gram matrix of zeros.
    neutral: a function of the losses that returns the weights, [K] or one number for all, to use
      where a loss, an inner product or the result of `solve` is not finite; None for 1 / the number
      of present losses. `init` calls it, too, and raises what it raises.

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

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, extra
    vector, unravel, mask = ravel_present(losses, present)
    gram, mask = require(gram, vector, mask), some(mask)
    given = neutral(losses)
    otherwise = uniform(vector, mask)
    if given is not None:
      otherwise = jnp.broadcast_to(jnp.asarray(given, vector.dtype), vector.shape)
    enters = is_finite(gram) & all_finite(vector)
    # Iterations on NaN would be slow, and their result is not used.
    unused = only(jnp.eye(vector.size, dtype=gram.dtype), mask)
    normalized, factor = normalize(jnp.where(enters, gram, unused))
    known = jnp.where(enters, vector, 1)
    solution = solve(Given(normalized, factor, known, otherwise, key, mask))
    useful = enters & all_finite(only(solution, mask))
    return unravel(jnp.where(useful, solution, otherwise)), state

  return LossWeighting(init, update, needs_gram=True)
