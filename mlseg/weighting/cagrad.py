"""Conflict-averse gradient descent: the mean gradient, turned towards the loss that falls least."""

from typing import Literal

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, check_number
from mlseg.weighting.gram import from_gram, unit
from mlseg.weighting.quadratic import definite, dot, minimize


def cagrad(c: float = 0.5, rescale: Literal[0, 1, 2] = 1) -> LossWeighting:
  """Maximises the least decrease of a loss among the directions near the mean gradient.

  Formula: w = (1/K + c ‖g_0‖/‖g_v‖ v) / s, g_0 = Σ_k g_k / K, v = argmin ⟨g_v, g_0⟩ + c ‖g_0‖ ‖g_v‖
  over v_k ≥ 0, Σ_k v_k = 1, g_v = Σ_k v_k g_k

  It is the d that maximises min_k ⟨d, g_k⟩ with ‖d − g_0‖ ≤ c ‖g_0‖, over the scale s: 1 for rescale
  0, 1 + c² for 1, 1 + c for 2.

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

  def solve(gram: jax.Array, factor: jax.Array, losses: jax.Array) -> jax.Array:
    del factor, losses
    mean = gram.mean(axis=0)  # ⟨g_0, g_k⟩
    radius = c * jnp.sqrt(jnp.maximum(mean.mean(), 0))
    inner = _towards_the_worst(gram, radius)
    length = jnp.sqrt(jnp.maximum((inner * dot(gram, inner)).sum(), 0))
    # Where no direction descends on all losses g_v is 0 to within rounding, and has no direction.
    length = jnp.maximum(length, jnp.finfo(gram.dtype).eps ** 0.5)
    return (1 / inner.size + radius / length * inner) / scale

  return from_gram(solve)


def _towards_the_worst(gram: jax.Array, radius: jax.Array) -> jax.Array:
  """Returns the v on the simplex that minimises ⟨g_v, g_0⟩ + radius ‖g_v‖.

  The unknowns are y_k = v_k ‖g_k‖ over the shortest length, weights of unit gradients.
  """
  cosines, norms = unit(gram)
  shortest = jnp.where(norms > 0, norms, jnp.inf).min()
  safe = jnp.where(norms > 0, norms, shortest)
  safe = jnp.where(jnp.isfinite(safe), safe, 1)  # all gradients are 0
  matrix = definite(cosines)
  linear = dot(cosines, norms) / norms.size

  def derivatives(y: jax.Array, mu: jax.Array) -> tuple[jax.Array, jax.Array]:
    product = dot(matrix, y)
    # The norm has a kink at 0, where a round one approaches it.
    length = jnp.sqrt((y * product).sum() + mu**2)
    rank_one = product[:, None] * product / length**3
    # What the linear part lacks of curvature keeps the system definite.
    hessian = radius * (matrix / length - rank_one) + 1e-3 * mu * matrix
    return linear + radius * product / length, hessian

  y = minimize(derivatives, jnp.ones_like(norms), safe.min() / safe)
  weights = y / safe
  return weights / weights.sum()
