"""Dynamic memory fusion: weights from how much each loss has varied over its recent history."""

import functools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  Weights,
  normalize,
  num_losses,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_integer, check_number, check_per_loss, per_loss
from mlseg.weighting.from_losses import history
from mlseg.weighting.presence import ravel_present

_STATISTICS = ("variance", "mad", "bayesian")
_MEDIANS = {"true": history.median, "reference": history.swapped_median}


class DynamicMemoryFusionState(NamedTuple):
  """The histories of the losses, and the prior of the Bayesian statistic for the next step."""

  history: history.RingBuffer  # values [K, capacity], count [K]
  log_prior: jax.Array  # [K]: logarithms, since a prior that runs to one loss underflows


def dynamic_memory_fusion(
  statistic: Literal["variance", "mad", "bayesian"] = "variance",
  capacity: int = 150,
  min_history: int = 50,
  forgetting: float = 0.0,
  prior: Weights | None = None,
  *,
  _median: Literal["true", "reference"] = "true",
) -> LossWeighting:
  """Weights losses by a statistic of their histories, each scaled to [0, 1] first.

  Formula: w_k = Var(h_k) / Σ_j Var(h_j), or (1/MAD_k) / Σ_j (1/MAD_j), or (prior_k/MAD_k) / Σ_j
  (prior_j/MAD_j), with h_k = min_max(symlog(history of L_k)), MAD_k = median |h_k - median(h_k)|

  These are 'variance', 'mad' and 'bayesian'. The history ends with the current loss.

  With 'bayesian' the posterior w is the next prior, so evidence adds up, and without `forgetting`
  all weight goes to one loss in the end. With `forgetting` the next prior is (1 - forgetting) w +
  forgetting prior, and old evidence fades over about 1 / forgetting steps; forgetting=1 without a
  `prior` gives 'mad'.

  `prior` is what is believed of the losses before there is evidence. It is the first prior, the one
  to which `forgetting` leads back, and gives the weights until there is evidence.

  `forgetting` changes the prior. In contrast, `ema` behind this method in a chain smooths the
  weights of any statistic, with a delay, but one loss still gets all weight in the end. `bounded`
  behind it limits the weights but not the prior, which needs as long as without it to turn around.

  Weights are 1/K, or the given prior, until every history has `min_history` values. Where the
  statistics are of no use (every variance is 0, or a MAD is 0, as in a constant history), they
  count as equal: weights are 1/K, and the Bayesian posterior is its prior. A step with a loss that
  is not finite enters no history and leaves the prior as it is.

  Needs: losses

  Use when: losses of one task should be weighted by how much they still change ('variance') or by
  how steady they are ('mad'); 'bayesian' only with `forgetting` or `bounded`.

  Differs: in the authors' demo the current loss is part of the history, and gradients flow through
  the weights; here weights are constants.

  Differs: the demo swaps the medians of odd and even numbers of values; here it is the true median.

  Differs: the paper does not say when weights begin to adapt; the demo leaves them uniform until
  there are `history_size` = 50 values, and keeps 150; here these are `min_history` and `capacity`.

  Differs: in the demo the Bayesian statistic gives all weight to one loss in the end, since each
  posterior is the next prior; here it does the same, unless `forgetting` is positive.

  Differs: the demo divides 0 by 0 where histories are constant; here the weights are uniform.

  Source: Golnari & Diba 2026, eqs. 3-10 (the prior: eq. 7); `forgetting` is not theirs.

  Args:
    statistic: 'variance', 'mad' or 'bayesian'.
    capacity: values kept per loss; all of them enter the statistic.
    min_history: values per loss before weights differ, 2 <= min_history <= capacity.
    forgetting: in [0, 1], for 'bayesian' only: how far the prior returns to the first one at each
      step.
    prior: positive, for 'bayesian' only: K numbers in the order of `jax.tree.leaves`, or a pytree
      like the losses. Only their ratios count. None: 1/K.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where the prior does not match the
      losses.

  Example:
    >>> weighting = dynamic_memory_fusion("variance", capacity=3, min_history=3)
    >>> state = weighting.init(jnp.zeros(2))
    >>> for losses in jnp.array([[0.0, 3.0], [0.0, 2.0], [1.0, 1.0]]):
    ...   weights, state = weighting.update(losses, state)
    >>> [round(float(weight), 3) for weight in weights]
    [0.569, 0.431]
  """
  _check(statistic, capacity, min_history, forgetting, prior, _median)
  score = functools.partial(_score, statistic=statistic, median=_MEDIANS[_median])

  def init(losses: Losses) -> DynamicMemoryFusionState:
    number, dtype = num_losses(losses), state_dtype(losses)
    log_prior = jnp.asarray(_log_prior(prior, losses), dtype)
    return DynamicMemoryFusionState(history.empty(number, capacity, dtype), log_prior)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    memory = history.push(state.history, vector, present)
    scores = jax.vmap(score)(memory.values, history.filled(memory))
    has_evidence = history.have(memory, min_history, present)
    fused = jnp.where(has_evidence, normalize(scores, present), uniform(vector, present))
    log_prior = state.log_prior
    if statistic == "bayesian":
      log_posterior = _log_posterior(log_prior, fused, present)
      fused = jnp.exp(log_posterior)
      first = _among(jnp.asarray(_log_prior(prior, losses), log_prior.dtype), present)
      # The present losses share the prior that they had, so the absent ones keep theirs.
      posterior = _forget(log_posterior, first, forgetting) + _log_share(log_prior, present)
      entered = memory.count > state.history.count  # the same evidence does not count twice
      log_prior = jnp.where(entered, posterior, log_prior)
    return unravel(fused), DynamicMemoryFusionState(memory, log_prior)

  return LossWeighting(init, update)


def _log_prior(prior: Weights | None, losses: Losses) -> np.ndarray:
  """Returns the logarithm of the first prior [K], whose sum is 1."""
  ratios = per_loss("prior", prior, losses)
  return np.log(ratios / ratios.sum())


def _check(statistic, capacity, min_history, forgetting, prior, median) -> None:
  if statistic not in _STATISTICS:
    raise ValueError(f"statistic: choose from {', '.join(_STATISTICS)}; got {statistic!r}")
  check_integer("min_history", min_history, 2)
  check_integer("capacity", capacity, min_history)
  check_number("forgetting", forgetting, 0, 1)
  if forgetting and statistic != "bayesian":
    raise ValueError(f"forgetting: must be 0 unless statistic is 'bayesian', got {forgetting}")
  check_per_loss("prior", prior, float(np.finfo(np.float32).tiny))
  if prior is not None and statistic != "bayesian":
    raise ValueError(f"prior: must be None unless statistic is 'bayesian', got {prior!r}")
  if median not in _MEDIANS:
    raise ValueError(f"_median: choose from {', '.join(_MEDIANS)}; got {median!r}")


def _score(values: jax.Array, mask: jax.Array, statistic: str, median: Callable) -> jax.Array:
  """Returns the score to which the weight of a loss is proportional, infinite for a MAD of 0."""
  scaled = history.min_max(history.symlog(values), mask)
  if statistic == "variance":
    return history.variance(scaled, mask)
  return 1 / history.median_absolute_deviation(scaled, mask, median)


def _log_posterior(
  log_prior: jax.Array, likelihood: jax.Array, present: jax.Array | None
) -> jax.Array:
  """Returns log(prior likelihood / sum_j prior_j likelihood_j), the sum over the present j."""
  # A likelihood that underflowed to 0 would keep the weight of its loss at 0 for ever.
  floored = jnp.maximum(likelihood, jnp.finfo(likelihood.dtype).tiny)
  return jax.nn.log_softmax(log_prior + jnp.log(floored), where=present)


def _among(log_prior: jax.Array, present: jax.Array | None) -> jax.Array:
  """Returns the logarithms of a prior whose sum over the present losses is 1."""
  return log_prior if present is None else jax.nn.log_softmax(log_prior, where=present)


def _log_share(log_prior: jax.Array, present: jax.Array | None) -> jax.Array | float:
  """Returns the logarithm of the sum of the prior over the present losses."""
  return 0.0 if present is None else jax.nn.logsumexp(log_prior, where=present)


def _forget(log_prior: jax.Array, first: jax.Array, forgetting: float) -> jax.Array:
  """Returns log((1 - f) prior + f first), of logarithms."""
  if not forgetting:
    return log_prior
  if forgetting == 1:
    return first
  return jnp.logaddexp(log_prior + math.log1p(-forgetting), first + math.log(forgetting))
