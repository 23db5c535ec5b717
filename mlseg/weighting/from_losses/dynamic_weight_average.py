"""Dynamic weight average: weights from the ratio of each loss to its value before."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, all_finite, num_losses, shrink, state_dtype
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_losses import history
from mlseg.weighting.presence import number_of, only, ravel_present


class DynamicWeightAverageState(NamedTuple):
  """The last losses."""

  history: history.RingBuffer  # values [K, 2 window], count [K]


def dynamic_weight_average(
  temperature: float = 2.0, window: int = 1, include_current: bool = False
) -> LossWeighting:
  """Weights losses by the softmax of their ratios over the last two updates.

  Formula: w_k(t) = K exp(r_k / T) / Σ_j exp(r_j / T), r_k = L_k(t-1) / L_k(t-2)

  An update is meant to be an epoch, its losses the means over it. With a larger `window` the ratio
  is that of the means over the last `window` losses and over the `window` losses before them.

  Weights are 1 until there are 2 `window` losses, and where a ratio is not finite, as after a loss
  of 0. A step with a loss that is not finite changes nothing. Negative losses are used as they are.

  Needs: losses

  Use when: the losses have different units, as ratios have none, and training goes by epochs; with
  T = 2 the weights stay near 1, since the ratios are near 1.

  Differs: the paper's weights of an epoch come from the two epochs before it, as here by default,
  also under `per_epoch`. With include_current=True the losses just given take part, as in the code
  of Nash-MTL, whose variant goes by iterations; under `per_epoch` it changes nothing.

  Differs: that variant fills its window with ones before training, so its weights differ from 1
  before it has 2 `window` losses; mlseg waits for them.

  Source: Liu et al. 2019, CVPR, arXiv 1803.10704, section 4.1.3.

  Args:
    temperature: T >= 1e-6; large for uniform weights.
    window: losses in each of the two means.
    include_current: whether the losses given to `update` are part of the ratio at once.

  Returns:
    A LossWeighting whose weights sum to K. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = dynamic_weight_average()
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[2.0, 4.0], [1.0, 4.0], [1.0, 4.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 4) for weight in weights]
    [0.8756, 1.1244]
  """
  check_number("temperature", temperature, 1e-6)
  check_integer("window", window, 1)

  def init(losses: Losses) -> DynamicWeightAverageState:
    memory = history.empty(num_losses(losses), 2 * window, state_dtype(losses))
    return DynamicWeightAverageState(memory)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    memory = history.push(state.history, vector, present)
    seen = memory if include_current else state.history
    shrunk, _ = shrink(only(seen.values.T, present).T)
    means = jax.vmap(history.mean)
    recent = history.ages(seen) < window
    decided = balance(means(shrunk, recent), means(shrunk, ~recent), temperature, present)
    decided = jnp.where(history.have(seen, 2 * window, present), decided, 1)
    return unravel(decided), DynamicWeightAverageState(memory)

  return LossWeighting(init, update, decides_first=not include_current)


def balance(
  current: jax.Array, earlier: jax.Array, temperature: float, present: jax.Array | None = None
) -> jax.Array:
  """Returns K softmax_k(L_k(t) / (T L_k(t'))), ones where a ratio is not finite.

  Args:
    current: L(t) [K].
    earlier: L(t') [K].
    temperature: T.
    present: [K], bool: the losses that count, or None for all. Then K is their number.

  Returns:
    [K], sum K; any numbers for the absent losses.

  Example:
    >>> balance(jnp.array([1.0, 2.0]), jnp.array([0.0, 2.0]), 1.0).tolist()
    [1.0, 1.0]
  """
  current, earlier = only(current, present, 1), only(earlier, present, 1)
  has_ratio = (earlier != 0).all()
  ratios = current / jnp.where(has_ratio, earlier, 1) / temperature
  known = has_ratio & all_finite(ratios)
  shares = jax.nn.softmax(jnp.where(known, ratios, 0), where=present)
  weights = number_of(current, present) * shares
  # Fused multiply-adds can take huge ratios above their maximum, so the weights are checked too.
  return jnp.where(known & all_finite(weights), weights, 1)
