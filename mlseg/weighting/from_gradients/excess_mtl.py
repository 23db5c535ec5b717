"""ExcessMTL: weights from how far each loss is above its minimum.

The estimate needs the squares of single coordinates of the gradients, which are not in the Gram
matrix, so the method is an optax transformation of the gradients.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.presence import only
from mlseg.weighting.stacked import stacked_zeros, total, transformation, weighted_sum, wide_dtype

PyTree = Any
_EPSILON = 1e-7  # under the root, as in the reference code


class ExcessMtlState(NamedTuple):
  """The curvature estimates of the losses, their first excess risks, and the weights."""

  squares: PyTree  # [K, ...] per leaf of the parameters: sums of squared gradients
  baseline: jax.Array  # [K]
  log_weights: jax.Array  # [K]: logarithms, since weights near 0 would underflow
  num_updates: jax.Array  # [K], int32: the steps that had the loss

  @property
  def weights(self) -> jax.Array:
    """The weights [K], sum 1."""
    return jnp.exp(self.log_weights)


def excess_mtl(
  num_losses: int, step_size: float = 1e-2, num_warmup: int = 1
) -> optax.GradientTransformationExtraArgs:
  """Raises the weights of losses that are still far above their minimum, which is estimated.

  Formula: Σ_k w_k g_k with w_k ∝ w_k exp(η E_k / E_k0), the excess risk E_k = Σ g_k² / sqrt(H_k)
  over all coordinates, H_k = 1e-7 + the sum of g_k² over all steps, E_k0 the mean E_k of the
  warm-up

  Weights are 1/K in the warm-up. A loss whose gradient was 0 in the warm-up has E_k / E_k0 = 1, and
  so has one whose warm-up is later than that of others, because it was absent from steps. A
  step that would make the state not finite is left out, and gives the mean of the gradients.

  Needs: per-loss gradients

  Use when: some losses have noisy labels, so that a loss may be large although it cannot be
  lowered. It takes the memory of K gradients.

  Differs: the warm-up is three epochs in the paper, and one step in the authors' code and by
  default here.

  Differs: weights sum to 1 as in the paper; in the authors' code and LibMTL they sum to K.

  Differs: TorchJD without warm-up uses E_k itself in place of E_k / E_k0 in the first step, so that
  losses with large gradients keep larger weights; the authors' code does not.

  Source: He et al. 2024, ICML, "Robust Multi-Task Learning with Excess Risks", arXiv 2402.02009,
  eqs. 6, 7 and 9, section 3.2; the step size is that of the authors' code.

  Args:
    num_losses: K.
    step_size: η >= 0.
    num_warmup: steps of the warm-up, at least 1.

  Returns:
    A GradientTransformationExtraArgs whose state has the weights, which sum to 1.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where gradients do not fit.

  Example:
    >>> transformation = excess_mtl(2, step_size=1.0)
    >>> state = transformation.init({"a": jnp.zeros(2)})
    >>> for second in (1.0, 0.1):  # the second loss converges
    ...   gradients = {"a": jnp.array([[1.0, 0.0], [0.0, second]])}
    ...   updates, state = transformation.update(gradients, state)
    >>> [round(float(weight), 3) for weight in state.weights]
    [0.668, 0.332]
  """
  check_integer("num_losses", num_losses, 1)
  check_number("step_size", step_size, 0)
  check_integer("num_warmup", num_warmup, 1)

  def init(params):
    zeros = jnp.zeros(num_losses, wide_dtype(params))
    log_weights = jax.nn.log_softmax(zeros)
    squares = stacked_zeros(params, num_losses)
    return ExcessMtlState(squares, zeros, log_weights, jnp.zeros(num_losses, jnp.int32))

  def step(gradients, state, losses, present):
    del losses
    squares = jax.tree.map(lambda s, g: s + g.astype(s.dtype) ** 2, state.squares, gradients)
    risks = jax.tree.map(
      lambda s, g: g.astype(s.dtype) ** 2 / jnp.sqrt(s + _EPSILON), squares, gradients
    )
    risk = total(risks, state.baseline)
    warm = state.num_updates < num_warmup
    baseline = state.baseline + jnp.where(warm, risk / num_warmup, 0)
    has_one = baseline > 0
    relative = jnp.where(has_one, risk / jnp.where(has_one, baseline, 1), 1)
    growth = step_size * jnp.where(warm, 1, relative)
    growth = jnp.where(only(warm, present, True).all(), 0, growth)
    log_mass = (
      0 if present is None else jax.nn.logsumexp(only(state.log_weights, present, -jnp.inf))
    )
    log_weights = jax.nn.log_softmax(only(state.log_weights + growth, present, -jnp.inf))
    num_updates = optax.safe_increment(state.num_updates)
    next_state = ExcessMtlState(squares, baseline, log_weights + log_mass, num_updates)
    return weighted_sum(jnp.exp(log_weights), gradients), next_state

  return transformation(num_losses, init, step)
