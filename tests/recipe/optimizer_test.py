"""The section `config.optimizer`: rates, schedules, clipping, stages."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.models import MaskRCNN, MultiTaskUNet, UNet, make_encoder
from mlseg.recipe import parse
from mlseg.recipe.optimizer import kernels, make_optimizer

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


def _with(config, **options):
  """Returns a recipe with keys of its optimiser that its file has not."""
  with config.optimizer.unlocked():
    config.optimizer.update(options)
  return config


def test_a_mask_keeps_the_decay_from_all_but_kernels():
  params = {"conv": {"kernel": jnp.full((3, 3, 1, 2), 2.0), "bias": jnp.ones(2)},
            "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)}}  # fmt: skip
  nothing = jax.tree.map(jnp.zeros_like, params)
  settings = "name=adamw", "learning_rate=0.1", "weight_decay=0.5"
  for mask, count in (("all", 4), ("kernels", 1)):
    config = _with(_config(*settings), decay_mask=mask)
    (updates,) = _updates(make_optimizer(config, 10), params=params, gradients=nothing)
    np.testing.assert_allclose(updates["conv"]["kernel"], -0.1 * 0.5 * 2, rtol=1e-6)
    assert sum(bool((leaf != 0).all()) for leaf in jax.tree.leaves(updates)) == count


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "multitask_unet", "mask_rcnn"])
def test_the_kernels_of_a_network_are_its_parameters_of_that_name(name):
  """The rule reads axes; in all networks it finds what Flax calls a kernel, and nothing else."""
  encoder = make_encoder("mobilenet_v2", "keras", 0.35)
  network = {
    "unet": UNet(2, depth=2, filters=8, norm="group", attention=True, deep_supervision=1),
    "multitask_unet": MultiTaskUNet(encoder, 2, 3, attention=True, deep_supervision=2),
    "mask_rcnn": MaskRCNN(encoder, 2, filters=8),
  }[name]
  images = jnp.zeros((1, 64, 64, 1))
  shapes = jax.eval_shape(lambda key: network.init(key, images, False), jax.random.key(0))
  found = jax.tree_util.tree_leaves_with_path(kernels(shapes["params"]))
  names = {path[-1].key: is_kernel for path, is_kernel in found}
  assert all(names[path[-1].key] == is_kernel for path, is_kernel in found)
  assert {own for own, is_kernel in names.items() if is_kernel} == {"kernel"}
  assert {own for own, is_kernel in names.items() if not is_kernel} == {"bias", "scale"}


def test_a_warm_up_and_its_decay_follow_the_epochs_of_the_run():
  config = _with(
    _config("name=adam", "learning_rate=0.1"),
    schedule="polynomial", power=2.0, warm_up=1.5, end_rate=0.5,
  )  # fmt: skip
  config.num_epochs = 3
  found = [float(updates["b"][0]) for updates in _updates(make_optimizer(config, 6), 7)]
  shares = [0, 1 / 3, 2 / 3, 1, 0.5 + 0.5 * (2 / 3) ** 2, 0.5 + 0.5 / 9, 0.5]
  np.testing.assert_allclose(found, -0.1 * np.array(shares), atol=1e-6)  # Adam's own step is 1 here


def test_a_constant_rate_may_have_a_warm_up():
  config = _with(_config("name=adam", "learning_rate=0.1"), warm_up=1.0)
  config.num_epochs = 2
  optimizer = make_optimizer(config, 4, rate_is_given=True)
  found = [
    float(_updates(optimizer, step=step, learning_rate=jnp.float32(0.2))[0]["b"][0])
    for step in range(4)
  ]
  np.testing.assert_allclose(found, [0, -0.1, -0.2, -0.2], rtol=1e-4)


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
