"""Bargaining and fairness among losses: fixed points of G w = w^(-1/α)."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting, check_number
from mlseg.weighting.from_gram.gram import Given, from_gram, from_unit, unit
from mlseg.weighting.from_gram.quadratic import definite, dot, solver

_NUM_STEPS = 30


def nash_mtl(max_norm: float = 1.0) -> LossWeighting:
  """The Nash bargaining solution: the product of the losses' decreases is at its largest.

  Formula: w = a with G a = 1/a (elementwise), times min(1, max_norm / ‖Σ_k a_k g_k‖)

  The solution does not change where a loss is multiplied by a number. The norm above is √K. Where
  a convex combination of the gradients is 0 there is no solution: 1e-6 is added to the diagonal of
  the cosines (1e-12 in float64), which bounds the weights. A gradient that is 0 has the weight 0.

  Needs: Gram matrix

  Use when: losses have different scales and each should gain in proportion; the weights do not vary
  smoothly near points where gradients are opposite.

  Differs: the authors' code approximates the fixed point by a few convex programs from the last
  weights, and updates every few steps to save time; here it is solved exactly, and `every` gives a
  cadence.

  Source: Navon et al. 2022, ICML, arXiv 2202.01017, claim 3.1 and algorithm 1.

  Args:
    max_norm: >= 0, the longest the weighted sum may be; 0: no limit.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where max_norm is out of its range.

  Example:
    >>> weighting = nash_mtl(max_norm=0.0)
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.5, 1.0]
  """
  check_number("max_norm", max_norm, 0)

  def solve(given: Given) -> jax.Array:
    cosines, norms = unit(given.gram)
    y = _fixed_point(cosines, jnp.ones_like(norms), 1.0)
    length = jnp.sqrt(jnp.maximum((y * dot(cosines, y)).sum(), 0))
    limit = jnp.minimum(1, max_norm / jnp.where(length > 0, length, 1)) if max_norm else 1.0
    return jnp.sqrt(given.factor) * limit * from_unit(y, norms)

  return from_gram(solve)


def fairgrad(alpha: float = 2.0) -> LossWeighting:
  """α-fair resource allocation: the losses' decreases maximise Σ_k d_k^(1−α)/(1−α).

  Formula: G w = w^(−1/α) (elementwise)

  α = 1 is `nash_mtl` without its limit, α → ∞ max–min fairness. Where there is no solution the same
  is added as there, and a gradient that is 0 has the weight 0.

  Needs: Gram matrix

  Use when: the losses that fall least should gain more than under `nash_mtl`; α below 1 is nearer
  to the plain sum.

  Source: Ban & Ji 2024, ICML, arXiv 2402.15638, eq. 5 and algorithm 1.

  Args:
    alpha: in [0.1, 10].

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where alpha is out of its range.

  Example:
    >>> weighting = fairgrad(alpha=1.0)
    >>> gram = jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.5, 1.0]
  """
  check_number("alpha", alpha, 0.1, 10)
  power = 1 / alpha

  def solve(given: Given) -> jax.Array:
    cosines, norms = unit(given.gram)
    # With w = y/‖g‖: ‖g_i‖ (C y)_i = (y_i/‖g_i‖)^(−1/α).
    targets = jnp.where(norms > 0, norms, 1) ** (power - 1)
    y = _fixed_point(cosines, targets, power)
    return given.factor ** (1 / (1 + power)) * from_unit(y, norms)

  return from_gram(solve)


def _fixed_point(cosines: jax.Array, targets: jax.Array, power: float) -> jax.Array:
  """Returns the y > 0 with (C y)_k = p_k y_k^(-β).

  It minimises y.Cy/2 − Σ_k p_k y_k^(1−β)/(1−β), which is convex. Newton's steps are shortened so
  that no y_k loses more than it has; near the solution they are whole ones.
  """
  matrix = definite(cosines)

  def step(_, y):
    wanted = targets * y**-power
    solve = solver(matrix + jnp.diag(power * wanted / y))
    change = solve(wanted - dot(matrix, y))
    moved = y + change / (1 + jnp.abs(change / y).max())
    return jnp.where(jnp.isfinite(moved).all() & (moved > 0).all(), moved, y)

  return jax.lax.fori_loop(0, _NUM_STEPS, step, targets ** (1 / (1 + power)))
