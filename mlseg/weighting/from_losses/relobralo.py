"""ReLoBRaLo: relative loss balancing with random lookback."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, normalize, num_losses, state_dtype
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_losses import history
from mlseg.weighting.from_losses.dynamic_weight_average import balance
from mlseg.weighting.from_losses.random_weighting import step_key
from mlseg.weighting.presence import number_of, only, ravel_present
from mlseg.weighting.simplex import share


class RelobraloState(NamedTuple):
  """The weights, and the losses with which later ones are compared."""

  weights: jax.Array  # [K], sum K
  first: jax.Array  # [K]: the first values of the losses
  previous: jax.Array  # [K]: the values before
  num_seen: jax.Array  # [K], int32: steps with this loss whose losses are finite
  num_updates: jax.Array  # [], int32: steps with finite losses


def relobralo(
  decay: float = 0.999,
  temperature: float = 0.1,
  expected_saudade: float = 0.9999,
  random: bool = True,
  seed: int = 0,
) -> LossWeighting:
  """Averages weights from the ratios of losses to those before, and at times to the first ones.

  Formula: w(t) = α (ρ w(t-1) + (1 - ρ) b(t, 0)) + (1 - α) b(t, t-1),
  b_k(t, s) = K softmax_k(L_k(t) / (T L_k(s))), ρ ~ Bernoulli(E[ρ])

  The weights of the first step are 1, and later a step with a loss that was never there before
  keeps the weights. A step with a loss that is not finite keeps the weights and
  changes nothing. Where a ratio is not finite, as to a loss of 0, that b is 1 for all losses.
  Negative losses are used as they are.

  Needs: losses, key

  Use when: the losses have different units and training is long, as the weights follow in about
  1 / (1 - α) steps; not when losses reach 0, where ratios have no meaning.

  Differs: jinns continues from the softmax of the step before instead of w(t-1), and has the factor
  K in b(t, 0) only; mlseg follows the paper.

  Source: Bischof & Kraus 2025, CMAME, arXiv 2110.09813, eq. 11; the defaults are those for
  Burgers' equation.

  Args:
    decay: α, in [0, 1].
    temperature: T >= 1e-6; large for uniform weights.
    expected_saudade: E[ρ], in [0, 1]; with 1 it never looks back to the first losses.
    random: whether ρ is drawn; if not, its expectation takes its place.
    seed: of the draws where `update` is given no key; they are then the same for all models under
      `vmap`, as in `random_weighting`.

  Returns:
    A LossWeighting whose weights sum to K. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = relobralo(decay=0.5, temperature=1.0, expected_saudade=1.0)
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[2.0, 4.0], [1.0, 4.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 4) for weight in weights]
    [0.8775, 1.1225]
  """
  check_number("decay", decay, 0, 1)
  check_number("temperature", temperature, 1e-6)
  check_number("expected_saudade", expected_saudade, 0, 1)
  check_integer("seed", seed, 0)

  def init(losses: Losses) -> RelobraloState:
    ones = jnp.ones(num_losses(losses), state_dtype(losses))
    seen = jnp.zeros(ones.size, jnp.int32)
    return RelobraloState(ones, jnp.copy(ones), jnp.copy(ones), seen, jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, extra
    vector, unravel, present = ravel_present(losses, present)
    saudade = jnp.asarray(expected_saudade, vector.dtype)
    if random:
      drawn = jax.random.bernoulli(step_key(key, seed, state.num_updates), expected_saudade)
      saudade = drawn.astype(vector.dtype)
    number, held = number_of(vector, present), state.weights
    if present is not None:
      held = number * normalize(held, present)
    looked_back = balance(vector, state.first, temperature, present)
    past = saudade * held + (1 - saudade) * looked_back
    mixed = decay * past + (1 - decay) * balance(vector, state.previous, temperature, present)
    enters, is_first = history.enters(vector, present), state.num_seen == 0
    moves = enters & ~only(is_first, present, False).any()
    kept = mixed if present is None else share(mixed / number, state.weights, present)
    next_state = RelobraloState(
      jnp.where(moves, kept, state.weights),
      only(jnp.where(enters & is_first, vector, state.first), present, state.first),
      only(jnp.where(enters, vector, state.previous), present, state.previous),
      state.num_seen + only(jnp.broadcast_to(enters, vector.shape), present).astype(jnp.int32),
      state.num_updates + enters.astype(jnp.int32),
    )
    return unravel(jnp.where(moves, mixed, held)), next_state

  return LossWeighting(init, update)
