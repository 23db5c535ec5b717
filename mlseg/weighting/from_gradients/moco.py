"""MoCo: common descent of moving averages of the gradients, as an optax transformation."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_gradients.averages import (
  EPSILON,
  loss_vector,
  move_towards,
  norms_of,
  scale_each,
  step_number,
)
from mlseg.weighting.presence import only
from mlseg.weighting.simplex import project_to_simplex, share, shares_of
from mlseg.weighting.stacked import (
  gram_of,
  only_present,
  stacked_zeros,
  total,
  transformation,
  weighted_sum,
  wide_dtype,
)

PyTree = Any


class MocoState(NamedTuple):
  """The moving averages of the gradients, and the weights."""

  averages: PyTree  # [K, ...] per leaf of the parameters
  weights: jax.Array  # [K]
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
  """Averages the gradients over time, and moves the weights to the averages' common descent.

  Formula: Σ_k w_k y_k with y_k ← y_k - β_t (y_k - g_k), w ← Π(w - γ_t (Y Yᵀ + ρ I) w),
  β_t = β t^-σ_β, γ_t = γ t^-σ_γ, Π the projection onto the simplex

  The averages start at 0 and the weights at 1/K; t is 1 at the first step. Weights stay where a
  gradient is exactly 0: the average of a loss that is absent from the batches becomes short, and
  would get all the weight. A step that would make the state not finite is left out, and gives the
  mean of the gradients.

  Needs: per-loss gradients (and losses for 'reference')

  Use when: batches are small and losses conflict. The common descent of the noisy gradients of one
  batch (`mgda`) is a biased direction; that of averages is not. The averages become slow, so use an
  optimiser without momentum. It takes the memory of K gradients.

  Differs: the authors' code in LibMTL first scales each gradient to the length L_k,
  L_k g_k / (|g_k| + 1e-8), and has a softmax in place of the projection, which keeps weights near
  1/K; that is variant='reference' here.

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

  def step(gradients, state, losses, present):
    weights = shares_of(state.weights, present)
    has_length = total(jax.tree.map(jnp.abs, gradients), weights) > 0
    moves = only(has_length, present, True).all()
    time = step_number(state.num_updates, weights)
    if variant == "reference":
      scales = loss_vector(losses, weights, present) / (norms_of(gradients, weights) + EPSILON)
      gradients = scale_each(scales, gradients)
    averages = move_towards(state.averages, gradients, beta * time**-beta_sigma)
    averages = only_present(averages, present)
    gram = gram_of(averages)
    slope = jnp.matmul(gram, weights, precision=jax.lax.Precision.HIGHEST) + rho * weights
    moved = only(weights - gamma * time**-gamma_sigma * slope, present, -jnp.inf)
    moved = project_to_simplex(moved) if variant == "paper" else jax.nn.softmax(moved)
    weights = jnp.where(moves, moved, weights)
    kept = share(weights, state.weights, present)
    next_state = MocoState(averages, kept, optax.safe_increment(state.num_updates))
    return weighted_sum(weights, averages), next_state

  return transformation(num_losses, init, step)
