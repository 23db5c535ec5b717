"""A recipe becomes plain records; every name and value that needs no data is checked at once."""

import pathlib
import re

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


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.METHODS))
@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_every_weighting_is_accepted_wherever_gradients_are_compared(name, gram_at):
  recipe = _read(f"--config.weighting.name={name}", f"--config.weighting.gram_at={gram_at}")
  made = recipe.weighting.make(1, 10)
  assert made.needs_gram == getattr(weighting, name)().needs_gram


WRONG = {
  "smoke": {
    "losses=('dise',)": "unknown loss 'dise': choose from average_cal",
    "auxiliary.name=dise": "unknown loss 'dise': choose from",
    "loss_options.class_balanced_dice.class_weights=x": "'x'",
    "weighting.name=best": "unknown weighting 'best': choose from",
    "weighting.options.dynamic_memory_fusion.statistic=mode": (
      "unknown config.weighting.options.dynamic_memory_fusion.statistic 'mode': choose from"
      " bayesian, mad, variance"
    ),
    "weighting.prior=(1.0,)": "one weight per entry of config.losses",
    "weighting.every=0": "config.weighting.every must be at least 1, not 0",
    "weighting.gram_at=features": (
      "unknown config.weighting.gram_at 'features': choose from auto, logits, params"
    ),
    "num_microbatches=3": "must divide config.batch_size, not 3",
    "weighting.name=fixed weighting.fixed=(1.0,)": (
      "one weight per entry of config.losses, not (1.0,)"
    ),
    "optimizer.name=lion": "unknown optimizer 'lion': choose from",
    "optimizer.learning_rate=0.0": "learning_rate must be positive",
    "optimizer.weight_decay=0.1": "weight_decay",
    "model.name=vnet": "unknown model 'vnet': choose from attention_unet",
    "model.norm=layer": "'layer': choose from batch",
    "data.name=bussi": "unknown dataset 'bussi': choose from bus_s",
    "data.image_size=30": "must be a multiple of 4",
    "data.split=rnd": "unknown split 'rnd': choose from",
    "data.placement=disk": "config.data.placement 'disk'",
    "data.num_folds=1": "num_folds must be 0, or at least 2, not 1",
    "seeds.strategy=scan": "config.seeds.strategy 'scan'",
    "selection=accuracy": "needs the head of classification",
    "augmentation.flip_vertical=2.0": "flip_vertical",
    "augmentation.rotation=200.0": "augmentation.rotation must be in",
    "augmentation.elastic=1.0 augmentation.elastic_sigma=0.0": "sigma",
    "metrics.spacing=(1.0,0.0)": (
      "config.metrics.spacing must be two positive numbers, not (1.0, 0.0)"
    ),
    "metrics.tolerance=-1.0": "config.metrics.tolerance must not be negative",
    "loss_options.tversky.alpha=-1.0 auxiliary.name=tversky": "alpha",
  },
  "glands": {
    "metrics.object_neck=-1.0": "config.metrics.object_neck must not be negative, not -1.0",
    "data.patch_size=4": "config.data.patch_size must be 0, or at least 8, not 4",
    "data.patch_overlap=1.0": "config.data.patch_overlap must be in [0, 1), not 1.0",
    "model.containment=((0,1),(1,0))": "config.model: containment: [0, 1] lie in each",
  },
  "multitask_busi:classification+mobilenet_v2": {
    "selection=dice": (
      "config.selection 'dice' needs the head of segmentation, which config.model (class"
    ),
  },
  "response_ct": {
    "data.diameter=3": "config.data.diameter must be 0 for volumes",
    "model.num_textures=1": "config.model.num_textures must be 0",
    "model.embedding=0": "'supervised_contrastive' needs the head of embedding",
    "metrics.surface=True": "surface and objects must be False",
    "loss_options.texture_cross_entropy.statistic=rough": "texture statistic 'rough'",
    "model.name=multitask_unet": "config.model.name must be 'slice_attention'",
    "losses=('boundary',) weighting.fixed=(1.0,)": (
      "'boundary' is not for the slices of a volume"
    ),
  },
}  # fmt: skip
CASES = [(recipe, *case) for recipe, cases in WRONG.items() for case in cases.items()]


@pytest.mark.parametrize(("recipe", "settings", "message"), CASES)
def test_a_mistake_is_found_without_the_data(recipe, settings, message, monkeypatch):
  monkeypatch.setattr("mlseg.data.cases.load", None)  # a call would fail otherwise
  flags = [f"--config.{setting}" for setting in settings.split(" ")]
  name, _, variant = recipe.partition(":")
  with pytest.raises(UserError, match=re.escape(message)) as caught:
    _read(*flags, recipe=f"--config={CONFIGS / name}.py:{variant}".rstrip(":"))
  assert "\n" not in str(caught.value)


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
