"""GradNorm: learned weights that bring the gradients of all losses to fitting lengths."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  all_finite,
  check_number,
  num_losses,
  ravel,
  state_dtype,
)
from mlseg.weighting.from_gram.gram import is_finite, require
from mlseg.weighting.learned_state import ADAM, LearnedState, descend, start

# (lowest, highest) of what is learned, and its first value: weights, or logits of their shares.
_PARAMETRIZATIONS = {"direct": (1e-3, 1e3, 1.0), "softmax": (-10.0, 10.0, 0.0)}


class GradNormState(NamedTuple):
  """What is learned, and the losses that progress is measured from."""

  initial_losses: jax.Array  # [K], of the first step that entered; 0 before
  learned: LearnedState  # of the weights [K], or their logits


def gradnorm(
  alpha: float = 1.5,
  optimizer: optax.GradientTransformation = ADAM,
  parametrization: Literal["direct", "softmax"] = "direct",
) -> LossWeighting:
  """Learns weights under which a loss that lags behind has the longer weighted gradient.

  Formula: minimise Σ_k |n_k - n̄ r_k^α| over w with n̄ r_k^α constant, n_k = w_k |g_k|, n̄ = mean(n),
  r_k = ρ_k / mean(ρ), ρ_k = L_k(t) / L_k(0); then w ← K w / Σ_j w_j

  So the gradient for w_k is ±|g_k|, clipped to [-100, 100]. Weights are those before the step of
  the optimiser; at first they are 1. They are kept from falling below 0.001 before they are scaled
  to the sum K.

  With 'softmax' the optimiser learns z in w = K softmax(z), kept within ±10 of its mean, and no
  scaling is needed.

  L(0) are the losses of the first step on which all are positive. Before it, and on a step on which
  a loss is negative, or a loss or an inner product is not finite, nothing changes.

  Needs: losses, Gram matrix

  Use when: losses should fall at one relative rate, and are positive; the larger α, the harder a
  loss that lags is pulled. It follows changes as slowly as its optimiser.

  Differs: AuxiLearn scales weights before the optimiser's step and not after it, so theirs, scaled
  to the sum K, are mlseg's.

  Differs: LibMTL learns logits of a softmax, as 'softmax' does, and measures progress from the mean
  losses of the first epoch, in which weights are 1.

  Differs: metaworld-algorithms differentiates the target n̄ r_k^α too, which the paper keeps
  constant, and uses weights in the step that they come from.

  Source: Chen et al. 2018, ICML, arXiv 1711.02257, eqs. 1 and 2 and algorithm 1.

  Args:
    alpha: α >= 0, how much more a lagging loss should count; 0 makes all weighted gradients equally
      long.
    optimizer: of the weights; by default optax.adam(0.025), whose steps do not depend on how long
      the gradients are.
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

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, key, extra
    vector, unravel = ravel(losses)
    gram = require(gram, vector)
    initial = jnp.where(state.initial_losses > 0, state.initial_losses, vector)
    enters = is_finite(gram) & all_finite(vector) & (vector >= 0).all()
    enters &= (initial >= jnp.finfo(initial.dtype).tiny).all()
    parameters = state.learned.parameters
    decided = parameters.size * jax.nn.softmax(parameters) if is_softmax else parameters
    gradient = _gradient(decided, jnp.diagonal(gram), vector, initial, alpha)
    if is_softmax:
      gradient = decided * (gradient - (decided * gradient).mean())
    learned = descend(state.learned, gradient, vector, optimizer, lowest, highest)
    moved = learned.parameters
    moved = moved - moved.mean() if is_softmax else moved / moved.mean()
    moved_state = GradNormState(initial, learned._replace(parameters=moved))
    next_state = jax.tree.map(lambda new, old: jnp.where(enters, new, old), moved_state, state)
    return unravel(decided), next_state

  return LossWeighting(init, update, needs_gram=True)


def _gradient(
  weights: jax.Array, squares: jax.Array, losses: jax.Array, initial: jax.Array, alpha: float
) -> jax.Array:
  """Returns the derivatives [K] of the sum of distances from the targets."""
  norms = jnp.sqrt(jnp.maximum(squares, 0))
  # Quotients of losses may be too large for the floats, their logarithms are not.
  floored = jnp.maximum(losses, jnp.finfo(losses.dtype).tiny)
  rates = losses.size * jax.nn.softmax(jnp.log(floored) - jnp.log(initial))
  lengths = weights * norms
  targets = lengths.mean() * rates**alpha
  # Not `sign`: for the difference of infinities it is NaN.
  return jnp.where(lengths > targets, norms, jnp.where(lengths < targets, -norms, 0))
