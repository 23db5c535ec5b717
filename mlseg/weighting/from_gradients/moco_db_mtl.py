"""Methods that average each loss's gradient over time, as optax transformations.

Their state is K times as large as the parameters.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import Losses, check_integer, check_number, num_losses, ravel
from mlseg.weighting.simplex import project_to_simplex
from mlseg.weighting.stacked import (
  gram_of,
  stacked_zeros,
  total,
  transformation,
  weighted_sum,
  wide_dtype,
)

PyTree = Any
_EPSILON = 1e-8  # beside norms and losses, as in the reference code


class MocoState(NamedTuple):
  """What each loss's gradient is believed to be, and the weights."""

  averages: PyTree  # [K, ...] per leaf of the parameters
  weights: jax.Array  # [K]
  num_updates: jax.Array  # [], int32


class DbMtlState(NamedTuple):
  """The moving averages of the gradients of the losses' logarithms."""

  averages: PyTree  # [K, ...] per leaf of the parameters
  weights: jax.Array  # [K], of the averages in the last update; 1 before the first
  num_updates: jax.Array  # [], int32


def moco(
  num_losses: int,
  beta: float = 0.5,
  beta_sigma: float = 0.5,
  gamma: float = 0.1,
  gamma_sigma: float = 0.5,
  rho: float = 0.0,
  variant: Literal["paper", "reference"] = "paper",
) -> optax.GradientTransformationExtraArgs:
  """Averages each loss's gradient over time, and follows the common descent of the averages.

  Formula: Σ_k w_k y_k with y_k ← y_k - β_t (y_k - g_k), w ← Π(w - γ_t (Y Yᵀ + ρ I) w),
  β_t = β t^-σ_β, γ_t = γ t^-σ_γ, Π the projection onto the simplex

  The averages start at 0 and the weights at 1/K; t is 1 at the first step. A step that would leave
  the state not finite is left out, and gives the mean of the gradients.

  Needs: per-loss gradients (and losses for 'reference')

  Use when: batches are small and losses conflict. Noise makes the common descent of single batches'
  gradients (`mgda`) a biased direction; that of averages is not. The averages grow slow, so leave
  momentum out of the optimiser. Costs K gradients of memory.

  Differs: the authors' code in LibMTL first brings each gradient to the length of its loss, L_k g_k
  / (|g_k| + 1e-8), and has a softmax in place of the projection, which keeps weights near 1/K.
  Variant 'reference' does so.

  Source: Fernando et al. 2023, ICLR, arXiv 2210.12624, algorithm 1; the defaults are LibMTL's.

  Args:
    num_losses: K.
    beta: β, the rate of the averages, in [0, 1].
    beta_sigma: σ_β >= 0, how fast that rate falls.
    gamma: γ >= 0, the rate of the weights.
    gamma_sigma: σ_γ >= 0, how fast that rate falls.
    rho: ρ >= 0, draws the weights towards uniform.
    variant: 'paper' or 'reference'.

  Returns:
    A GradientTransformationExtraArgs whose state has the weights, which sum to 1.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where gradients or losses do not
      fit.

  Example:
    >>> transformation = moco(2, beta=1.0, gamma=0.25)
    >>> state = transformation.init({"a": jnp.zeros(2)})
    >>> updates, state = transformation.update({"a": jnp.array([[2.0, 0.0], [0.0, 1.0]])}, state)
    >>> state.weights.tolist(), updates["a"].tolist()  # 0.5 - 0.25 · (4, 1) · 0.5, projected
    ([0.3125, 0.6875], [0.625, 0.6875])
  """
  check_integer("num_losses", num_losses, 1)
  check_number("beta", beta, 0, 1)
  for name, value in (("beta_sigma", beta_sigma), ("gamma", gamma), ("gamma_sigma", gamma_sigma)):
    check_number(name, value, 0)
  check_number("rho", rho, 0)
  if variant not in ("paper", "reference"):
    raise ValueError(f"variant: choose from paper, reference; got {variant!r}")

  def init(params):
    weights = jnp.full(num_losses, 1 / num_losses, wide_dtype(params))
    return MocoState(stacked_zeros(params, num_losses), weights, jnp.zeros((), jnp.int32))

  def step(gradients, state, losses):
    weights, time = state.weights, _time(state)
    if variant == "reference":
      scales = _vector(losses, weights) / (_norms(gradients, weights) + _EPSILON)
      gradients = _scale(scales, gradients)
    averages = _mix(beta * time**-beta_sigma, gradients, state.averages)
    gram = gram_of(averages)
    slope = jnp.matmul(gram, weights, precision=jax.lax.Precision.HIGHEST) + rho * weights
    moved = weights - gamma * time**-gamma_sigma * slope
    weights = project_to_simplex(moved) if variant == "paper" else jax.nn.softmax(moved)
    next_state = MocoState(averages, weights, optax.safe_increment(state.num_updates))
    return weighted_sum(weights, averages), next_state

  return transformation(num_losses, init, step)


def db_mtl(
  num_losses: int, beta: float = 0.9, beta_sigma: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """Averages the gradients of the losses' logarithms, and brings the averages to one length.

  Formula: Σ_k (max_j |y_j| / |y_k|) y_k with y_k ← β_t y_k + (1 - β_t) ∇log L_k, β_t = β t^-σ

  ∇log L_k is g_k / (L_k + 1e-8), and 1e-8 is added to |y_k| too. The averages start at 0 and are
  not corrected for it, so the first updates are short, which an optimiser as Adam evens out. A step
  with a negative or non-finite loss, or one that would leave the state not finite, is left out, and
  gives the mean of the gradients.

  Needs: per-loss gradients, losses

  Use when: losses differ in scale, are positive, and none may dominate. Where a loss nears 0, its
  logarithm still pulls as hard as any other's. Costs K gradients of memory.

  Differs: LibMTL balances the shared parameters alone; the heads get the gradients of the sum of
  the logarithms. mlseg balances all leaves that it is given: see `optax.partition`.

  Source: Lin et al. 2023, "Dual-Balancing for Multi-Task Learning", arXiv 2308.12029; the defaults
  are LibMTL's.

  Args:
    num_losses: K.
    beta: β, the decay of the averages, in [0, 1].
    beta_sigma: σ >= 0, how fast the decay falls.

  Returns:
    A GradientTransformationExtraArgs whose state has the weights of the averages.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where gradients or losses do not
      fit.

  Example:
    >>> transformation = db_mtl(2, beta=0.5)
    >>> state = transformation.init({"a": jnp.zeros(2)})
    >>> gradients, losses = {"a": jnp.array([[2.0, 0.0], [0.0, 3.0]])}, jnp.array([0.5, 3.0])
    >>> updates, state = transformation.update(gradients, state, losses=losses)
    >>> print(updates["a"])  # (2 / 0.5, 3 / 3) halved, then both as long as the longer
    [2. 2.]
  """
  check_integer("num_losses", num_losses, 1)
  check_number("beta", beta, 0, 1)
  check_number("beta_sigma", beta_sigma, 0)

  def init(params):
    weights = jnp.ones(num_losses, wide_dtype(params))
    return DbMtlState(stacked_zeros(params, num_losses), weights, jnp.zeros((), jnp.int32))

  def step(gradients, state, losses):
    vector = _vector(losses, state.weights)
    logarithmic = jnp.where(vector < 0, jnp.nan, 1 / (vector + _EPSILON))  # NaN: left out
    rate = 1 - beta * _time(state) ** -beta_sigma
    averages = _mix(rate, _scale(logarithmic, gradients), state.averages)
    norms = _norms(averages, state.weights)
    weights = norms.max() / (norms + _EPSILON)
    next_state = DbMtlState(averages, weights, optax.safe_increment(state.num_updates))
    return weighted_sum(weights, averages), next_state

  return transformation(num_losses, init, step)


def _vector(losses: Losses, like: jax.Array) -> jax.Array:
  """Returns the losses as a vector like [K]."""
  if losses is None or num_losses(losses) != like.size:
    raise ValueError(f"losses: must be given, K = {like.size} of them, got {losses!r}")
  return ravel(losses)[0].astype(like.dtype)


def _time(state: MocoState | DbMtlState) -> jax.Array:
  """Returns the number of the step that is taken now, from 1."""
  return state.num_updates.astype(state.weights.dtype) + 1


def _norms(gradients: PyTree, like: jax.Array) -> jax.Array:
  """Returns the lengths of K gradients, like [K]."""
  squares = jax.tree.map(lambda g: g.astype(wide_dtype(g)) ** 2, gradients)
  return jnp.sqrt(total(squares, like))


def _scale(scales: jax.Array, gradients: PyTree) -> PyTree:
  """Returns s_k g_k, in the dtype of the scales [K]."""

  def scale(leaf: jax.Array) -> jax.Array:
    return scales.reshape(-1, *[1] * (leaf.ndim - 1)) * leaf.astype(scales.dtype)

  return jax.tree.map(scale, gradients)


def _mix(rate: jax.Array, gradients: PyTree, averages: PyTree) -> PyTree:
  """Returns y + rate (g - y), in the dtypes of the averages."""

  def mix(gradient: jax.Array, average: jax.Array) -> jax.Array:
    return average + rate.astype(average.dtype) * (gradient.astype(average.dtype) - average)

  return jax.tree.map(mix, gradients, averages)
