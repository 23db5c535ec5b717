"""UPGrad and dual projection: projections onto the directions that conflict with no loss."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_gram.gram import Given, from_gram, from_unit, unit
from mlseg.weighting.from_gram.quadratic import definite, minimize_quadratic, minimize_quadratics
from mlseg.weighting.presence import number_of, only


def upgrad(regularization: float = 0.0) -> LossWeighting:
  """Projects each gradient onto the directions that conflict with no loss, and averages.

  Formula: w = (1/K) Σ_i v_i, v_i = argmin vᵀGv over v ≥ e_i, so that ⟨Σ_j v_ij g_j, g_k⟩ ≥ 0 for
  all k

  Without conflicts w = 1/K. A gradient that is 0 has the weight 1/K.

  Up to K = 32 the solution is exact up to rounding. Beyond that iterations leave conflicts of up to
  about 1e-5 of the lengths. On two CPU cores a step takes about 0.1 s for K = 256.

  Needs: Gram matrix

  Use when: losses conflict and none may rise, and each loss should change the direction in
  proportion to the length of its gradient, which is not so in `mgda`.

  Differs: TorchJD adds 1e-4 of the trace to the diagonal of G, so its result conflicts a little;
  here nothing is added by default, and regularization=1e-4 does the same as TorchJD.

  Source: Quinton & Rey 2024, arXiv 2406.16232, sections 3-4.

  Args:
    regularization: >= 0, what is added to the diagonal of G, as a share of its trace.

  Returns:
    A LossWeighting whose weights are at least 1/K. In a chain it replaces what came before.

  Raises:
    ValueError: where the regularization is out of its range.

  Example:
    >>> weighting = upgrad()
    >>> gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.75, 0.75]
  """
  check_number("regularization", regularization, 0)

  def solve(given: Given) -> jax.Array:
    cosines, norms = unit(_regularized(given, regularization))
    # The parts of unit gradients that are added: one program per gradient.
    added = minimize_quadratics(definite(cosines), cosines, given.present)
    total = from_unit((norms[:, None] * added).sum(axis=0), norms)
    return (1 + total) / number_of(norms, given.present)

  return from_gram(solve)


def dual_projection(regularization: float = 0.0) -> LossWeighting:
  """Projects the mean gradient onto the directions that conflict with no loss.

  Formula: w = argmin vᵀGv over v_k ≥ 1/K, so that ⟨Σ_j w_j g_j, g_k⟩ ≥ 0 for all k

  Without conflicts w = 1/K. A gradient that is 0 has the weight 1/K.

  Needs: Gram matrix

  Use when: the mean gradient is wanted, turned only as far as needed for no loss to rise; long
  gradients dominate.

  Differs: TorchJD adds 1e-4 of the trace to the diagonal of G; regularization=1e-4 does the same
  here.

  Source: Lopez-Paz & Ranzato 2017, NeurIPS, arXiv 1706.08840, eq. 11 (gradient episodic memory).

  Args:
    regularization: >= 0, what is added to the diagonal of G, as a share of its trace.

  Returns:
    A LossWeighting whose weights are at least 1/K. In a chain it replaces what came before.

  Raises:
    ValueError: where the regularization is out of its range.

  Example:
    >>> weighting = dual_projection()
    >>> gram = jnp.array([[4.0, -1.5], [-1.5, 1.0]])
    >>> weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.5, 0.75]
  """
  check_number("regularization", regularization, 0)

  def solve(given: Given) -> jax.Array:
    cosines, norms = unit(_regularized(given, regularization))
    number = number_of(norms, given.present)
    linear = (norms[:, None] * cosines).sum(axis=0) / number
    added = minimize_quadratic(definite(cosines), linear, present=given.present)
    return 1 / number + from_unit(added, norms)

  return from_gram(solve)


def _regularized(given: Given, regularization: float) -> jax.Array:
  added = regularization * jnp.trace(given.gram)
  return given.gram + added * only(jnp.eye(len(given.gram), dtype=given.gram.dtype), given.present)
