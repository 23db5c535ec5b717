"""CAGrad, conflict-averse descent: the mean gradient, turned towards the loss that falls least."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_gram.gram import Given, from_gram, unit
from mlseg.weighting.from_gram.quadratic import definite, dot, minimize_quadratic, repeat
from mlseg.weighting.presence import number_of, only

# A combination that is shorter than this, relative to the shortest gradient, counts as 0.
_SHORTEST = 1e-4
_NUM_SECANTS = 18  # at most
_WIDTH = 16  # of the interval of a logarithm that is narrow enough, in units of rounding
_FOUND = 4  # the value that counts as 0, in the same units


def cagrad(c: float = 0.5, rescale: Literal[0, 1, 2] = 1) -> LossWeighting:
  """Maximises the smallest decrease of any loss, over the directions near the mean gradient.

  Formula: w = (1/K + c ‖g_0‖/‖g_v‖ v) / s, g_0 = Σ_k g_k / K, v = argmin ⟨g_v, g_0⟩ + c ‖g_0‖ ‖g_v‖
  over v_k ≥ 0, Σ_k v_k = 1, g_v = Σ_k v_k g_k

  Σ_k w_k g_k is d / s, where d maximises min_k ⟨d, g_k⟩ subject to ‖d − g_0‖ ≤ c ‖g_0‖. The scale s
  is 1 for rescale=0, 1 + c² for rescale=1, and 1 + c for rescale=2.

  Its time grows with the cube of the number of losses. On two CPU cores a step takes about 5 ms
  for K = 64 and 0.2 s for K = 256, and hundreds of losses are as far as it is meant to go.

  Needs: Gram matrix

  Use when: the minimum of the mean loss is wanted, with fewer conflicts on the way; c = 0 gives the
  mean gradient, a large c gives `mgda`.

  Differs: LibMTL and the authors' code minimise with SLSQP, which stops early, so that weights are
  off by up to 3e-4. LibMTL's code is for K = 3 only.

  Differs: TorchJD does not rescale, as with rescale=0; nash-mtl, FAMO and auto-lambda multiply the
  result by K.

  Source: Liu et al. 2021, NeurIPS, arXiv 2110.14048, eqs. 3-5 and algorithm 1.

  Args:
    c: >= 0, the radius around the mean gradient, as a share of its length.
    rescale: 0, 1 or 2.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = cagrad(rescale=0)
    >>> gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.75, 0.75]
  """
  check_number("c", c, 0)
  if isinstance(rescale, bool) or rescale not in (0, 1, 2):
    raise ValueError(f"rescale: choose from 0, 1, 2; got {rescale!r}")
  scale = (1.0, 1 + c**2, 1 + c)[rescale]

  def solve(given: Given) -> jax.Array:
    number = number_of(given.losses, given.present)
    radius = c * jnp.sqrt(jnp.maximum(given.gram.sum() / number**2, 0))
    inner, length = _towards_the_worst(given.gram, radius, given.present)
    return (1 / number + radius / length * inner) / scale

  return from_gram(solve)


def _towards_the_worst(
  gram: jax.Array, radius: jax.Array, present: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
  """Returns the v on the simplex that minimises ⟨g_v, g_0⟩ + r ‖g_v‖, and the ‖g_v‖ to divide by.

  Since ‖g_v‖ = min over t of (‖g_v‖²/t + t)/2, the problem for a given t is a quadratic program.
  The ratio ‖g_v‖ / t of its solution falls as t grows, and the t where it is 1 is searched for. If
  g_v is 0 at the solution it has no direction; then the smallest t tried takes the place of the
  length, and g_v/t is the limit.

  The unknowns are y_k = v_k ‖g_k‖ / (the shortest length), the weights of unit gradients.
  """
  cosines, norms = unit(gram)
  shortest = jnp.where(norms > 0, norms, jnp.inf).min()
  safe = jnp.where(norms > 0, norms, shortest)
  safe = jnp.where(jnp.isfinite(safe), safe, 1)  # all gradients are 0
  normal = only(safe.min() / safe, present)
  matrix = definite(cosines)
  linear = dot(cosines, norms) / number_of(norms, present) / jnp.where(radius > 0, radius, 1)

  def at(log_length: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the solution y for a length t, and log ‖g_y‖ - log t."""
    length = jnp.exp(log_length)
    y = minimize_quadratic(matrix, length * linear, normal, present)
    squared = jnp.maximum((y * dot(matrix, y)).sum(), jnp.finfo(y.dtype).tiny)
    return y, jnp.log(squared) / 2 - log_length

  # In units of the shortest gradient, no convex combination is longer than the longest gradient.
  low = jnp.log(jnp.asarray(_SHORTEST, gram.dtype))
  high = jnp.log(1 / only(normal, present, 1).min())
  log_length = _root(lambda log_length: at(log_length)[1], low, high, norms.size)
  y, _ = at(log_length)
  weights = y / safe
  total = weights.sum()
  return weights / total, jnp.exp(log_length) / total


class _Search(NamedTuple):
  """The bounds of a root, and the last two points that were tried, with their values."""

  low: jax.Array
  high: jax.Array
  last: jax.Array
  value: jax.Array
  before: jax.Array
  value_before: jax.Array


def _root(
  function: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array, number: int
) -> jax.Array:
  """Returns where a falling function is 0, or the nearest end of the range.

  It falls by less than the difference of its arguments, so that x + f(x) lies between x and the
  root, and is a bound of it. Within the bounds it uses secants; every third step halves their
  distance instead.
  """
  eps = float(jnp.finfo(low.dtype).eps)

  def step(i, search):
    secant = search.last - search.value * _quotient(
      search.last - search.before, search.value - search.value_before
    )
    usual = (i % 3 != 2) & (secant > search.low) & (secant < search.high)
    point = jnp.where(usual, secant, (search.low + search.high) / 2)
    value = function(point)
    bound, found = point + value, jnp.abs(value) <= _FOUND * eps
    lower = jnp.where(value > 0, jnp.maximum(search.low, bound), search.low)
    upper = jnp.where(value > 0, search.high, jnp.minimum(search.high, bound))
    lower, upper = jnp.where(found, point, lower), jnp.where(found, point, upper)
    return _Search(lower, upper, point, value, search.last, search.value)

  at_low, at_high = function(low), function(high)
  start = _Search(low + at_low, high + at_high, high, at_high, low, at_low)
  search = repeat(
    _NUM_SECANTS, step, lambda search: search.high - search.low > _WIDTH * eps, start, number
  )
  newer = jnp.abs(search.value) <= jnp.abs(search.value_before)  # the last may have been a half
  nearest = jnp.where(newer, search.last + search.value, search.before + search.value_before)
  root = jnp.clip(nearest, search.low, search.high)
  return jnp.where(at_low <= 0, low, jnp.where(at_high >= 0, high, root))


def _quotient(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
  """Returns the quotient, 0 where the divisor is 0."""
  return jnp.where(denominator == 0, 0, numerator / jnp.where(denominator == 0, 1, denominator))
