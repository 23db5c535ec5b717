"""SoftAdapt: weights from how fast each loss falls."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import Losses, LossWeighting, normalize, num_losses, shrink, state_dtype
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_losses import history
from mlseg.weighting.presence import only, ravel_present
from mlseg.weighting.simplex import share

_VARIANTS = ("original", "normalized", "loss_weighted")
_DIFFERENCES = ("backward", "forward")


class SoftAdaptState(NamedTuple):
  """The last losses, and the weights that hold until the next change."""

  history: history.RingBuffer  # values [K, window], count [K]
  weights: jax.Array  # [K], sum 1
  num_updates: jax.Array  # [], int32: steps with finite losses


def softadapt(
  variant: Literal["original", "normalized", "loss_weighted"] = "original",
  beta: float = 0.1,
  window: int = 5,
  accuracy_order: int | None = None,
  update_every: int = 1,
  difference: Literal["backward", "forward"] = "backward",
) -> LossWeighting:
  """Weights losses by the softmax of their rates of change: the slower a loss falls, the more.

  Formula: w_k = exp(β s_k) / Σ_j exp(β s_j), s_k = dL_k/dt by finite differences

  The variant 'normalized' has s_k / Σ_j |s_j| in place of s_k; 'loss_weighted' multiplies the
  exponentials by the mean of L_k over the window.

  Weights are 1/K until the window is full. A step with a loss that is not finite changes nothing.
  With 'loss_weighted', weights are 1/K where a mean is negative or all are 0. Rates that are too
  large for the dtype are clipped to its largest numbers.

  Needs: losses

  Use when: the losses have one unit and some of them stall; give it means over epochs, since
  differences between batches are mostly noise, and choose β by the size of s_k.

  Differs: the paper describes the recent rate of change, which is the derivative at the newest
  loss. The authors' package takes the derivative at the oldest of the losses in the difference;
  that is difference='forward' here. With accuracy_order=1 both are the last difference.

  Differs: the package divides the rates by Σ_j s_j, which reverses their order where most losses
  fall; mlseg divides by Σ_j |s_j|, as the authors' first release did.

  Source: Heydari et al. 2019, arXiv 1912.12355, section 3.1.

  Args:
    variant: 'original', 'normalized' or 'loss_weighted'.
    beta: in [-1e6, 1e6]; negative to favour the losses that fall fastest.
    window: the number of losses that are kept, >= 2.
    accuracy_order: of the finite difference, which uses the last accuracy_order + 1 losses,
      1 <= accuracy_order < window; None for window - 1.
    update_every: the number of steps from one change of the weights to the next.
    difference: 'backward' for the derivative at the newest of these losses, 'forward' at the
      oldest.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = softadapt(beta=1.0, window=2)
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[3.0, 3.0], [1.0, 2.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 4) for weight in weights]
    [0.2689, 0.7311]
  """
  check_integer("window", window, 2)
  order = window - 1 if accuracy_order is None else accuracy_order
  _check(variant, beta, window, order, update_every, difference)
  coefficients = finite_difference(order)
  by_age = -coefficients if difference == "backward" else coefficients[::-1]
  by_age = np.pad(by_age, (0, window - 1 - order))

  def init(losses: Losses) -> SoftAdaptState:
    number, dtype = num_losses(losses), state_dtype(losses)
    uniform, memory = jnp.full(number, 1 / number, dtype), history.empty(number, window, dtype)
    return SoftAdaptState(memory, uniform, jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    memory = history.push(state.history, vector, present)
    enters = history.enters(vector, present)
    num_updates = state.num_updates + enters.astype(jnp.int32)
    due = enters & history.have(memory, window, present) & (num_updates % update_every == 0)
    decided = share(_decide(memory, by_age, variant, beta, present), state.weights, present)
    held = jnp.where(due, decided, state.weights)
    weights = held if present is None else normalize(held, present)
    return unravel(weights), SoftAdaptState(memory, held, num_updates)

  return LossWeighting(init, update)


def _check(variant, beta, window, order, update_every, difference) -> None:
  if variant not in _VARIANTS:
    raise ValueError(f"variant: choose from {', '.join(_VARIANTS)}; got {variant!r}")
  check_number("beta", beta, -1e6, 1e6)
  check_integer("accuracy_order", order, 1)
  if order >= window:
    raise ValueError(f"accuracy_order: must be below window = {window}, got {order}")
  check_integer("update_every", update_every, 1)
  if difference not in _DIFFERENCES:
    raise ValueError(f"difference: choose from {', '.join(_DIFFERENCES)}; got {difference!r}")


def finite_difference(accuracy_order: int) -> np.ndarray:
  """Returns c with f'(0) = Σ_j c_j f(j), exact for polynomials up to the order.

  It is the derivative of the interpolating polynomial: c_j = (-1)^(j-1) binomial(n, j) / j for
  j >= 1, and c_0 = -Σ_j 1/j.

  Args:
    accuracy_order: n >= 1.

  Returns:
    [n + 1].

  Example:
    >>> finite_difference(2).tolist()
    [-1.5, 2.0, -0.5]
  """
  steps = range(1, accuracy_order + 1)
  others = [(-1) ** (j - 1) * math.comb(accuracy_order, j) / j for j in steps]
  return np.array([-math.fsum(1 / j for j in steps), *others])


def _decide(
  memory: history.RingBuffer,
  by_age: np.ndarray,
  variant: str,
  beta: float,
  present: jax.Array | None,
) -> jax.Array:
  """Returns the weights [K] for a buffer that is full for the present losses."""
  shrunk, factor = shrink(only(memory.values.T, present).T)
  coefficients = jnp.asarray(by_age, shrunk.dtype)[history.ages(memory)]
  rates = (shrunk * coefficients).sum(axis=1)
  if variant == "normalized":
    scores = beta * jnp.sign(rates) * normalize(jnp.abs(rates), present)
  else:
    scores = beta * rates / factor
  limit = float(jnp.finfo(scores.dtype).max) / 4
  shares = jax.nn.softmax(jnp.clip(scores, -limit, limit), where=present)
  if variant == "loss_weighted":
    return normalize(shrunk.mean(axis=1) * shares, present)
  return shares
