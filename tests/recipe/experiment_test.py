"""A recipe becomes plain records; every name and value that needs no data is checked at once."""

import pathlib

import pytest
from ml_collections import ConfigDict

from mlseg import weighting
from mlseg.errors import UserError
from mlseg.recipe import experiment, parse
from mlseg.weighting import registry

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SMOKE = f"--config={CONFIGS / 'smoke.py'}"


def _read(*flags, recipe=SMOKE):
  return experiment.read(parse.content(["", recipe, *flags]))


def _has_config_dict(value):
  if isinstance(value, ConfigDict):
    return True
  if isinstance(value, dict):
    return any(map(_has_config_dict, value.values()))
  return isinstance(value, tuple) and any(map(_has_config_dict, value))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem)
def test_every_recipe_becomes_plain_records(path):
  found = _read(recipe=f"--config={path}")
  assert not _has_config_dict(found)
  assert found.content["name"] == found.name
  assert found.losses.names[: len(found.content["losses"])] == found.content["losses"]


def test_a_config_and_its_content_are_the_same_recipe():
  config, _ = parse.parse(["", SMOKE])
  first, second = experiment.read(config), experiment.read(config.to_dict())
  assert first.content == second.content
  assert first.common == second.common


@pytest.mark.parametrize("name", sorted(registry.METHODS))
@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_every_weighting_is_accepted_wherever_gradients_are_compared(name, gram_at):
  recipe = _read(f"--config.weighting.name={name}", f"--config.weighting.gram_at={gram_at}")
  made = recipe.weighting.make(1)
  assert made.needs_gram == getattr(weighting, name)().needs_gram


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--config.losses=('dise',)"], "unknown loss 'dise'"),
    (["--config.auxiliary.name=dise"], "unknown loss 'dise'"),
    (["--config.weighting.name=best"], "unknown weighting 'best'"),
    (["--config.weighting.prior=(1.0,)"], "one weight per entry of config.losses"),
    (["--config.optimizer.name=lion"], "unknown optimizer 'lion'"),
    (["--config.optimizer.learning_rate=0.0"], "learning_rate must be positive"),
    (["--config.model.name=vnet"], "unknown model 'vnet'"),
    (["--config.data.image_size=30"], "must be a multiple of 4"),
    (["--config.data.split=rnd"], "unknown split 'rnd'"),
    (["--config.data.placement=disk"], "config.data.placement 'disk'"),
    (["--config.data.num_folds=1"], "num_folds must be 0 or at least 2, not 1"),
    (["--config.seeds.strategy=scan"], "config.seeds.strategy 'scan'"),
    (["--config.selection=accuracy"], "needs the head of classification"),
    (["--config.augmentation.rotation=200.0"], "augmentation.rotation must be in"),
    (["--config.augmentation.elastic=1.0", "--config.augmentation.elastic_sigma=0.0"], "sigma"),
    (["--config.metrics.tolerance=-1.0"], "config.metrics.tolerance must not be negative"),
    (["--config.loss_options.tversky.alpha=-1.0", "--config.auxiliary.name=tversky"], "alpha"),
  ],
)
def test_a_mistake_is_found_without_the_data(flags, message, monkeypatch):
  monkeypatch.setattr("mlseg.data.cases.load", None)  # a call would fail otherwise
  with pytest.raises(UserError, match=message):
    _read(*flags)


def test_an_unknown_option_of_a_loss_lists_the_options():
  content = parse.content(["", SMOKE, "--config.auxiliary.name=tversky"])
  content["loss_options"]["tversky"] = {"aplha": 0.5}
  message = "unknown option of config.loss_options.tversky 'aplha': choose from activation, alpha"
  with pytest.raises(UserError, match=message):
    experiment.read(content)


def test_class_weights_of_three_classes_wait_for_the_data():
  flags = "--config.losses=('weighted_cross_entropy',)", "--config.weighting.fixed=(1.0,)"
  content = parse.content(["", SMOKE, *flags])
  content["loss_options"]["weighted_cross_entropy"] = {"class_weights": (1.0, 2.0, 3.0)}
  assert experiment.read(content).losses.names[0] == "weighted_cross_entropy"
