"""Convex quadratic programs over K numbers that are not negative, in a bounded number of steps.

A program has one unknown per loss, so a step of the solver is a linear system of that size. The
solver is the primal-dual interior-point method. It needs about ten steps for any program here, is
exact up to rounding, and compiles and can be mapped by `vmap`. Where a program has many solutions
it gives one in the middle of them, so that equal gradients get equal weights.

Many programs of many unknowns that differ in their linear part alone are solved together, by a
method whose steps are products of matrices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.from_gram.gram import mean
from mlseg.weighting.presence import only

NUM_STEPS = 20  # at most
_MAX_UNROLLED = 8  # the largest K for which unrolled arithmetic is faster than a call of LAPACK
_MAX_ONE_BY_ONE = 32  # the largest K for which n programs are solved by themselves
_NUM_ALTERNATIONS = 200
_RELAXATION = 1.6


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
  matrix: jax.Array,
  linear: jax.Array,
  normal: jax.Array | None = None,
  present: jax.Array | None = None,
) -> jax.Array:
  """Returns the v that minimises v.Qv / 2 + c.v with v_k >= 0 and, if `normal` is given, a.v = 1.

  It uses Mehrotra's predictor-corrector method, which follows the central path v_k s_k = mu to
  mu = 0.

  Args:
    matrix: [K, K], Q, symmetric positive definite, entries of the order of 1.
    linear: [K], c, of the order of 1 at most.
    normal: [K], a, in (0, 1], its largest entry 1; None: without that constraint.
    present: [K], bool, at least one; the program has only these unknowns, and the others are 0. In
      their rows and columns Q is diagonal; their entries of `normal` are 0, those of `linear` do
      not count. None for all.

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

  eps = float(jnp.finfo(start.dtype).eps)

  def step(_: Any, carry: tuple[_Point, jax.Array]) -> tuple[_Point, jax.Array]:
    moved = _advance(carry[0], matrix, linear, normal, present)
    return moved, (moved.v != carry[0].v).any()  # a point that stays will stay for ever

  def goes_on(carry: tuple[_Point, jax.Array]) -> jax.Array:
    return carry[1] & (mean(carry[0].v * carry[0].slack, present) > eps**2)

  point, _ = repeat(NUM_STEPS, step, goes_on, (point, jnp.bool(True)), start.size)
  # At the solution one of the two is 0 up to rounding.
  return only(jnp.where(point.v > eps * point.slack, point.v, 0), present)


def minimize_quadratics(
  matrix: jax.Array, linear: jax.Array, present: jax.Array | None = None
) -> jax.Array:
  """Returns the v that minimise v.Qv / 2 + c.v with v_k >= 0, for many c.

  Up to K = 32 each is solved by itself, exactly up to rounding. Beyond that it uses the alternating
  direction method of multipliers, which factors Q once for all: 200 times v ← (Q + ρ)⁻¹ (ρ (z - u)
  - c), z ← max(v + u, 0), u ← u + v - z, with over-relaxation. What is left of (Qv + c)_k < 0 is
  then of the order of 1e-6, where gradients are nearly dependent 1e-5.

  Args:
    matrix: [K, K], Q, symmetric positive definite, with a diagonal near 1.
    linear: [n, K], c, of the order of 1 at most.
    present: [K], bool, or None, as for `minimize_quadratic`.

  Returns:
    [n, K].

  Source: Boyd et al. 2011, Foundations and Trends in Machine Learning 3, sections 3.4 and 5.2.

  Example:
    >>> print(minimize_quadratics(jnp.eye(2), jnp.array([[-3.0, 1.0], [1.0, -2.0]])))
    [[3. 0.]
     [0. 2.]]
  """
  if len(matrix) <= _MAX_ONE_BY_ONE:
    return jax.vmap(lambda one: minimize_quadratic(matrix, one, present=present))(linear)
  values, vectors = jnp.linalg.eigh(matrix)
  # The best rate of convergence, but for directions in which the program is nearly flat.
  rho = jnp.sqrt(jnp.maximum(values[0], 1e-3) * values[-1])
  high = jax.lax.Precision.HIGHEST
  inverse = jnp.matmul(vectors / (values + rho)[None], vectors.T, precision=high)

  def alternate(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    bounded, dual = carry
    free = jnp.matmul(rho * (bounded - dual) - linear, inverse, precision=high)
    relaxed = _RELAXATION * free + (1 - _RELAXATION) * bounded
    moved = jnp.maximum(relaxed + dual, 0)
    return moved, dual + relaxed - moved

  start = (jnp.zeros_like(linear), jnp.zeros_like(linear))
  return only(jax.lax.fori_loop(0, _NUM_ALTERNATIONS, alternate, start)[0], present)


def _advance(
  point: _Point,
  matrix: jax.Array,
  linear: jax.Array,
  normal: jax.Array | None,
  present: jax.Array | None,
) -> _Point:
  """Returns the next iterate, or the same one where the step is not finite or leaves the range.

  Absent unknowns, which are coupled to no other, stay where they are.
  """
  v, slack, level = point
  mu = mean(v * slack, present)
  gradient = dot(matrix, v) + linear
  residual = gradient - slack if normal is None else gradient - slack - level * normal
  solve = solver(matrix + jnp.diag(slack / v))
  along = None if normal is None else solve(normal)

  def newton(product: jax.Array) -> _Point:
    """Returns the step for which v_k s_k changes by `product`, to first order."""
    step, level_step = solve(only(product / v - residual, present)), jnp.zeros_like(level)
    if normal is not None and along is not None:
      level_step = (1 - (normal * (v + step)).sum()) / (normal * along).sum()
      step = step + level_step * along
    return _Point(step, only((product - slack * step) / v, present), level_step)

  predicted = newton(-v * slack)
  length = _step_length(point, predicted)
  reached = mean((v + length * predicted.v) * (slack + length * predicted.slack), present)
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


def repeat(
  most: int,
  step: Callable[[Any, Any], Any],
  goes_on: Callable[[Any], jax.Array],
  start: Any,
  number: int,
) -> Any:
  """Returns the value after steps that begin with `start`, as few as are needed.

  For few losses all steps are taken, since a step costs less than to ask whether it is needed.

  Args:
    most: the largest number of steps.
    step: `step(n, value) -> value`.
    goes_on: whether a value needs a further step; a further step must not make it worse.
    start: the first value.
    number: K.

  Example:
    >>> halve = lambda n, value: value / 2
    >>> [float(repeat(5, halve, lambda v: v > 3.0, jnp.float32(8.0), number)) for number in (2, 9)]
    [0.25, 2.0]
  """
  if number <= _MAX_UNROLLED:
    return jax.lax.fori_loop(0, most, step, start)

  def body(carry):
    return carry[0] + 1, step(*carry)

  def condition(carry):
    return (carry[0] < most) & goes_on(carry[1])

  return jax.lax.while_loop(condition, body, (jnp.int32(0), start))[1]


def dot(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  """Returns the product of a matrix and a vector in full precision on every device.

  Args:
    matrix: [K, K].
    vector: [K].

  Example:
    >>> print(dot(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1.0, 10.0])))
    [21. 43.]
  """
  return (matrix * vector[None]).sum(axis=1)


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
    matrix = jnp.where(is_k[:, None] | is_k[None], 0, matrix) + column[:, None] * row[None]
  return matrix
