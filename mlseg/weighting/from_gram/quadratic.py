"""Convex quadratic programs over K numbers that are not negative, in a fixed number of steps.

A program has one unknown per loss, so a step of the solver is a linear system of that size. The
solver is the primal-dual interior-point method. It needs about ten steps for any program here, is
exact up to rounding, and has no branch on values, so it compiles and can be mapped by `vmap`. Where
a program has many solutions it gives one in the middle of them, so that equal gradients get equal
weights.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

NUM_STEPS = 20
_MAX_UNROLLED = 8  # the largest K for which unrolled arithmetic is faster than a call of LAPACK


class _Point(NamedTuple):
  """An iterate of the interior-point method: v and its multipliers."""

  v: jax.Array  # [K], positive
  slack: jax.Array  # [K], positive: of the constraint v >= 0
  level: jax.Array  # []: of the constraint a.v = 1


def ridge(dtype: jax.typing.DTypeLike) -> float:
  """Returns the number that is added to the diagonal of cosines, so that a solution is bounded.

  Args:
    dtype: of the matrix.

  Example:
    >>> ridge(jnp.float32), ridge(jnp.float64)
    (1e-06, 1e-12)
  """
  return 1e-12 if jnp.finfo(dtype).bits == 64 else 1e-6


def definite(cosines: jax.Array) -> jax.Array:
  """Returns the cosines with a diagonal of 1 and the ridge, also for gradients that are 0.

  Args:
    cosines: [K, K].

  Example:
    >>> definite(jnp.array([[1.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0000009536743164, 0.0], [0.0, 1.0000009536743164]]
  """
  diagonal = jnp.eye(len(cosines), dtype=bool)
  return jnp.where(diagonal, 1 + ridge(cosines.dtype), cosines)


def minimize_quadratic(
  matrix: jax.Array, linear: jax.Array, normal: jax.Array | None = None
) -> jax.Array:
  """Returns the v that minimises v.Qv / 2 + c.v with v_k >= 0 and, if `normal` is given, a.v = 1.

  It uses Mehrotra's predictor-corrector method, which follows the central path v_k s_k = mu to
  mu = 0.

  Args:
    matrix: [K, K], Q, symmetric positive definite, entries of the order of 1.
    linear: [K], c, of the order of 1 at most.
    normal: [K], a, in (0, 1], its largest entry 1; None: without that constraint.

  Returns:
    [K]. For arguments that are not finite or not definite, the result may be anything.

  Example:
    >>> print(minimize_quadratic(jnp.eye(2), jnp.array([-3.0, 1.0])))
    [3. 0.]
    >>> v = minimize_quadratic(jnp.diag(jnp.array([1.0, 3.0])), jnp.zeros(2), jnp.ones(2))
    >>> [round(float(part), 4) for part in v]
    [0.75, 0.25]
  """
  start = jnp.ones_like(linear)
  if normal is not None:
    start = start / normal.sum()
  point = _Point(start, jnp.ones_like(start), jnp.zeros((), start.dtype))

  def advance(_: jax.Array, point: _Point) -> _Point:
    return _advance(point, matrix, linear, normal)

  point = jax.lax.fori_loop(0, NUM_STEPS, advance, point)
  # At the solution one of the two is 0 up to rounding.
  return jnp.where(point.v > jnp.finfo(start.dtype).eps * point.slack, point.v, 0)


def _advance(
  point: _Point, matrix: jax.Array, linear: jax.Array, normal: jax.Array | None
) -> _Point:
  """Returns the next iterate, or the same one where the step is not finite or leaves the range."""
  v, slack, level = point
  mu = (v * slack).mean()
  gradient = dot(matrix, v) + linear
  residual = gradient - slack if normal is None else gradient - slack - level * normal
  solve = solver(matrix + jnp.diag(slack / v))
  along = None if normal is None else solve(normal)

  def newton(product: jax.Array) -> _Point:
    """Returns the step for which v_k s_k changes by `product`, to first order."""
    step, level_step = solve(product / v - residual), jnp.zeros_like(level)
    if normal is not None and along is not None:
      level_step = (1 - (normal * (v + step)).sum()) / (normal * along).sum()
      step = step + level_step * along
    return _Point(step, (product - slack * step) / v, level_step)

  predicted = newton(-v * slack)
  length = _step_length(point, predicted)
  reached = ((v + length * predicted.v) * (slack + length * predicted.slack)).mean()
  centre = mu * (reached / mu) ** 3
  step = newton(centre - v * slack - predicted.v * predicted.slack)
  length = jnp.minimum(1, jnp.maximum(0.99, 1 - mu) * _step_length(point, step))
  moved = _Point(*(old + length * change for old, change in zip(point, step, strict=True)))
  inside = jnp.isfinite(moved.v + moved.slack + moved.level) & (moved.v > 0) & (moved.slack > 0)
  return jax.tree.map(lambda new, old: jnp.where(inside.all(), new, old), moved, point)


def _step_length(point: _Point, step: _Point) -> jax.Array:
  """Returns the largest multiple of a step, up to 1, that keeps v and s from turning negative."""
  values, changes = jnp.stack([point.v, point.slack]), jnp.stack([step.v, step.slack])
  falls = changes < 0
  return jnp.minimum(1, jnp.where(falls, values / jnp.where(falls, -changes, 1), jnp.inf).min())


def dot(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  """Returns the product of a matrix and a vector in full precision on every device.

  Args:
    matrix: [K, K].
    vector: [K].

  Example:
    >>> print(dot(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1.0, 10.0])))
    [21. 43.]
  """
  return (matrix * vector).sum(axis=1)


def solver(matrix: jax.Array) -> Callable[[jax.Array], jax.Array]:
  """Returns the function from b to the x with Mx = b.

  Args:
    matrix: [K, K], M, symmetric positive definite.

  Returns:
    A function from [K] to [K].

  Example:
    >>> print(solver(jnp.array([[2.0, 1.0], [1.0, 3.0]]))(jnp.array([4.0, 7.0])).round(4))
    [1. 2.]
  """
  if len(matrix) <= _MAX_UNROLLED:
    inverse = _inverse(matrix)
    return lambda vector: dot(inverse, vector)
  factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
  return lambda vector: jax.scipy.linalg.cho_solve(factor, vector)


def _inverse(matrix: jax.Array) -> jax.Array:
  """Returns the inverse by Gauss-Jordan elimination without pivoting, as M is definite."""
  for k in range(len(matrix)):
    is_k = jnp.arange(len(matrix)) == k
    row = jnp.where(is_k, 1, matrix[k]) / matrix[k, k]
    column = jnp.where(is_k, 1, -matrix[:, k])
    matrix = jnp.where(is_k[:, None] | is_k, 0, matrix) + column[:, None] * row
  return matrix
