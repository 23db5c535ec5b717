"""Self-adaptive weights of single points: they are raised where the loss is to be lowered."""

from typing import Literal

import jax.numpy as jnp
import optax

from mlseg.weighting.base import Losses, LossWeighting, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.learned_state import LearnedState, descend, start
from mlseg.weighting.presence import number_of, ravel_present

ASCENT = optax.adam(0.005)  # as in the paper's experiments


def self_adaptive(
  power: Literal[1, 2, 4] = 2,
  initial: float = 1.0,
  highest: float = 100.0,
  optimizer: optax.GradientTransformation = ASCENT,
) -> LossWeighting:
  """Learns a weight for each point by gradient ascent on the loss that the network descends.

  Formula: w_k = λ_k^q / K; λ_k ascends Σ_j λ_j^q L_j, whose slope is q λ_k^(q-1) L_k

  The K losses are the squared residuals of K points, which have to be the same in every step; see
  `residual_based_attention`. Weights of points with a loss above 0 only grow, up to `highest`. The
  weights of a step are those before the step of the optimiser. Slopes are clipped to [-100, 100]. A
  step with a loss that is not finite changes nothing.

  Needs: losses

  Use when: the hardest points of a physics-informed network, such as a steep front, are to be
  learned in any case; not with losses that are noisy, whose weights grow without need.

  Differs: in the paper the first λ are drawn at random; here they are `initial`.

  Source: McClenny & Braga-Neto 2023, Journal of Computational Physics 474, arXiv 2009.04544, with
  the polynomial masks m(λ) = λ^q.

  Args:
    power: q, 1, 2 or 4.
    initial: the first λ, in (0, highest].
    highest: the bound of λ.
    optimizer: of λ, which minimises the negative; optax.adam(0.005) by default.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = self_adaptive(optimizer=optax.sgd(0.5))
    >>> squares = jnp.array([1.0, 0.0])
    >>> state = weighting.init(squares)
    >>> for _ in range(2):
    ...   weights, state = weighting.update(squares, state)
    >>> weights.tolist()  # λ = (1 + 0.5 · 2, 1)
    [2.0, 0.5]
  """
  if isinstance(power, bool) or power not in (1, 2, 4):
    raise ValueError(f"power: choose from 1, 2, 4; got {power!r}")
  check_number("highest", highest, 1e-6, 1e6)
  check_number("initial", initial, 1e-6, highest)

  def init(losses: Losses) -> LearnedState:
    return start(jnp.full(num_losses(losses), initial, state_dtype(losses)), optimizer)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    multipliers = state.parameters
    gradient = -power * multipliers ** (power - 1) * vector
    decided = multipliers**power / number_of(vector, mask)
    next_state = descend(state, gradient, vector, optimizer, 0.0, highest, mask)
    return unravel(decided), next_state

  return LossWeighting(init, update, decides_first=True)
