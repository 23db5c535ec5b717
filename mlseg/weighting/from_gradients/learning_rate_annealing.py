"""Learning-rate annealing: weights that bring the gradients of all losses to one size.

The mean size of a gradient's coordinates is not in the Gram matrix, so the method is an optax
transformation of the gradients.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.stacked import total, transformation, weighted_sum, wide_dtype


class LearningRateAnnealingState(NamedTuple):
  """The moving average of the weights."""

  weights: jax.Array  # [K]


def learning_rate_annealing(
  num_losses: int, decay: float = 0.9, reference: int = 0
) -> optax.GradientTransformationExtraArgs:
  """Weights each loss so that its mean gradient is as large as the largest of a reference loss.

  Formula: Σ_k w_k g_k with w_k ← decay w_k + (1 - decay) max |g_r| / mean |g_k|, w_r = 1, maximum
  and mean over all coordinates

  Weights start at 1. A weight stays as it is where its ratio is not finite, as for a loss whose
  gradient is 0, and all stay in a step without the reference loss. A step that would make the state
  not finite is left out, and gives the mean of the gradients.

  Needs: per-loss gradients

  Use when: one loss, such as the residual of a differential equation, has gradients so large that
  the others are not learned. Weights have no upper bound, so lower the learning rate.

  Differs: the paper recommends 0.9 for the factor of the new ratio; in the authors' code 0.9 is the
  factor of the old weight, as here and in ConFIG's code.

  Differs: the authors' code updates weights at every tenth step. It averages |w_k g_k|, with the
  weight, over the weight matrices without biases, and takes the mean of the means of the matrices.

  Source: Wang, Teng & Perdikaris 2021, SIAM J. Sci. Comput. 43(5), arXiv 2001.04536, algorithm 1.

  Args:
    num_losses: K.
    decay: in [0, 1], of the moving average of the weights.
    reference: r, the index of the loss whose weight stays 1, 0 <= r < K.

  Returns:
    A GradientTransformationExtraArgs whose state has the weights.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where gradients do not fit.

  Example:
    >>> transformation = learning_rate_annealing(2, decay=0.5)
    >>> state = transformation.init({"a": jnp.zeros(2)})
    >>> updates, state = transformation.update({"a": jnp.array([[6.0, 1.0], [1.0, 3.0]])}, state)
    >>> state.weights.tolist(), updates["a"].tolist()  # 0.5 · 1 + 0.5 · 6 / 2
    ([1.0, 2.0], [8.0, 7.0])
  """
  check_integer("num_losses", num_losses, 1)
  check_number("decay", decay, 0, 1)
  check_integer("reference", reference, 0)
  check_number("reference", reference, 0, num_losses - 1)

  def init(params):
    return LearningRateAnnealingState(jnp.ones(num_losses, wide_dtype(params)))

  def step(gradients, state, losses, present):
    del losses
    sizes = jax.tree.map(lambda g: jnp.abs(g.astype(wide_dtype(g))), gradients)
    leaves = jax.tree.leaves(sizes)
    number = sum(leaf[reference].size for leaf in leaves)
    maxima = (leaf[reference].max(initial=0).astype(state.weights.dtype) for leaf in leaves)
    largest = functools.reduce(jnp.maximum, maxima, jnp.zeros_like(state.weights[0]))
    mean = total(jax.tree.map(lambda leaf: leaf / number, sizes), state.weights)
    ratio = (largest / jnp.where(mean == 0, 1, mean)).at[reference].set(1)
    moves = jnp.isfinite(ratio) & (mean != 0)
    if present is not None:
      moves &= jnp.broadcast_to(present[reference], moves.shape)
    ratio = jnp.where(moves, ratio, state.weights)
    weights = decay * state.weights + (1 - decay) * ratio
    return weighted_sum(weights, gradients), LearningRateAnnealingState(weights)

  return transformation(num_losses, init, step)
