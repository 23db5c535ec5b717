"""MoDo and SDMGrad: common descent from noisy gradients, a few steps of the weights per batch.

The shortest convex combination of noisy gradients (`mgda`) is a biased direction. The gradient of
its squared length, H w, is unbiased, if H holds the inner products between the gradients of two
independent batches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  Weights,
  all_finite,
  num_losses,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_integer, check_number, check_per_loss, per_loss
from mlseg.weighting.from_gram.gram import even_power, is_finite, mean, of_present, require, some
from mlseg.weighting.from_gram.quadratic import dot
from mlseg.weighting.presence import only, ravel_present
from mlseg.weighting.simplex import project_to_simplex, share, shares_of

# The largest entry of the scaled matrix; beyond it the next weights are at a vertex in any case.
_MAX_ENTRY = 1e15


class SimplexState(NamedTuple):
  """The weights from which the next steps start."""

  weights: jax.Array  # [K], sum 1


def modo(gamma: float = 0.1, rho: float = 0.1) -> LossWeighting:
  """Takes one step per batch towards the shortest convex combination of the gradients (MoDo).

  Formula: w ← Π(w - γ (H w + ρ w)), H_ij = g_i·g_j' of two independent batches, Π the projection
  onto the simplex

  H is given to `update` as `gram`; it need not be symmetric. The Gram matrix of one batch works
  too, but noise adds to its diagonal, which moves weights to the losses with the least noise.

  Weights begin at 1/K, and stay where a loss or an entry of H is not finite, or a gradient is 0
  (H_kk = 0): all weight would move to a loss that is absent from the batches, step by step. The
  unit of γ is the inverse of that of H, so γ has to be small where gradients are long.

  Needs: Gram matrix

  Use when: batches are small, losses conflict, and two gradients per step are affordable.

  Source: Chen et al. 2023, NeurIPS, arXiv 2305.20057, algorithm 1; the defaults are TorchJD's.

  Args:
    gamma: γ >= 0, the rate of the weights.
    rho: ρ >= 0, draws the weights towards uniform.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = modo(gamma=0.25, rho=0.0)
    >>> losses, gram = jnp.ones(2), jnp.diag(jnp.array([4.0, 1.0]))
    >>> print(weighting.update(losses, weighting.init(losses), gram=gram)[0])
    [0.3125 0.6875]
  """
  check_number("gamma", gamma, 0)
  check_number("rho", rho, 0)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    products, enters = _products(gram, vector, mask)
    start = shares_of(state.weights, mask)
    moved = _descend(start, dot(products, start) + rho * start, gamma, mask)
    moved = jnp.where(enters, moved, start)
    return unravel(moved), _next_state(state, moved, enters, mask)

  return LossWeighting(_init, update, needs_gram=True)


def sdmgrad(
  learning_rate: float = 0.1,
  momentum: float = 0.5,
  num_steps: int = 20,
  regularization: float = 0.3,
  preference: Weights | None = None,
) -> LossWeighting:
  """Gives a direction between a weighted mean of the gradients and that of `mgda` (SDMGrad).

  Formula: w = (v + λ p) / (1 + λ) after `num_steps` of u ← m u + H̃ (v + λ p), v ← Π(v - η u),
  p the preference, H̃ = H / mean_k(√max(H_kk, 0))², H_ij = g_i·g_j' of two independent batches

  That is descent on (v + λ p)ᵀ H̃ (v + λ p) / 2 over the simplex, onto which Π projects. It starts
  from the v of the last batch and from u = 0.

  H is given to `update` as `gram`; it need not be symmetric. The Gram matrix of one batch works
  too, but noise adds to its diagonal, which moves weights to the losses with the least noise.

  v begins at 1/K, and stays where a loss or an entry of H is not finite, a gradient is 0
  (H_kk = 0), or no H_kk is a normal positive number.

  Needs: Gram matrix

  Use when: batches are small, two gradients per step are affordable, and the direction should stay
  near the mean gradient; the larger λ is, the nearer it stays.

  Differs: η is 10 in the authors' code and in TorchJD. A step is then longer than the simplex is
  wide, so that v jumps from corner to corner and rounding errors grow a thousandfold. Here η is
  0.1, with which v converges.

  Differs: λ is 0.6 by default in the authors' code, and 0.3 in its experiments, in LibMTL, in
  TorchJD and here.

  Differs: the authors' code and TorchJD add 1e-8 to the squared mean length, so that weights hardly
  move where gradients are short; mlseg does not.

  Source: Xiao et al. 2023, NeurIPS, arXiv 2305.18409, algorithm 1; steps, momentum and scaling are
  the authors' code's.

  Args:
    learning_rate: η >= 0.
    momentum: m, in [0, 1].
    num_steps: steps of the descent per update.
    regularization: λ >= 0.
    preference: p >= 0, one number for all, or K in the order of `jax.tree.leaves`, or a pytree like
      the losses; None: 1/K.

  Returns:
    A LossWeighting whose weights sum to 1, if the preferences do. In a chain it replaces what came
    before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where preferences do not match the
      losses.

  Example:
    >>> weighting = sdmgrad()
    >>> losses, gram = jnp.ones(2), jnp.array([[4.0, -1.0], [-1.0, 1.0]])
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 4) for weight in weights]
    [0.2859, 0.7141]
  """
  for name, value in (("regularization", regularization), ("learning_rate", learning_rate)):
    check_number(name, value, 0)
  check_number("momentum", momentum, 0, 1)
  check_integer("num_steps", num_steps, 1)
  check_per_loss("preference", preference, 0)

  def anchor(losses: Losses) -> np.ndarray:
    return regularization * per_loss("preference", preference, losses)

  def init(losses: Losses) -> SimplexState:
    anchor(losses)
    return _init(losses)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    products, enters = _products(gram, vector, mask)
    start = shares_of(state.weights, mask)
    pull = jnp.asarray(anchor(losses), vector.dtype)
    if preference is None and mask is not None:
      pull = regularization * uniform(vector, mask)
    factor, known = even_power(products)  # first, for the square of a length may be out of range
    enters &= known
    products = jnp.where(known, products * factor, 0)
    length = mean(jnp.sqrt(jnp.maximum(jnp.diagonal(products), 0)), mask)
    divisor = jnp.where(known, length, 1)
    scaled = jnp.clip(products / divisor**2, -_MAX_ENTRY, _MAX_ENTRY)

    def iterate(_, carry):
      moved, velocity = carry
      velocity = momentum * velocity + dot(scaled, moved + pull)
      return _descend(moved, velocity, learning_rate, mask), velocity

    carry = (start, jnp.zeros_like(vector))
    moved, _ = jax.lax.fori_loop(0, num_steps, iterate, carry)
    moved = jnp.where(enters, moved, start)
    decided = (moved + pull) / (1 + regularization)
    return unravel(decided), _next_state(state, moved, enters, mask)

  return LossWeighting(init, update, needs_gram=True)


def _init(losses: Losses) -> SimplexState:
  number = num_losses(losses)
  return SimplexState(jnp.full(number, 1 / number, state_dtype(losses)))


def _products(
  gram: jax.Array | None, losses: jax.Array, present: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
  """Returns the inner products [K, K], and whether the step counts; zeros where it does not."""
  require(gram, losses)  # only checked: its result is symmetric
  products = of_present(jnp.real(jnp.asarray(gram)).astype(losses.dtype), present)
  has_length = only(jnp.diagonal(products) != 0, some(present), True)
  enters = is_finite(products) & all_finite(losses) & has_length.all()
  return jnp.where(enters, products, 0), enters


def _descend(
  weights: jax.Array, gradient: jax.Array, rate: float, present: jax.Array | None
) -> jax.Array:
  """Returns the weights [K] after one step of projected descent."""
  present = some(present)
  # A number that is added to all components does not change the projection. Without the smallest
  # component, no component of the step is infinite.
  rise = gradient - only(gradient, present, jnp.inf).min()
  moved = weights - rate * jnp.minimum(rise, jnp.finfo(gradient.dtype).max)
  return project_to_simplex(only(moved, present, -jnp.inf))


def _next_state(
  state: SimplexState,
  moved: jax.Array,
  enters: jax.Array,
  present: jax.Array | None,
) -> SimplexState:
  """Returns the state in which the present losses share in a new way what they had together."""
  if present is None:
    return SimplexState(moved)
  weights = share(moved, state.weights, present)
  return SimplexState(jnp.where(enters, weights, state.weights))
