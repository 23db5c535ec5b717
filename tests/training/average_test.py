"""The average over the variables: its numbers, what leaves it as it is, and who uses it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.training import average
from mlseg.training import step as train_step
from mlseg.training.checkpoint_digest import flatten_names
from mlseg.training.feed import make_feed
from mlseg.training.programs import Programs
from mlseg.weighting import fixed
from tests.training import made

SPLIT = Split(np.arange(12), np.arange(12, 19), np.arange(19, 24))
DECAY = 0.3


def _loss_fn(params, model_state, batch):
  error = batch @ params["w"] - 1.0
  return {"l2": (error**2).mean()}, {"seen": 0.9 * model_state["seen"] + batch.mean()}


def _start(averages=True):
  variables = {"params": {"w": jnp.array([1.0, -2.0])}, "seen": jnp.zeros(())}
  args = jax.random.key(0), variables, optax.sgd(0.1), fixed(), ("l2",), averages
  return train_step.init_state(*args)


def _step(max_nonfinite=10):
  options = {"ema": DECAY, "max_nonfinite": max_nonfinite}
  return jax.jit(train_step.make_step(_loss_fn, optax.sgd(0.1), fixed(), **options))


def _batch(number):
  return jnp.asarray(np.random.default_rng(number).normal(size=(4, 2)), jnp.float32)


def _assert_equal(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_it_is_the_mean_that_numpy_computes_whose_start_soon_counts_nothing():
  values = np.random.default_rng(0).normal(size=(30, 5))
  for decay in (DECAY, 0.9, 0.9999):
    found, expected = jnp.asarray(values[0], jnp.float32), values[0]
    for t, value in enumerate(values[1:]):
      found = average.update(found, jnp.asarray(value, jnp.float32), decay, jnp.int32(t))
      share = min(decay, (1 + t) / (10 + t))
      expected = share * expected + (1 - share) * value
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  # As weights of a sum: those of the values add up to 1 but for the share of the start.
  start = jnp.float32(1.0)
  for t in range(20):
    start = average.update(start, jnp.float32(0.0), 0.9999, jnp.int32(t))
  assert 0 < float(start) < 1e-6


def test_counts_are_the_newest():
  old, new = {"n": jnp.int32(3)}, {"n": jnp.int32(7)}
  _assert_equal(average.update(old, new, 0.9, jnp.int32(5)), new)


def test_a_step_averages_parameters_and_statistics_past_skipped_steps():
  state, step = _start(), _step()
  expected = jax.tree.map(np.asarray, state.variables)
  updates = 0
  for number in range(6):
    before = state
    state, _ = step(state, _batch(number) * (jnp.nan if number in (1, 3) else 1))
    if number in (1, 3):
      _assert_equal(state.average, before.average)
      continue
    share = min(DECAY, (1 + updates) / (10 + updates))
    expected = jax.tree.map(
      lambda a, v, share=share: share * a + (1 - share) * np.asarray(v), expected, state.variables
    )
    updates += 1
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5), state.average, expected)
  assert not np.allclose(state.average["params"]["w"], state.variables["params"]["w"])


def test_a_model_that_is_stopped_keeps_it():
  state, step = _start(), _step(max_nonfinite=1)
  state, _ = step(state, _batch(0))
  state, _ = step(state, _batch(1) * jnp.nan)
  assert bool(state.stopped)
  after, _ = step(state, _batch(2))
  _assert_equal(after.average, state.average)


def test_the_best_variables_are_those_that_were_evaluated():
  state, step = _start(), _step()
  for number in range(2):
    state, _ = step(state, _batch(number))
  best = train_step.update_best(state, jnp.float32(0.5), jnp.int32(1)).best
  _assert_equal(best.variables, state.average)


def test_without_it_the_state_has_the_arrays_that_it_always_had():
  assert not [name for name in flatten_names(_start(averages=False)) if "average" in name]
  added = set(flatten_names(_start())) - set(flatten_names(_start(averages=False)))
  assert added == {"average.params.w", "average.seen"}


def _trained(num_models, strategy):
  """Returns the programs and the state of models after an epoch and its validation."""
  experiment = made.make_experiment(keys={"optimizer.ema": DECAY})
  cases = made.make_cases()
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  programs = Programs(
    [experiment], cases, SPLIT, strategy=strategy, num_models=num_models, mesh=mesh
  )
  state = programs.init(range(num_models))
  splits = [SPLIT] * num_models
  feed = make_feed(experiment, cases, splits, programs.keys(state), mesh)
  inputs = programs.inputs(splits, [0] * num_models)
  state, _ = programs.training.run(state, inputs, feed.batches(0), programs.number(3))
  state, found = programs.training.validate(state, inputs, feed.validation(), programs.number(1))
  return programs, state, jax.device_get(found)


@pytest.fixture(scope="module")
def alone():
  return _trained(1, "loop")


def test_validation_and_testing_read_the_average(alone):
  programs, state, found = alone
  raw, averaged = (jax.tree.map(lambda x: x[0], tree) for tree in (state.variables, state.average))
  _assert_equal(programs.best(state, 0), averaged)
  assert not np.array_equal(raw["params"]["pixels"], averaged["params"]["pixels"])
  cases = made.make_cases()
  images, masks = cases.images[SPLIT.validation], cases.masks[SPLIT.validation]
  outputs, _ = made.linear(2).apply(averaged, images / np.float32(255), False)
  log_p = jax.nn.log_softmax(outputs.logits)
  expected = -(jax.nn.one_hot(masks, 2) * log_p).sum(-1).mean()
  np.testing.assert_allclose(found.losses["cross_entropy"][0], expected, rtol=1e-5)


@pytest.mark.slow
def test_models_side_by_side_have_their_own(alone):
  _, state, _ = alone
  _, many, _ = _trained(2, "vmap")
  first, second = (jax.tree.map(lambda x, n=n: x[n], many.average) for n in (0, 1))
  expected = jax.tree.map(lambda x: x[0], state.average)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6), first, expected)
  assert not np.allclose(first["params"]["pixels"], second["params"]["pixels"])
