"""Conflict-averse gradient descent: the mean gradient, turned towards the loss that falls least."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, check_number
from mlseg.weighting.from_gram.gram import Given, from_gram, unit
from mlseg.weighting.from_gram.quadratic import definite, dot, minimize_quadratic

# The least length of a combination that is told from 0, over the shortest gradient's.
_SHORTEST = 1e-4
_NUM_SECANTS = 24


def cagrad(c: float = 0.5, rescale: Literal[0, 1, 2] = 1) -> LossWeighting:
  """Maximises the least decrease of a loss among the directions near the mean gradient.

  Formula: w = (1/K + c ‖g_0‖/‖g_v‖ v) / s, g_0 = Σ_k g_k / K, v = argmin ⟨g_v, g_0⟩ + c ‖g_0‖ ‖g_v‖
  over v_k ≥ 0, Σ_k v_k = 1, g_v = Σ_k v_k g_k

  It is the d that maximises min_k ⟨d, g_k⟩ with ‖d − g_0‖ ≤ c ‖g_0‖, over the scale s: 1 for
  rescale 0, 1 + c² for 1, 1 + c for 2.

  Needs: Gram matrix

  Use when: you want the minimum of the mean loss, reached with fewer conflicts; c = 0 is the mean,
  a large c is `mgda`.

  Differs: LibMTL and the authors' code minimise with SLSQP, which stops early: weights are off by
  up to 3e-4. LibMTL's is written for K = 3 alone.

  Differs: TorchJD does not rescale, which is rescale=0; nash-mtl, FAMO and auto-lambda multiply the
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
    radius = c * jnp.sqrt(jnp.maximum(given.gram.mean(), 0))
    inner, length = _towards_the_worst(given.gram, radius)
    return (1 / inner.size + radius / length * inner) / scale

  return from_gram(solve)


def _towards_the_worst(gram: jax.Array, radius: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the v on the simplex that minimises ⟨g_v, g_0⟩ + r ‖g_v‖, and the ‖g_v‖ to divide by.

  With ‖g_v‖ = min over t of (‖g_v‖²/t + t)/2 it is, for a given t, a quadratic program, whose ‖g_v‖
  over t falls as t grows; the t where it is 1 is looked for. Where g_v is 0 in the end, which has
  no direction, the least t that is tried stands for the length, and g_v/t is what it tends to.

  The unknowns are y_k = v_k ‖g_k‖ over the shortest length, weights of unit gradients.
  """
  cosines, norms = unit(gram)
  shortest = jnp.where(norms > 0, norms, jnp.inf).min()
  safe = jnp.where(norms > 0, norms, shortest)
  safe = jnp.where(jnp.isfinite(safe), safe, 1)  # all gradients are 0
  normal = safe.min() / safe
  matrix = definite(cosines)
  linear = dot(cosines, norms) / norms.size / jnp.where(radius > 0, radius, 1)

  def at(log_length: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the solution for a length t of y, and by how much log ‖g_y‖ is above log t."""
    length = jnp.exp(log_length)
    y = minimize_quadratic(matrix, length * linear, normal)
    squared = jnp.maximum((y * dot(matrix, y)).sum(), jnp.finfo(y.dtype).tiny)
    return y, jnp.log(squared) / 2 - log_length

  # The convex combinations of unit gradients, in units of the shortest, are no longer than all.
  low = jnp.log(jnp.asarray(_SHORTEST, gram.dtype))
  high = jnp.log(1 / normal.min())
  log_length = _root(lambda log_length: at(log_length)[1], low, high)
  y, _ = at(log_length)
  weights = y / safe
  total = weights.sum()
  return weights / total, jnp.exp(log_length) / total


def _root(function: Callable[[jax.Array], jax.Array], low: jax.Array, high: jax.Array) -> jax.Array:
  """Returns where a falling function is 0, or the end of the range that is nearest to it.

  Secants between the ends, of which one that does not move counts half as much each time (the
  Illinois method); every third step halves the range instead.
  """

  def step(i, bracket):
    low, high, above, below = bracket
    secant = (low * below - high * above) / (below - above)
    usual = (i % 3 != 2) & jnp.isfinite(secant) & (secant > low) & (secant < high)
    middle = jnp.where(usual, secant, (low + high) / 2)
    value = function(middle)
    up = value > 0
    return (
      jnp.where(up, middle, low),
      jnp.where(up, high, middle),
      jnp.where(up, value, above / 2),
      jnp.where(up, below / 2, value),
    )

  start = (low, high, function(low), function(high))
  low, high, _, _ = jax.lax.fori_loop(0, _NUM_SECANTS, step, start)
  return jnp.where(start[2] <= 0, start[0], jnp.where(start[3] >= 0, start[1], (low + high) / 2))
