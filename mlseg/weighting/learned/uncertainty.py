"""Uncertainty weighting: weights from learned variances, and the revised form of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg.weighting.base import Losses, LossWeighting, Weights, num_losses, state_dtype
from mlseg.weighting.checks import check_number, per_loss
from mlseg.weighting.learned_state import ADAM, MAX_LOG, LearnedState, descend, start
from mlseg.weighting.presence import ravel_present

# The factors of e^-s L and of s in the total.
_FACTORS = {"regression": (0.5, 0.5), "classification": (1.0, 0.5), "doubled": (1.0, 1.0)}


def uncertainty(
  kind: Weights = "regression",
  initial: float = 0.0,
  optimizer: optax.GradientTransformation = ADAM,
) -> LossWeighting:
  """Learns the variance of each loss, and weights by its inverse.

  Formula: minimise Σ_k e^(-s_k) L_k / 2 + s_k / 2 over s_k = log σ_k², so w_k = e^(-s_k) / 2

  This is the kind 'regression', L/(2σ²) + log σ, with its optimum at σ² = L. The other kinds are
  'classification', L/σ² + log σ, with w = e^-s and the optimum σ² = 2L, and 'doubled', L/σ² +
  log σ², with w = e^-s, which is twice 'regression'.

  The weights of a step are those before the step of the optimiser, which needs only the losses.
  Gradients for s are clipped to [-100, 100], and s to [-20, 20]. A loss that stays at 0 or below
  drives its s to -20. A step with a loss that is not finite changes nothing.

  Needs: losses

  Use when: losses are negative log-likelihoods or squared errors that stay away from 0; not for
  losses that reach 0 or below, whose weights grow to the bound e^20.

  Differs: the authors' notebook, cov-weighting and BenTaieb & Hamarneh 2017 use e^-s L + s, twice
  the paper's total for regression, which also doubles the learning rate of the network; that is
  kind='doubled' here.

  Differs: LibMTL, Nash-MTL and TorchJD use the form for regression for all losses; the paper has no
  1/2 before the loss of a classification.

  Differs: LibMTL, like the code of MTAN, begins with s = -0.5; mlseg, like most others, with 0.

  Source: Kendall et al. 2018, CVPR, arXiv 1705.07115, eqs. 7 and 10.

  Args:
    kind: 'regression', 'classification' or 'doubled': one for all losses, or K in the order of
      `jax.tree.leaves`, or a pytree like the losses.
    initial: the first value of s, in [-20, 20].
    optimizer: of s; by default optax.adam(0.025), whose steps do not depend on the losses' scale.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where kinds do not match the
      losses.

  Example:
    >>> weighting = uncertainty({"focal": "classification", "mse": "regression"})
    >>> losses = {"focal": jnp.float32(0.1), "mse": jnp.float32(4.0)}
    >>> weights, state = weighting.update(losses, weighting.init(losses))
    >>> {name: float(weight) for name, weight in weights.items()}
    {'focal': 1.0, 'mse': 0.5}
    >>> [round(float(log_variance), 4) for log_variance in state.parameters]
    [-0.025, 0.025]
  """
  check_kind(kind)
  check_number("initial", initial, -MAX_LOG, MAX_LOG)

  def init(losses: Losses) -> LearnedState:
    per_loss("kind", kind, losses)
    return start(jnp.full(num_losses(losses), initial, state_dtype(losses)), optimizer)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    factor, penalty = factors_of(kind, losses, vector.dtype)
    decided = factor * jnp.exp(-state.parameters)
    gradient = penalty - decided * vector
    limits = -MAX_LOG, MAX_LOG
    return unravel(decided), descend(state, gradient, vector, optimizer, *limits, present)

  return LossWeighting(init, update, decides_first=True)


def check_kind(kind: Weights) -> None:
  """Raises ValueError unless every kind is known.

  Args:
    kind: one for all losses, or K, or a pytree of kinds.

  Example:
    >>> check_kind("half")
    Traceback (most recent call last):
    ...
    ValueError: kind: choose from regression, classification, doubled; got 'half'
  """
  for one in jax.tree.leaves(kind):
    if one not in _FACTORS:
      raise ValueError(f"kind: choose from {', '.join(_FACTORS)}; got {one!r}")


def factors_of(kind: Weights, losses: Losses, dtype: np.dtype) -> tuple[jax.Array, jax.Array]:
  """Returns the factors of e^-s L and of s in the total, each [K].

  Args:
    kind: one for all losses, or K in the order of `jax.tree.leaves`, or a pytree like the losses.
    losses: a pytree of K scalars, or one array [K].
    dtype: of the factors.

  Raises:
    ValueError: where kinds do not match the losses.

  Example:
    >>> factor, penalty = factors_of("classification", jnp.zeros(2), jnp.float32)
    >>> factor.tolist(), penalty.tolist()
    ([1.0, 1.0], [0.5, 0.5])
  """
  factors = np.array([_FACTORS[one] for one in per_loss("kind", kind, losses)])
  factor, penalty = jnp.asarray(factors.T, dtype)
  return factor, penalty


def revised_uncertainty(
  initial: float = 1.0, optimizer: optax.GradientTransformation = ADAM
) -> LossWeighting:
  """Learns the scale of each loss as `uncertainty` does, but with a positive penalty.

  Formula: minimise Σ_k L_k / (2 c_k²) + log(1 + c_k²) over c_k, so w_k = 1 / (2 c_k²)

  The weights of a step are those before the step of the optimiser, which needs only the losses.
  The optimiser moves log c², so with the default one a weight changes by less than 10 % in a step.
  Gradients for log c² are clipped to [-100, 100], and c to [e^-10, e^10]. A step with a loss that
  is not finite changes nothing.

  Needs: losses

  Use when: as for `uncertainty`, but the total must not become negative, or small losses should
  count less: near 0 the optimum is c² = sqrt(L / 2), so the weight grows only as the root of 1/L.
  While a loss is exactly 0 its weight grows by up to a factor e in 40 steps, so this is not for
  losses that stay at 0.

  Differs: common code lets the optimiser move c itself. There c may pass through 0, where the
  weight is infinite, and near 0 a step of usual length multiplies the weight by any number.

  Source: Liebel & Körner 2018, arXiv 1805.06334.

  Args:
    initial: the first value of c, in [1e-4, 1e4].
    optimizer: of log c²; optax.adam(0.025) by default.

  Returns:
    A LossWeighting whose state holds c. In a chain it replaces what came before.

  Raises:
    ValueError: where initial is out of its range.

  Example:
    >>> weighting = revised_uncertainty()
    >>> losses = jnp.array([0.5, 4.0])
    >>> weights, state = weighting.update(losses, weighting.init(losses))
    >>> weights.tolist(), [round(float(scale), 4) for scale in state.parameters]
    ([0.5, 0.5], [0.9876, 1.0126])
  """
  check_number("initial", initial, 1e-4, 1e4)

  def init(losses: Losses) -> LearnedState:
    scales = jnp.full(num_losses(losses), initial, state_dtype(losses))
    return start(2 * jnp.log(scales), optimizer)._replace(parameters=scales)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    scales = jnp.asarray(state.parameters)
    log_squares, decided = 2 * jnp.log(scales), 1 / (2 * scales**2)
    gradient = jax.nn.sigmoid(log_squares) - decided * vector
    before = state._replace(parameters=log_squares)
    moved = descend(before, gradient, vector, optimizer, -MAX_LOG, MAX_LOG, present)
    # A logarithm and its exponential do not give back every scale to the last bit.
    kept = moved.parameters == log_squares
    scales = jnp.where(kept, scales, jnp.exp(moved.parameters / 2))
    return unravel(decided), moved._replace(parameters=scales)

  return LossWeighting(init, update, decides_first=True)
