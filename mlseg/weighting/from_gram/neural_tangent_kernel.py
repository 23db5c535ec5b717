"""Weights from the traces of neural tangent kernels, for the residuals of equations."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  Weights,
  all_finite,
  num_losses,
  ravel,
  shrink,
  state_dtype,
)
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.presence import keep_absent, number_of, only, ravel_present

PyTree = Any
_SMALLEST = 1e-5  # of the mean trace: no trace counts as less


class NeuralTangentKernelState(NamedTuple):
  """The moving averages of the weights."""

  weights: jax.Array  # [K]


def neural_tangent_kernel(
  decay: float = 0.9, numerator: Literal["mean", "sum"] = "mean"
) -> LossWeighting:
  """Weights mean squared residuals so that all of them would fall at one rate.

  Formula: w_k ← decay w_k + (1 - decay) n / t_k, n = (1/K) Σ_j t_j, t_k = Tr K_k

  K_k is the neural tangent kernel of the residuals of the loss k: K_k,ij = ⟨∂r_k(x_i)/∂θ,
  ∂r_k(x_j)/∂θ⟩, which says how fast gradient descent on these residuals makes them fall.

  `update` also takes `traces=`, the t_k as [K] or in the structure of the losses, as
  `kernel_traces` computes them. Without them the weights stay what they were; so they do where a
  trace is negative or not finite, or all are 0, so that a compiled loop that has traces at some
  steps alone can give NaN at the others. Weights begin at 1. The losses themselves are not read.

  With numerator='sum' n is Σ_j t_j, which multiplies all new weights by K. A trace below 1e-5 of
  the mean counts as that, so that no new weight is above 1e5 (1e5 K for 'sum').

  Needs: traces of kernels (`traces=`)

  Use when: an equation, its boundary and its initial conditions are fitted by one network, and
  their squared residuals fall at rates that differ by orders of magnitude. In the library alone: a
  recipe has no residuals.

  Differs: the authors' code of the paper, PINNsNTK, divides Σ_j Tr K_j by Tr K_k, which is
  numerator='sum', without a moving average; JAX-PI divides the mean over losses, takes each trace
  as a mean over the points, and averages with a decay of 0.9, as here by default.

  Differs: the NeuralTangentKernelWeighting of PINA takes ‖∂L_k/∂θ‖ / Σ_j ‖∂L_j/∂θ‖, which grows
  with the gradient of a loss and reads no kernel; `gradient_norm_balance` has the inverse.

  Source: Wang, Yu & Perdikaris 2022, Journal of Computational Physics 449, "When and why PINNs fail
  to train: a neural tangent kernel perspective", arXiv 2007.14527; decay and mean are JAX-PI's.

  Args:
    decay: of the moving average, in [0, 1]; with 0 only the last traces count.
    numerator: 'mean' or 'sum'.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where there are not K traces.

  Example:
    A curve with u' = u inside, and u(0) = 1 on the boundary:

    >>> from mlseg import weighting as w
    >>> u = lambda params, x: params["a"] + params["b"] * x
    >>> residuals = {
    ...   "boundary": lambda params, x: u(params, x) - 1.0,
    ...   "inside": lambda params, x: jax.grad(u, 1)(params, x) - u(params, x),
    ... }
    >>> points = {"boundary": jnp.zeros(1), "inside": jnp.linspace(0.0, 1.0, 5)}
    >>> def loss_fn(params):
    ...   square = lambda r, x: jnp.mean(jax.vmap(r, (None, 0))(params, x) ** 2)
    ...   return jax.tree.map(square, residuals, points), None
    >>> method = w.neural_tangent_kernel(decay=0.0)
    >>> compute = jax.jit(w.losses_and_gradients(loss_fn, method))
    >>> params = {"a": jnp.zeros(()), "b": jnp.ones(())}
    >>> state = method.init(loss_fn(params)[0])
    >>> traces = w.kernel_traces(residuals, params, points)  # 1² + 0², and the mean of 1² + (1-x)²
    >>> result, state = compute(params, state, traces=traces)
    >>> {name: float(weight) for name, weight in result.weights.items()}
    {'boundary': 1.1875, 'inside': 0.8636363744735718}
    >>> result, state = compute(params, state)  # without traces, the same weights
    >>> float(result.weights["boundary"])
    1.1875
  """
  check_number("decay", decay, 0, 1)
  if numerator not in ("mean", "sum"):
    raise ValueError(f"numerator: choose from mean, sum; got {numerator!r}")

  def init(losses: Losses) -> NeuralTangentKernelState:
    return NeuralTangentKernelState(jnp.ones(num_losses(losses), state_dtype(losses)))

  def update(
    losses, state, *, weights=None, gram=None, key=None, present=None, traces=None, **extra
  ):
    del weights, gram, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    if traces is None:
      return unravel(jnp.asarray(state.weights)), state
    inverses, known = _inverses(_as_vector(traces, vector), mask)
    factor = number_of(vector, mask) if numerator == "sum" else 1
    moved = decay * state.weights + (1 - decay) * factor * inverses
    moved = jnp.where(known, moved, state.weights)
    next_state = keep_absent(NeuralTangentKernelState(moved), state, mask)
    return unravel(next_state.weights), next_state

  return LossWeighting(init, update)


def _as_vector(traces: Weights, losses: jax.Array) -> jax.Array:
  vector, _ = ravel(traces)
  if vector.size != losses.size:
    raise ValueError(f"traces: must be {losses.size} numbers, one per loss, got {vector.size}")
  return vector.astype(losses.dtype)


def _inverses(traces: jax.Array, present: jax.Array | None) -> tuple[jax.Array, jax.Array]:
  """Returns the mean trace over each trace, [K], and whether the traces give such numbers, []."""
  given = only(traces, present)
  known = all_finite(given) & (given >= 0).all()
  shrunk, _ = shrink(jnp.where(known, given, 0))
  largest = shrunk.max()
  known &= largest > jnp.finfo(traces.dtype).tiny * 2.0**20  # whose inverse is a normal number
  parts = shrunk / jnp.where(known, largest, 1)
  mean = parts.sum() / number_of(traces, present)
  floor = jnp.where(known, _SMALLEST * mean, 1)
  return mean / jnp.maximum(parts, floor), known


def kernel_traces(
  residuals: PyTree,
  params: PyTree,
  points: PyTree,
  *,
  reduction: Literal["mean", "sum"] = "mean",
  batch_size: int = 256,
) -> PyTree:
  """Returns the trace of the neural tangent kernel of each residual, for `neural_tangent_kernel`.

  Formula: t_k = (1/n_k) Σ_i ‖∂r_k(x_i)/∂θ‖² over the n_k points of the residual k

  The gradients of `batch_size` points are there at one time, so the memory does not grow with the
  number of points. Squares are summed in float32, or float64 where a gradient is.

  Args:
    residuals: a pytree of K functions `residual(params, point) -> scalar` or an array, whose
      entries then all count; for a dict of losses, a dict with the same keys.
    params: a pytree of real arrays, θ.
    points: for each residual its points, a pytree of arrays with the points first.
    reduction: 'mean', as JAX-PI does, which fits losses that are means over their points; or 'sum',
      the trace itself.
    batch_size: points whose gradients are computed side by side.

  Returns:
    K scalars, in the structure of the residuals.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> residuals = {"bias": lambda p, x: p["b"], "line": lambda p, x: p["a"] * x}
    >>> params = {"a": jnp.ones(()), "b": jnp.ones(())}
    >>> points = {"line": jnp.array([1.0, 3.0]), "bias": jnp.zeros(4)}
    >>> traces = kernel_traces(residuals, params, points)
    >>> {name: float(trace) for name, trace in traces.items()}
    {'bias': 1.0, 'line': 5.0}
  """
  if reduction not in ("mean", "sum"):
    raise ValueError(f"reduction: choose from mean, sum; got {reduction!r}")
  check_integer("batch_size", batch_size, 1)
  reduce = jnp.mean if reduction == "mean" else jnp.sum

  def trace(residual: Callable[..., jax.Array], own_points: PyTree) -> jax.Array:
    def square(point):
      gradients = jax.jacrev(lambda p: jnp.ravel(residual(p, point)))(params)
      return sum(_sum_of_squares(leaf) for leaf in jax.tree.leaves(gradients))

    return reduce(jax.lax.map(square, own_points, batch_size=batch_size))

  return jax.tree.map(trace, residuals, points, is_leaf=callable)


def _sum_of_squares(values: jax.Array) -> jax.Array:
  return jnp.sum(values.astype(jnp.promote_types(values.dtype, jnp.float32)) ** 2)
