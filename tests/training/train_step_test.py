"""Skipped steps, and runs that split anywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from mlseg.recipe.optimizer import make_optimizer
from mlseg.training import step as train_step
from mlseg.weighting import (
  chain,
  dynamic_memory_fusion,
  ema,
  every,
  fixed,
  geometric,
  per_epoch,
  random_weighting,
  with_auxiliary,
)


def _loss_fn(params, model_state, batch):
  images, targets = batch
  error = images @ params["w"] - targets
  return {"l2": (error**2).mean(), "l1": jnp.abs(error).mean()}, model_state


def _batch(step):
  rng = np.random.default_rng(step)
  return rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32)


def _data(num=8):
  batches = [_batch(i) for i in range(num)]
  return tuple(jnp.stack(parts) for parts in zip(*batches, strict=True))


def _batch_at(data, key, step):
  del key
  return jax.tree.map(lambda x: x[step % x.shape[0]], data)


def _start(weighting, optimizer=None):
  optimizer = optimizer or optax.adam(1e-2)
  variables = {"params": {"w": jnp.array([1.0, -2.0, 0.5])}}
  state = train_step.init_state(jax.random.key(0), variables, optimizer, weighting, ("l2", "l1"))
  return state, train_step.make_step(_loss_fn, optimizer, weighting)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_neither_model_nor_optimiser(where):
  weighting = dynamic_memory_fusion("variance", capacity=4, min_history=2)
  optimizer = optax.adam(1e-2)

  def loss_fn(params, model_state, batch):
    losses, _ = _loss_fn(params, model_state, batch)
    x = params["w"][0] - 1.0  # 0 at the start: √ has a finite value and an infinite slope there
    losses["l1"] += jnp.sqrt(jnp.abs(x)) if where == "gradient" else jnp.nan
    return losses, {"seen": model_state["seen"] + 1}

  variables = {"params": {"w": jnp.array([1.0, -2.0, 0.5])}, "seen": jnp.zeros(())}
  before = train_step.init_state(jax.random.key(0), variables, optimizer, weighting, ("l2", "l1"))
  step = jax.jit(train_step.make_step(loss_fn, optimizer, weighting))
  after, _ = step(before, _batch(0))
  after, log = step(after, _batch(1))
  for name in ("variables", "opt_state"):
    jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(before, name))
  # Losses that are finite are remembered, also where their gradient is not.
  assert int(after.weighting_state.history.count[0]) == (0 if where == "loss" else 2)
  assert int(after.step) == 2
  assert (int(after.nonfinite.total), int(after.nonfinite.in_row)) == (2, 2)
  blamed = {name: int(count) for name, count in after.nonfinite.losses.items()}
  assert blamed == {"l2": 0, "l1": 2 if where == "loss" else 0}
  assert all(np.isfinite(w) for w in log.weights.values())


@pytest.mark.slow
@pytest.mark.parametrize("bad", [0, 1, 2, 3])
def test_counters_follow_the_run_past_a_step_that_is_not_finite(bad):
  make = {
    "every": lambda: every(geometric(), 2),
    "per_epoch": lambda: per_epoch(geometric(), 2),
    "auxiliary": lambda: with_auxiliary(fixed(), "l1", decay=0.5, decay_every=2),
  }
  for name, weighting in ((name, build()) for name, build in make.items()):
    state, step = _start(weighting, optax.sgd(0.0))
    found, expected = [], []
    for number in range(6):
      images, targets = _batch(number)
      state, log = step(state, (images * (np.nan if number == bad else 1), targets))
      found.append(float(log.weights["l1"]))
    state, step = _start(weighting, optax.sgd(0.0))
    for number in range(6):
      state, log = step(state, _batch(number))
      expected.append(float(log.weights["l1"]))
    changes = np.flatnonzero(np.diff(found)) + 1
    assert set(changes) <= {2, 4}, name  # never between: an epoch, or two steps, stay whole
    if name == "auxiliary":
      assert found == expected
    assert found[-1] == expected[-1] or (name == "per_epoch" and bad in (2, 3))


def test_the_schedule_of_the_rate_follows_the_run_past_a_skipped_step():
  plain = {"momentum": 0.0, "nesterov": False, "clip_norm": 0.0, "weight_decay": 0.0}
  section = {"name": "sgd", "learning_rate": 1.0, "schedule": "cosine", "stage_rates": {}} | plain
  config = ConfigDict({"optimizer": section})
  state, step = _start(fixed(), make_optimizer(config, 4))
  images, targets = _batch(0)
  for number in range(4):
    previous = state
    state, _ = step(state, (images * (np.nan if number == 1 else 1), targets))
  moved = np.abs(state.variables["params"]["w"] - previous.variables["params"]["w"])
  gradient = jax.grad(lambda p: sum(_loss_fn(p, {}, (images, targets))[0].values()))
  slope = np.abs(gradient(previous.variables["params"])["w"])
  np.testing.assert_allclose(moved / slope, (1 + np.cos(np.pi * 3 / 4)) / 2, rtol=1e-3)


def test_a_finite_step_ends_the_row_and_keeps_the_total():
  state, step = _start(fixed())
  images, targets = _batch(0)
  state, _ = step(state, (images * np.nan, targets))
  state, _ = step(state, (images, targets))
  assert (int(state.nonfinite.total), int(state.nonfinite.in_row)) == (1, 0)
  assert set(map(int, state.nonfinite.losses.values())) == {0}


@pytest.mark.parametrize("parts", [[7], [3, 4], [1, 1, 5]])
def test_a_run_in_parts_is_bitwise_that_in_one(parts):
  weighting = dynamic_memory_fusion("mad", capacity=4, min_history=2)
  whole, step = _start(weighting)
  run_steps, traces = train_step.make_run(step, _batch_at), []

  @jax.jit
  def run(state, data, num_steps):
    traces.append(num_steps)
    return run_steps(state, data, num_steps)

  data = _data()
  expected, _ = run(whole, data, 7)
  state, _ = _start(weighting)
  for count in parts:
    state, _ = run(state, data, count)
  keys = [jax.random.key_data(s.key) for s in (state, expected)]
  jax.tree.map(
    np.testing.assert_array_equal, state._replace(key=keys[0]), expected._replace(key=keys[1])
  )
  assert len(traces) == 1  # the number of steps is an argument of the program


def test_the_log_of_a_run_is_the_mean_over_its_steps():
  state, step = _start(fixed(), optax.sgd(0.0))
  data = _data()
  _, log = train_step.make_run(step, _batch_at)(state, data, 3)
  each = [step(state, jax.tree.map(lambda x, i=i: x[i], data))[1].losses["l2"] for i in range(3)]
  np.testing.assert_allclose(log.losses["l2"], np.mean(each), rtol=1e-6)


def test_only_a_higher_score_makes_new_best_variables():
  state, _ = _start(fixed())
  first = train_step.update_best(state, jnp.float32(0.5), jnp.int32(1))
  moved = first._replace(variables=jax.tree.map(lambda x: x + 1, first.variables))
  worse = train_step.update_best(moved, jnp.float32(0.4), jnp.int32(2))
  better = train_step.update_best(moved, jnp.float32(0.6), jnp.int32(2))
  nan = train_step.update_best(moved, jnp.float32(jnp.nan), jnp.int32(2))
  for kept in (worse, nan):
    assert (float(kept.best.score), int(kept.best.epoch)) == (0.5, 1)
    np.testing.assert_array_equal(
      kept.best.variables["params"]["w"], state.variables["params"]["w"]
    )
  assert int(better.best.epoch) == 2
  np.testing.assert_array_equal(
    better.best.variables["params"]["w"], moved.variables["params"]["w"]
  )


def test_seeds_side_by_side_draw_different_weights():
  """A step gives the weighting a key of its model, which no seed shares."""
  weighting, optimizer = chain(per_epoch(random_weighting(), 2), ema(0.0)), optax.adam(1e-2)
  _, step = _start(weighting)

  def start(seed):
    variables = {"params": {"w": jnp.array([1.0, -2.0, 0.5])}}
    key = jax.random.key(seed)
    return train_step.init_state(key, variables, optimizer, weighting, ("l2", "l1"))

  run = jax.jit(jax.vmap(train_step.make_run(step, _batch_at, False), in_axes=(0, None, None)))
  found = []
  for _ in range(2):
    states, rows = jax.vmap(start)(jnp.arange(6)), []
    for _ in range(4):
      states, log = run(states, _data(), 2)
      rows.append(log.weights["l1"])
    found.append(np.stack(rows, axis=1))  # [seeds, epochs]
  np.testing.assert_array_equal(*found)  # a seed gives the same weights again
  assert len(np.unique(found[0].round(5))) == found[0].size
