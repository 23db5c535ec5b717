"""When the combinators of cadence ask a weighting, and what they do with its answer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.combinators.cadence import every, per_epoch, warm_up
from mlseg.weighting.combinators.chain import chain, ema
from mlseg.weighting.from_losses.coefficient_of_variation import coefficient_of_variation
from mlseg.weighting.from_losses.dynamic_memory_fusion import dynamic_memory_fusion
from mlseg.weighting.from_losses.dynamic_weight_average import dynamic_weight_average
from mlseg.weighting.from_losses.fixed import fixed
from mlseg.weighting.learned.uncertainty import uncertainty

WRAPPERS = {
  "every": lambda inner: every(inner, 2),
  "per_epoch": lambda inner: per_epoch(inner, 2),
  "warm_up": lambda inner: warm_up(inner, 2),
}
over_wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


def _weights(weighting, rows, **keywords):
  """Returns the weights after each row, [steps, K]."""

  def step(state, inputs):
    weights, state = weighting.update(inputs[0], state, **inputs[1])
    return state, weights

  run = jax.jit(lambda: jax.lax.scan(step, weighting.init(rows[0]), (rows, keywords)))
  return np.asarray(run()[1])


def _noise(num_steps, seed=0):
  return jnp.array(np.random.default_rng(seed).gamma(2.0, 1.0, [num_steps, 3]), jnp.float32)


class _Seen(NamedTuple):
  """What a weighting that repeats its arguments has seen."""

  calls: jax.Array  # [], int32
  gram: jax.Array  # [3, 3]


def _echo(needs_gram=False):
  """Returns a weighting whose weights are its losses, and whose state tells what it was given."""

  def init(losses):
    return _Seen(jnp.zeros((), jnp.int32), jnp.zeros((3, 3)))

  def update(losses, state, *, gram=None, **extra):
    return losses, _Seen(state.calls + 1, state.gram if gram is None else gram)

  return LossWeighting(init, update, needs_gram)


def test_every_updates_at_its_steps_alone():
  rows, weighting = _noise(8), every(_echo(), 3)
  np.testing.assert_array_equal(
    _weights(weighting, rows), rows[jnp.array([0, 0, 0, 3, 3, 3, 6, 6])]
  )
  state = weighting.init(rows[0])
  for count, row in zip([1, 1, 1, 2], rows, strict=False):
    _, state = weighting.update(row, state)
    assert state.inner.calls == count


def test_every_step_is_the_weighting_itself():
  rows, inner = _noise(12), dynamic_memory_fusion("variance", 6, 3)
  np.testing.assert_allclose(_weights(every(inner, 1), rows), _weights(inner, rows), rtol=1e-6)


def test_every_keeps_the_inner_history_to_its_steps():
  rows, inner = _noise(12), dynamic_memory_fusion("variance", 6, 3)
  held = _weights(every(inner, 2), rows)
  np.testing.assert_allclose(held[::2], _weights(inner, rows[::2]), rtol=1e-6)
  np.testing.assert_array_equal(held[::2], held[1::2])


def test_every_does_not_compute_between():
  asked = []

  def update(losses, state, **extra):
    jax.debug.callback(lambda: asked.append(1))
    return losses, state

  _weights(every(LossWeighting(lambda losses: (), update), 4), _noise(10))
  jax.effects_barrier()
  assert len(asked) == 3


@pytest.mark.shared
def test_epochs_equal_the_reference_of_dynamic_weight_average(golden):
  data = golden("dwa")
  expected = data["outputs"]["TorchJD_two_batches_per_epoch"]
  batches = np.array(expected["batches"])
  weighting = per_epoch(dynamic_weight_average(include_current=True), 2)
  with jax.enable_x64(True):
    weights = _weights(weighting, jnp.array(batches.reshape(-1, 3)))
  np.testing.assert_array_equal(weights[::2], weights[1::2])
  rows = expected["per_epoch"]
  np.testing.assert_allclose(weights[::2], [row["weights"] for row in rows], rtol=1e-6)
  totals = (weights[1::2] * batches[:, 1]).sum(axis=1)
  np.testing.assert_allclose(totals, [row["last_batch_total"] for row in rows], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("inner", "neutral"),
  [
    (dynamic_memory_fusion("variance", 4, 2), 1 / 3),
    (coefficient_of_variation(), 1 / 3),
    (dynamic_weight_average(), 1.0),
    (uncertainty(), 0.5),
  ],
  ids=["memory_fusion", "coefficient_of_variation", "weight_average", "uncertainty"],
)
@pytest.mark.parametrize("steps", [1, 3])
def test_an_epoch_is_weighted_by_the_means_before_it(inner, neutral, steps):
  rows = _noise(6 * steps)
  means = rows.reshape(6, steps, 3).mean(axis=1)
  weights = _weights(per_epoch(inner, steps), rows).reshape(6, steps, 3)
  np.testing.assert_array_equal(weights, weights[:, :1].repeat(steps, 1))
  np.testing.assert_allclose(weights[0], neutral, rtol=1e-6)
  # A method that decides from earlier updates alone decides for epoch e in its update e.
  decided = _weights(inner, means)[1:] if inner.decides_first else _weights(inner, means)[:-1]
  np.testing.assert_allclose(weights[1:, 0], decided, rtol=1e-4)


def test_an_epoch_of_dynamic_weight_average_is_that_of_the_paper():
  rows, temperature = _noise(12), 2.0
  means = np.asarray(rows).reshape(6, 2, 3).mean(axis=1)
  for current in (True, False):
    inner = dynamic_weight_average(temperature, include_current=current)
    weights = _weights(per_epoch(inner, 2), rows)[::2]
    for epoch in range(2, 6):  # w_k(e) = K exp(r_k / T) / Σ exp(r_j / T), r = L(e-1) / L(e-2)
      scores = np.exp(means[epoch - 1] / means[epoch - 2] / temperature)
      np.testing.assert_allclose(weights[epoch], 3 * scores / scores.sum(), rtol=1e-4)


def test_an_epoch_of_coefficient_of_variation_is_that_of_the_paper():
  rows = _noise(12)
  means = np.asarray(rows, np.float64).reshape(6, 2, 3).mean(axis=1)
  weights = _weights(per_epoch(coefficient_of_variation(), 2), rows)[::2]
  for epoch in range(2, 6):  # all epochs before this one count
    ratios = [means[0] / means[0]] + [means[n] / means[:n].mean(0) for n in range(1, epoch)]
    variation = np.std(ratios, axis=0) / np.mean(ratios, axis=0)
    np.testing.assert_allclose(weights[epoch], variation / variation.sum(), rtol=1e-3)


def test_epoch_means_leave_out_steps_that_are_not_finite():
  rows = np.array(_noise(8))
  rows[1, 0], rows[4:6] = np.nan, np.inf
  weights = _weights(per_epoch(_echo(), 2), jnp.array(rows))
  means = [rows[0], rows[0], rows[2:4].mean(0), rows[2:4].mean(0)]
  np.testing.assert_allclose(weights[::2], [means[0], means[1], means[2], means[2]], rtol=1e-6)


def test_epochs_without_a_finite_step_do_not_reach_the_inner_weighting():
  weighting = per_epoch(_echo(), 2)
  state = weighting.init(jnp.zeros(3))
  for count, loss in zip(
    [0, 0, 0, 1, 1, 1], [jnp.nan, jnp.inf, 2.0, jnp.nan] + 2 * [jnp.nan], strict=True
  ):
    weights, state = weighting.update(jnp.full(3, loss), state)
    assert state.inner.calls == count
  np.testing.assert_array_equal(weights, 2)


def test_epochs_average_the_gram_matrix():
  rows, grams = _noise(5), jnp.array(np.random.default_rng(1).random([5, 3, 3]), jnp.float32)
  weighting = per_epoch(_echo(needs_gram=True), 4)
  state = weighting.init(rows[0])
  for row, gram in zip(rows, grams.at[2, 0, 1].set(jnp.inf), strict=True):
    weights, state = weighting.update(row, state, gram=gram)
  kept = jnp.array([0, 1, 3])
  np.testing.assert_allclose(state.inner.gram, grams[kept].mean(axis=0), rtol=1e-6)
  np.testing.assert_allclose(weights, rows[kept].mean(axis=0), rtol=1e-6)
  without = per_epoch(_echo(), 4)
  _, state = without.update(rows[0], without.init(rows[0]), gram=grams[0])
  assert state.gram.shape == (0, 0)


def test_means_of_the_largest_floats_are_finite():
  largest = float(jnp.finfo(jnp.float32).max)
  rows = jnp.broadcast_to(jnp.array([largest, -largest, 1.0]), (40, 3))
  weights = _weights(per_epoch(_echo(), 13), rows)
  assert np.isfinite(weights).all()
  np.testing.assert_allclose(weights[-1], np.asarray(rows[0]), rtol=1e-5)


def test_warm_up_holds_the_weights_back_but_not_the_losses():
  rows, inner = _noise(10), dynamic_memory_fusion("mad", 6, 3)
  weights = _weights(warm_up(inner, 5), rows)
  np.testing.assert_allclose(weights[:5], 1 / 3, rtol=1e-6)
  np.testing.assert_allclose(weights[5:], _weights(inner, rows)[5:], rtol=1e-6)


def test_warm_up_goes_over_in_a_straight_line():
  rows, weighting = jnp.zeros([7, 2]), warm_up(fixed((3.0, 1.0)), 2, 3)
  shares = np.array([0, 0, 0.25, 0.5, 0.75, 1, 1])[:, None]
  expected = (1 - shares) * [0.5, 0.5] + shares * [3, 1]
  np.testing.assert_allclose(_weights(weighting, rows), expected, rtol=1e-6)


def test_warm_up_begins_with_the_weights_before_it_in_a_chain():
  weighting = chain(fixed((1.0, 2.0)), warm_up(fixed((5.0, 6.0)), 1))
  np.testing.assert_array_equal(_weights(weighting, jnp.zeros([2, 2])), [[1, 2], [5, 6]])


def test_no_warm_up_is_the_weighting_itself():
  rows = _noise(4)
  np.testing.assert_array_equal(_weights(warm_up(_echo(), 0), rows), rows)


@over_wrappers
def test_combinators_may_be_inside(wrap):
  rows, given = _noise(6), _noise(6, seed=1)
  weights = _weights(wrap(ema(0.0)), rows, weights=given)
  # An average that forgets everything gives the weights of the chain at the steps asked.
  assert (weights[:, None] == np.asarray(given)).all(axis=-1).any(axis=1)[2:].all()


@over_wrappers
def test_weights_that_are_not_finite_are_not_taken(wrap):
  def update(losses, state, **extra):
    return jnp.where(state == 2, losses, jnp.nan), state + 1

  inner = LossWeighting(lambda losses: jnp.zeros((), jnp.int32), update)
  weights = _weights(wrap(inner), _noise(12))
  assert np.isfinite(weights).all()
  np.testing.assert_allclose(weights[0], 1 / 3, rtol=1e-6)
  assert np.abs(weights - 1 / 3).max() > 0.1


@over_wrappers
def test_arguments_are_handed_on(wrap):
  seen = []

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    seen.append((weights, gram is None, key, extra))
    return losses, state

  for needs_gram in (True, False):
    weighting = wrap(LossWeighting(lambda losses: (), update, needs_gram))
    assert weighting.needs_gram == needs_gram
  losses, key, more = jnp.ones(3), jax.random.key(3), {"losses_after": jnp.zeros(3), "step": "s"}
  weighting.update(losses, weighting.init(losses), weights=2 * losses, key=key, **more)
  weights, no_gram, given, extra = seen[-1]
  np.testing.assert_array_equal(weights, 2)
  assert no_gram
  assert given is key
  assert extra == {**more, "present": None}


@over_wrappers
def test_what_the_inner_weighting_refuses_is_refused(wrap):
  with pytest.raises(ValueError, match="weights: must be one number, 3 numbers"):
    wrap(fixed((1.0, 2.0))).init(jnp.zeros(3))
  with pytest.raises(ValueError, match="losses: must be K >= 1 scalars"):
    wrap(LossWeighting(lambda losses: (), None)).init({})


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: every(fixed(), 0), "steps: must be an integer >= 1, got 0"),
    (lambda: per_epoch(fixed(), 2.5), "steps_per_epoch: must be an integer >= 1, got 2.5"),
    (lambda: warm_up(fixed(), -1), "steps: must be an integer >= 0, got -1"),
    (lambda: warm_up(fixed(), 1, -2), "transition_steps: must be an integer >= 0, got -2"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
