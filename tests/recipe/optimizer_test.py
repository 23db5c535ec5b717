"""The section `config.optimizer`: rates, schedules, clipping, stages."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.recipe import parse
from mlseg.recipe.optimizer import make_optimizer

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
PARAMS = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([3.0])}
GRADIENTS = {"a": jnp.array([0.3, -0.4]), "b": jnp.array([1.2])}


def _config(*settings, recipe="smoke"):
  flags = [f"--config.optimizer.{setting}" for setting in settings]
  return parse.parse(["", f"--config={CONFIGS / recipe}.py", *flags])[0]


def _updates(optimizer, count=1, params=PARAMS, gradients=GRADIENTS, **extra):
  """Returns the updates of some steps with the same gradients."""
  state, found = optimizer.init(params), []
  for _ in range(count):
    updates, state = optimizer.update(gradients, state, params, **extra)
    found.append(updates)
  return found


def test_plain_descent_has_nesterovs_momentum():
  first, second = _updates(make_optimizer(_config("name=sgd", "learning_rate=0.1"), 10), 2)
  # v ← 0.9 v + g, and the update is −0.1 (g + 0.9 v).
  np.testing.assert_allclose(first["b"], -0.1 * 1.2 * 1.9, rtol=1e-6)
  np.testing.assert_allclose(second["b"], -0.1 * 1.2 * (1 + 0.9 * 1.9), rtol=1e-6)


def test_a_cosine_ends_at_zero_after_all_steps():
  config = _config("name=adam", "learning_rate=0.1", "schedule=cosine")
  found = [float(updates["b"][0]) for updates in _updates(make_optimizer(config, 8), 9)]
  expected = -0.1 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2  # Adam's own step is 1 here
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_gradients_are_clipped_by_their_common_norm():
  config = _config("name=sgd", "learning_rate=0.1", "clip_norm=0.13")
  (clipped,) = _updates(make_optimizer(config, 10))  # the norm is 1.3
  (plain,) = _updates(make_optimizer(_config("name=sgd", "learning_rate=0.1"), 10))
  for name in PARAMS:
    np.testing.assert_allclose(clipped[name], 0.1 * plain[name], rtol=1e-5)


def test_only_adamw_decays_weights():
  settings = "learning_rate=0.1", "weight_decay=0.5"
  (decayed,) = _updates(make_optimizer(_config("name=adamw", *settings), 10))
  (plain,) = _updates(make_optimizer(_config("name=adam", "learning_rate=0.1"), 10))
  for name, values in PARAMS.items():
    np.testing.assert_allclose(decayed[name] - plain[name], -0.1 * 0.5 * values, rtol=1e-5)
  with pytest.raises(UserError, match="weight_decay is for 'adamw', not 'adam'"):
    make_optimizer(_config("name=adam", *settings), 10)


def test_a_rate_that_is_given_replaces_that_of_the_recipe():
  config = _config("name=adam", "learning_rate=0.1", "schedule=cosine")
  own = _updates(make_optimizer(config, 8), 3)
  given = _updates(make_optimizer(config, 8, rate_is_given=True), 3, learning_rate=jnp.float32(0.1))
  for first, second in zip(own, given, strict=True):
    np.testing.assert_allclose(first["a"], second["a"], rtol=1e-6)


def test_a_stage_is_frozen_or_slowed():
  config = _config("name=sgd", recipe="multitask_busi")
  config.optimizer.learning_rate = 0.1
  config.optimizer.stage_rates.update({"stage_0": 0.0, "stage_2": 0.1, "head": 2.0})
  one = jnp.ones(2)
  params = {"encoder": {"stage_0": one, "stage_1": one, "stage_2": one}, "decoder": {"w": one}}
  (updates,) = _updates(make_optimizer(config, 10), params=params, gradients=params)
  step = -0.1 * 1.9
  stages = updates["encoder"]
  np.testing.assert_array_equal(stages["stage_0"], 0)
  np.testing.assert_allclose(stages["stage_1"], step, rtol=1e-6)
  np.testing.assert_allclose(stages["stage_2"], 0.1 * step, rtol=1e-6)
  np.testing.assert_allclose(updates["decoder"]["w"], 2 * step, rtol=1e-6)


@pytest.mark.parametrize(
  ("stages", "message"),
  [({"stage_7": 1.5}, "stage_rates 'stage_7'"), ({"stage_1": -1.0}, "must not be negative")],
)
def test_wrong_stages_are_named(stages, message):
  config = _config(recipe="multitask_busi")
  with config.optimizer.stage_rates.unlocked():
    config.optimizer.stage_rates.update(stages)
  with pytest.raises(UserError, match=message):
    make_optimizer(config, 10)
