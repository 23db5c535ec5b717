"""DB-MTL: moving averages of gradients, brought to one length, as an optax transformation."""

from typing import Any, NamedTuple

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
from mlseg.weighting.stacked import (
  only_present,
  stacked_zeros,
  transformation,
  weighted_sum,
  wide_dtype,
)

PyTree = Any


class DbMtlState(NamedTuple):
  """The moving averages of the gradients of the losses' logarithms."""

  averages: PyTree  # [K, ...] per leaf of the parameters
  weights: jax.Array  # [K], of the averages in the last update; 1 before the first
  num_updates: jax.Array  # [], int32


def db_mtl(
  num_losses: int, beta: float = 0.9, beta_sigma: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """Averages the gradients of the logarithms of losses, and scales the averages to one length.

  Formula: Σ_k (max_j |y_j| / |y_k|) y_k with y_k ← β_t y_k + (1 - β_t) ∇log L_k, β_t = β t^-σ

  ∇log L_k is g_k / (L_k + 1e-8), and 1e-8 is added to |y_k| too. The averages start at 0 without a
  correction, so the first updates are short; an optimiser like Adam makes up for it. A step with a
  negative or non-finite loss, or one that would make the state not finite, is left out, and gives
  the mean of the gradients.

  Needs: per-loss gradients, losses

  Use when: losses are positive and differ in scale, and none may dominate. A loss near 0 counts as
  much as any other. It takes the memory of K gradients.

  Differs: LibMTL balances only the shared parameters; the heads get the gradients of the sum of the
  logarithms. mlseg balances all leaves that it is given; `optax.partition` can give it fewer.

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

  def step(gradients, state, losses, present):
    vector = loss_vector(losses, state.weights, present)
    logarithmic = jnp.where(vector < 0, jnp.nan, 1 / (vector + EPSILON))  # NaN: left out
    time = step_number(state.num_updates, state.weights)
    rate = 1 - beta * time**-beta_sigma
    averages = move_towards(state.averages, scale_each(logarithmic, gradients), rate)
    averages = only_present(averages, present)
    norms = norms_of(averages, state.weights)
    weights = norms.max() / (norms + EPSILON)
    next_state = DbMtlState(averages, weights, optax.safe_increment(state.num_updates))
    return weighted_sum(only(weights, present), averages), next_state

  return transformation(num_losses, init, step)
