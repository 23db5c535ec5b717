"""Nash-MTL and FairGrad: bargaining and fairness among losses, as fixed points G w = w^(-1/α)."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_gram.gram import Given, from_gram, from_unit, unit
from mlseg.weighting.from_gram.quadratic import definite, dot, solver

_NUM_STEPS = 30


def nash_mtl(max_norm: float = 1.0) -> LossWeighting:
  """Gives the Nash bargaining solution, which maximises the product of the losses' decreases.

  Formula: w = a with G a = 1/a (elementwise), times min(1, max_norm / ‖Σ_k a_k g_k‖)

  The combined gradient does not change if a loss is multiplied by a positive number. Before it is
  limited, its norm is √K. If a convex combination of the gradients is 0, there is no solution. So
  1e-6 is added to the diagonal of the cosines (1e-12 in float64), which bounds the weights. A
  gradient that is 0 has the weight 0.

  Needs: Gram matrix

  Use when: losses have different scales and each should fall in proportion; near points where
  gradients are opposite, the weights jump.

  Differs: the authors' code approximates the fixed point by a few convex programs that start from
  the last weights, and updates the weights every few steps to save time; here the fixed point is
  solved exactly, and `every` can update the weights every few steps.

  Source: Navon et al. 2022, ICML, arXiv 2202.01017, claim 3.1 and algorithm 1.

  Args:
    max_norm: >= 0, the largest norm of the combined gradient; 0: no limit.

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
  """Gives the α-fair solution: the losses' decreases d_k maximise Σ_k d_k^(1−α)/(1−α).

  Formula: G w = w^(−1/α) (elementwise)

  α = 1 is `nash_mtl` without its limit, and α → ∞ is max–min fairness. The same number as there is
  added to the diagonal of the cosines, and a gradient that is 0 has the weight 0.

  Needs: Gram matrix

  Use when: the losses that fall least should fall more than under `nash_mtl`; with α below 1 it is
  closer to the plain sum.

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
  that every y_k stays positive; near the solution they have their full length.
  """
  matrix = definite(cosines)

  def step(_, y):
    wanted = targets * y**-power
    solve = solver(matrix + jnp.diag(power * wanted / y))
    change = solve(wanted - dot(matrix, y))
    moved = y + change / (1 + jnp.abs(change / y).max())
    return jnp.where(jnp.isfinite(moved).all() & (moved > 0).all(), moved, y)

  return jax.lax.fori_loop(0, _NUM_STEPS, step, targets ** (1 / (1 + power)))
