"""GradNorm: learned weights under which losses that fall slowly have longer gradients."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import Losses, LossWeighting, all_finite, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.from_gram.gram import is_finite, mean, require, some
from mlseg.weighting.learned_state import ADAM, LearnedState, descend, start
from mlseg.weighting.presence import keep_absent, number_of, only, ravel_present

# The smallest, largest and first value of what is learned: weights, or logits of their shares.
_PARAMETRIZATIONS = {"direct": (1e-3, 1e3, 1.0), "softmax": (-10.0, 10.0, 0.0)}


class GradNormState(NamedTuple):
  """The learned parameters, and the losses relative to which progress is measured."""

  initial_losses: jax.Array  # [K], of the first step with positive losses; 0 before
  learned: LearnedState  # of the weights [K], or of their logits


def gradnorm(
  alpha: float = 1.5,
  optimizer: optax.GradientTransformation = ADAM,
  parametrization: Literal["direct", "softmax"] = "direct",
) -> LossWeighting:
  """Learns weights under which the weighted gradient is longer for a loss that falls slowly.

  Formula: minimise Σ_k |n_k - n̄ r_k^α| over w with n̄ r_k^α constant, n_k = w_k |g_k|, n̄ = mean(n),
  r_k = ρ_k / mean(ρ), ρ_k = L_k(t) / L_k(0); then w ← K w / Σ_j w_j

  So the gradient for w_k is ±|g_k|, clipped to [-100, 100]. The weights of a step are those before
  the step of the optimiser; the first ones are 1. They are kept above 0.001 before they are scaled
  to the sum K.

  With 'softmax' the optimiser learns z in w = K softmax(z), kept within ±10 of its mean, and no
  scaling is needed.

  L(0) are the losses of the first step in which all are positive. Nothing changes before that step,
  and in a step where a loss is negative, or a loss or an inner product is not finite. The weights
  of n present losses sum to n, and an absent loss keeps what it has learned.

  Needs: losses, Gram matrix

  Use when: losses are positive and should fall at one relative rate; the larger α is, the more a
  slow loss counts. It follows changes only as fast as its optimiser does.

  Differs: AuxiLearn scales weights before the optimiser's step and not after it; scaled to the sum
  K, its weights are those of mlseg.

  Differs: LibMTL learns logits of a softmax, as 'softmax' does, and measures progress from the mean
  losses of the first epoch, in which weights are 1.

  Differs: metaworld-algorithms also differentiates the target n̄ r_k^α, which is constant in the
  paper, and uses the new weights in the same step.

  Source: Chen et al. 2018, ICML, arXiv 1711.02257, eqs. 1 and 2 and algorithm 1.

  Args:
    alpha: α >= 0, how much more a slow loss should count; 0 makes all weighted gradients equally
      long.
    optimizer: of the weights; by default optax.adam(0.025), whose steps do not depend on the length
      of the gradients.
    parametrization: 'direct' or 'softmax'.

  Returns:
    A LossWeighting whose weights sum to K. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = gradnorm(optimizer=optax.sgd(0.1))
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([16.0, 1.0]))
    >>> _, state = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> weights, _ = weighting.update(losses, state, gram=gram)
    >>> [round(float(weight), 4) for weight in weights]  # of 0.6 and 1.1
    [0.7059, 1.2941]
  """
  check_number("alpha", alpha, 0)
  if parametrization not in _PARAMETRIZATIONS:
    choices = ", ".join(_PARAMETRIZATIONS)
    raise ValueError(f"parametrization: choose from {choices}; got {parametrization!r}")
  lowest, highest, first = _PARAMETRIZATIONS[parametrization]
  is_softmax = parametrization == "softmax"

  def init(losses: Losses) -> GradNormState:
    zeros = jnp.zeros(num_losses(losses), state_dtype(losses))
    return GradNormState(zeros, start(zeros + first, optimizer))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    gram = require(gram, vector, mask)
    initial = jnp.where(state.initial_losses > 0, state.initial_losses, vector)
    enters = is_finite(gram) & all_finite(vector) & (vector >= 0).all()
    enters &= (only(initial, mask, 1) >= jnp.finfo(initial.dtype).tiny).all()
    if mask is not None:
      enters &= mask.any()
    solved = some(mask)
    parameters, centre = _centred(state.learned.parameters, solved, is_softmax)
    decided = parameters
    if is_softmax:
      shares = jax.nn.softmax(only(parameters, solved, -jnp.inf))
      decided = number_of(vector, solved) * shares
    gradient = _gradient(decided, jnp.diagonal(gram), vector, initial, alpha, solved)
    if is_softmax:
      gradient = decided * (gradient - mean(decided * gradient, solved))
    before = state.learned._replace(parameters=parameters)
    learned = descend(before, gradient, vector, optimizer, lowest, highest)
    moved = learned.parameters
    average = mean(moved, solved)
    moved = moved - average if is_softmax else moved / average
    if mask is not None:
      moved = moved + centre if is_softmax else moved * centre
    moved_state = GradNormState(initial, learned._replace(parameters=moved))
    moved_state = keep_absent(moved_state, state, mask)
    next_state = jax.tree.map(lambda new, old: jnp.where(enters, new, old), moved_state, state)
    return unravel(decided), next_state

  return LossWeighting(init, update, needs_gram=True, decides_first=True)


def _centred(
  parameters: jax.Array, present: jax.Array | None, is_softmax: bool
) -> tuple[jax.Array, jax.Array | float]:
  """Returns the parameters [K] as they are where the present losses are alone, and their mean."""
  if present is None:
    return parameters, 0.0
  centre = mean(parameters, present)
  return parameters - centre if is_softmax else parameters / centre, centre


def _gradient(
  weights: jax.Array,
  squares: jax.Array,
  losses: jax.Array,
  initial: jax.Array,
  alpha: float,
  present: jax.Array | None,
) -> jax.Array:
  """Returns the derivatives [K] of the sum of distances from the targets."""
  norms = jnp.sqrt(jnp.maximum(squares, 0))
  # Quotients of losses may be too large for the dtype; differences of their logarithms are not.
  floored = jnp.maximum(losses, jnp.finfo(losses.dtype).tiny)
  fallen = only(jnp.log(floored) - jnp.log(initial), present, -jnp.inf)
  rates = number_of(losses, present) * jax.nn.softmax(fallen)
  lengths = weights * norms
  targets = mean(lengths, present) * rates**alpha
  # Not `sign`: for the difference of infinities it is NaN.
  return jnp.where(lengths > targets, norms, jnp.where(lengths < targets, -norms, 0))
