"""FAMO, fast adaptive multitask optimization: all losses fall at one relative rate."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  State,
  Weights,
  all_finite,
  num_losses,
  ravel,
  state_dtype,
)
from mlseg.weighting.checks import check_number, check_per_loss, per_loss
from mlseg.weighting.from_losses import history
from mlseg.weighting.learned_state import step
from mlseg.weighting.presence import only, ravel_present

_ADAM = optax.adam(0.025)
_EPSILON = 1e-8


class FamoState(NamedTuple):
  """The learned logits, and the losses from which they are learned."""

  logits: jax.Array  # [K]
  log_losses: jax.Array  # [K]: log(L - b + 1e-8) of the last step with this loss
  optimizer_state: State
  is_recent: jax.Array  # [K], bool: whether the last step that counted had this loss
  num_updates: jax.Array  # [K], int32: steps with this loss that counted


def famo(
  optimizer: optax.GradientTransformation = _ADAM, gamma: float = 0.001, min_losses: Weights = 0.0
) -> LossWeighting:
  """Learns weights under which the logarithms of all losses fall by the same amount.

  Formula: w_k = (z_k / d_k) / Σ_j (z_j / d_j), z = softmax(ξ), d_k = L_k - b_k + 1e-8;
  ξ follows the gradient (∂z/∂ξ)ᵀ (log d(t-1) - log d(t)) + γ ξ

  The step of the logits ξ compares the losses of two steps, which are of different batches.
  `update` also takes `losses_after=`, the losses of the previous batch under the current
  parameters, in the structure of the losses. Where given, d(t) is computed from them, as in the
  paper; that costs one more forward pass. Logits begin at 0, and those of a loss that the previous
  batch did not have do not follow its `losses_after`.

  A step with a loss that is not finite, or not above b_k, changes nothing, and its weights are z.
  So a loss that is exactly at its bound, as that of a task without labels in a batch, does not take
  the weight of the others. Where this holds for `losses_after`, or the logits would not be finite,
  the logits stay.

  Needs: losses

  Use when: losses of different scales should fall at one relative rate, without the cost of further
  gradients; not for losses near their minimum 0, whose logarithms are mostly noise: a loss that is
  not 0 but far smaller than the others has nearly all the weight.

  Differs: the authors' code compares the losses of one batch before and after a step, as mlseg does
  with `losses_after`; without it mlseg compares two batches, which is noisier and costs nothing.

  Differs: γ is 0.001 in the paper's Algorithm 2 and in LibMTL, as here, and 1e-5 in the authors'
  code.

  Source: Liu et al. 2023, NeurIPS, arXiv 2306.03792, Algorithm 1.

  Args:
    optimizer: of the logits; optax.adam(0.025) as in the paper.
    gamma: γ >= 0, how strongly the logits are drawn to 0.
    min_losses: b, the lower bounds of the losses: one number, or K in the order of
      `jax.tree.leaves`, or a pytree like the losses.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where `min_losses` do not match
      the losses.

  Example:
    >>> weighting = famo()
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[1.0, 3.0], [1.0, 1.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 4) for weight in weights]
    [0.5125, 0.4875]
  """
  check_number("gamma", gamma, 0)
  check_per_loss("min_losses", min_losses, -math.inf)

  def init(losses: Losses) -> FamoState:
    per_loss("min_losses", min_losses, losses)
    zeros = jnp.zeros(num_losses(losses), state_dtype(losses))
    unseen = jnp.zeros(zeros.size, bool), jnp.zeros(zeros.size, jnp.int32)
    return FamoState(zeros, jnp.copy(zeros), optimizer.init(zeros), *unseen)

  def learn(
    state: FamoState, after: jax.Array, present: jax.Array | None
  ) -> tuple[jax.Array, State]:
    decrease = only(state.log_losses - after, present)
    shares = jax.nn.softmax(state.logits, where=present)
    gradient = shares * (decrease - (shares * decrease).sum()) + gamma * state.logits
    return step(state.logits, gradient, state.optimizer_state, optimizer, present)

  def update(
    losses, state, *, weights=None, gram=None, key=None, present=None, losses_after=None, **extra
  ):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    lowest = jnp.asarray(per_loss("min_losses", min_losses, losses), vector.dtype)
    log_losses, enters = _logarithms(vector, lowest, present)
    after, known, compared = log_losses, enters, present
    if losses_after is not None:
      compared = None if present is None else present & state.is_recent
      after, known = _logarithms(ravel(losses_after)[0], lowest, compared)
    learned = learn(state, after, compared)
    is_seen = only(state.num_updates > 0, compared, True).all()
    learns = enters & is_seen & known & all_finite(learned[0])
    logits, optimizer_state = jax.tree.map(
      lambda new, old: jnp.where(learns, new, old), learned, (state.logits, state.optimizer_state)
    )
    entered = only(jnp.broadcast_to(enters, vector.shape), present, False)
    next_state = FamoState(
      logits,
      jnp.where(entered, log_losses, state.log_losses),
      optimizer_state,
      jnp.where(enters, entered, state.is_recent),
      state.num_updates + entered.astype(jnp.int32),
    )
    scores = jnp.where(enters, logits - log_losses, logits)
    return unravel(jax.nn.softmax(scores, where=present)), next_state

  return LossWeighting(init, update)


def _logarithms(
  losses: jax.Array, lowest: jax.Array, present: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
  """Returns log(L - b + 1e-8) [K], and whether all losses are finite and above their bounds."""
  above = only(losses - lowest, present, 1)
  enters = history.enters(losses, present) & all_finite(above) & (above > 0).all()
  return jnp.log(jnp.where(enters, above, 1) + _EPSILON), enters
