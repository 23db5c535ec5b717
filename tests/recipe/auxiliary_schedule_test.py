"""Schedules of the auxiliary loss that are tied to the length of a run."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.recipe import auxiliary_schedule, experiment, parse
from mlseg.recipe.weighting import make_weighting

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"


def _config(*settings):
  flags = [f"--config.auxiliary.{setting}" for setting in ("name=focal", *settings)]
  return parse.parse(["", f"--config={SMOKE}", *flags])[0]


def test_without_a_name_it_is_the_papers():
  assert auxiliary_schedule.make(_config(), 100) is None


@pytest.mark.parametrize("num_steps", [40, 1000])
def test_a_share_of_the_run_is_counted_in_its_steps(num_steps):
  config = _config("schedule=linear_schedule", "initial=4.0")
  schedule = auxiliary_schedule.make(config, num_steps)
  steps = [0, num_steps // 4, num_steps // 2, num_steps]
  np.testing.assert_allclose([schedule(step) for step in steps], [4, 2, 0, 0], atol=1e-6)


def test_a_schedule_may_begin_at_once():
  config = _config("schedule=polynomial_schedule", "initial=1.0")
  options = {"power": 1.0, "end_value": 0.0, "transition_steps": 1.0, "transition_begin": 0.0}
  with config.unlocked():
    config.auxiliary.schedule_options.polynomial_schedule = options
  schedule = auxiliary_schedule.make(config, 10)
  np.testing.assert_allclose([schedule(0), schedule(5)], [1, 0.5], rtol=1e-6)


def test_integers_are_steps():
  config = _config("schedule=linear_schedule", "initial=1.0")
  with config.unlocked():
    config.auxiliary.schedule_options.linear_schedule = {"end_value": 0.0, "transition_steps": 8}
  schedule = auxiliary_schedule.make(config, 1000)
  np.testing.assert_allclose([schedule(4), schedule(8)], [0.5, 0])


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("constant_schedule", [3, 3, 3]),
    ("polynomial_schedule", [3, 0.75, 0]),  # 3 (1 - 2 t)²
    ("cosine_decay_schedule", [3, 1.5, 0]),
    ("exponential_decay", [3, 3 * 0.5**2.5, 3 * 0.5**10]),
    ("piecewise_constant_schedule", [3, 3, 0]),
  ],
)
def test_schedules_of_optax_begin_with_the_initial_weight(name, expected):
  schedule = auxiliary_schedule.make(_config(f"schedule={name}", "initial=3.0"), 400)
  np.testing.assert_allclose([schedule(step) for step in (0, 100, 400)], expected, atol=1e-5)


def test_a_recipe_weights_its_auxiliary_loss_by_the_schedule():
  config = _config("schedule=linear_schedule", "initial=4.0")
  method = make_weighting(config, 4, 8)
  losses = {name: jnp.float32(1) for name in (*config.losses, "focal")}
  state, found = method.init(losses), []
  for _ in range(6):
    weights, state = jax.jit(method.update)(losses, state)
    found.append(float(weights["focal"]))
  np.testing.assert_allclose(found, [4, 3, 2, 1, 0, 0], atol=1e-6)


def test_recipes_with_different_schedules_are_not_one_method():
  keys = {
    experiment.read(_config(*settings)).weighting.key
    for settings in (
      (),
      ("initial=2.0",),
      ("schedule=linear_schedule",),
      ("schedule=linear_schedule", "initial=2.0"),
    )
  }
  assert len(keys) == 3  # the first two differ in a number that a model brings along


@pytest.mark.parametrize(
  ("settings", "options", "message"),
  [
    (["schedule=linear"], {}, "unknown config.auxiliary.schedule 'linear'"),
    ([], {"transition_steps": 1.5}, "must be a share of the run in"),
    ([], {"transition_steps": -3}, "must be a number of steps"),
    ([], {"length": 3}, "argument of config.auxiliary.schedule_options.linear_schedule"),
  ],
)
def test_what_is_wrong_is_named(settings, options, message):
  config = _config(*(settings or ["schedule=linear_schedule"]))
  with config.unlocked():
    config.auxiliary.schedule_options.linear_schedule = {"end_value": 0.0, **options}
  with pytest.raises(UserError, match=message):
    auxiliary_schedule.make(config, 100)
