"""GradNorm: weights learned so that no loss trains faster than the others."""

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
from mlseg.weighting.gram import is_finite, require
from mlseg.weighting.learned import ADAM, LearnedState, descend, start

_LOWEST = 1e-3  # of a weight before they are brought to sum to K
_PARAMETRIZATIONS = ("direct", "softmax")


class GradNormState(NamedTuple):
  """What is learned, and where the losses began."""

  learned: LearnedState  # parameters [K]: the weights, or their logits
  first_losses: jax.Array  # [K], ones until there are any
  num_seen: jax.Array  # [], int32: steps that entered


def gradnorm(
  alpha: float = 1.5,
  optimizer: optax.GradientTransformation = ADAM,
  parametrization: Literal["direct", "softmax"] = "direct",
) -> LossWeighting:
  """Learns weights that bring the lengths of the weighted gradients together.

  Formula: w ← w − η ∂/∂w Σ_k |w_k‖g_k‖ − c_k|, then w ← K w / Σ_j w_j, with the constants
  c_k = Ḡ r_k^α, Ḡ the mean of w_k‖g_k‖, r_k = (L_k/L_k(0)) / mean_j (L_j/L_j(0))

  Weights start at 1, and those of step t are from the steps before. A weight does not fall below
  0.001 of their mean, where the original lets it turn negative. With 'softmax' w = K softmax(z) and
  z is learned. A step on which a loss or an inner product is not finite, or a loss negative,
  changes nothing. The gradient for w is clipped to [-100, 100].

  Needs: losses, Gram matrix

  Use when: losses train at different speeds and their gradients differ in length; the paper takes
  the gradient at the last shared layer, as the Gram matrix at the logits does here.

  Differs: AuxiLearn renormalises before the optimiser's step and so uses weights that do not sum to
  K; here, as in the paper, after it.

  Differs: LibMTL learns logits of a softmax, and takes for L(0) the mean of the first epoch; here
  parametrization='softmax' gives the first, and L(0) is the first finite loss.

  Differs: the optax version in metaworld-algorithms differentiates through Ḡ and uses the new
  weights in the same step; the paper holds c_k constant.

  Source: Chen et al. 2018, ICML, arXiv 1711.02257, eqs. 1-2 and algorithm 1.

  Args:
    alpha: >= 0, the strength of the force towards equal training rates.
    optimizer: of the weights, any optax transformation; steps of the default, Adam, do not depend
      on how long the gradients are, which at the logits are short.
    parametrization: 'direct' or 'softmax'.

  Returns:
    A LossWeighting whose weights sum to K. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = gradnorm(optimizer=optax.sgd(0.025))
    >>> losses, gram = jnp.ones(2), jnp.array([[4.0, 0.0], [0.0, 1.0]])
    >>> _, state = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> print(weighting.update(losses, state, gram=gram)[0])
    [0.9620253 1.0379747]
  """
  check_number("alpha", alpha, 0)
  if parametrization not in _PARAMETRIZATIONS:
    choices = ", ".join(_PARAMETRIZATIONS)
    raise ValueError(f"parametrization: choose from {choices}; got {parametrization!r}")
  softmax = parametrization == "softmax"

  def init(losses: Losses) -> GradNormState:
    ones = jnp.ones(num_losses(losses), state_dtype(losses))
    return GradNormState(start(ones, optimizer), ones, jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, key, extra
    vector, unravel = ravel(losses)
    gram = require(gram, vector)
    used = state.learned.parameters
    used = used.size * jax.nn.softmax(used) if softmax else used

    enters = is_finite(gram) & all_finite(vector) & (vector >= 0).all()
    first = jnp.where(enters & (state.num_seen == 0), vector, state.first_losses)
    norms = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 0))
    gradient = balance_gradient(used, norms, relative_rates(vector, first), alpha)
    if softmax:
      gradient = used * (gradient - (used * gradient).sum() / used.size)
    lower, upper = (-20.0, 20.0) if softmax else (_LOWEST, jnp.inf)
    learned = descend(
      state.learned, jnp.where(enters, gradient, jnp.nan), vector, optimizer, lower, upper
    )
    if not softmax:
      parameters = learned.parameters
      learned = learned._replace(parameters=parameters.size * parameters / parameters.sum())
    seen = state.num_seen + enters.astype(jnp.int32)
    return unravel(used), GradNormState(learned, first, seen)

  return LossWeighting(init, update, needs_gram=True)


def relative_rates(losses: jax.Array, first_losses: jax.Array) -> jax.Array:
  """Returns r_k = (L_k/L_k(0)) / mean_j (L_j/L_j(0)); a loss that began at 0 counts as unchanged.

  Args:
    losses: [K].
    first_losses: [K].

  Example:
    >>> print(relative_rates(jnp.array([1.0, 3.0]), jnp.array([2.0, 2.0])))
    [0.5 1.5]
  """
  began = first_losses > 0
  ratios = jnp.where(began, losses / jnp.where(began, first_losses, 1), 1)
  mean = ratios.mean()
  return jnp.where(mean > 0, ratios / jnp.where(mean > 0, mean, 1), 1)


def balance_gradient(
  weights: jax.Array, norms: jax.Array, rates: jax.Array, alpha: float
) -> jax.Array:
  """Returns ∂/∂w Σ_k |w_k n_k − c_k| with c_k = mean(w n) r_k^α constant: n_k sign(w_k n_k − c_k).

  Args:
    weights: [K].
    norms: [K], n, the lengths of the gradients.
    rates: [K], r.
    alpha: the exponent of the rates.

  Example:
    >>> print(balance_gradient(jnp.ones(2), jnp.array([2.0, 1.0]), jnp.ones(2), 1.5))
    [ 2. -1.]
  """
  lengths = weights * norms
  return norms * jnp.sign(lengths - lengths.mean() * rates**alpha)
