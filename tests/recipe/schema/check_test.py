"""The schema names every fault of a recipe at once, and adds the defaults of absent keys."""

import copy
import pathlib
import re

import pytest
from ml_collections import ConfigDict

from mlseg.data import cases
from mlseg.data.datasets.sources import NoOptions
from mlseg.errors import UserError
from mlseg.recipe import experiment, loss_table, parse, schema
from mlseg.recipe.data import DataRecipe
from mlseg.recipe.prediction import PredictionRecipe
from mlseg.recipe.schema import options
from mlseg.recipe.schema.keys import ABSENT, NEEDED
from mlseg.weighting import registry

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"
SMOKE = f"--config={CONFIGS / 'smoke.py'}"
BY_PATH = {key.path: key for key in schema.KEYS}


def _content(recipe=SMOKE, **values):
  """Returns a recipe with other values, by dotted names with '__' for the dots."""
  content = parse.content(["", recipe])
  for name, value in values.items():
    *sections, last = name.split("__")
    place = content
    for section in sections:
      place = place[section]
    place[last] = value
  return content


def _message(content):
  with pytest.raises(UserError) as caught:
    experiment.read(content)
  assert "\n" not in str(caught.value)
  return str(caught.value)


WRONG = [
  ("model__norm_momentum", float("nan"), "config.model.norm_momentum must be a finite number"),
  ("model__norm_momentum", float("inf"), "config.model.norm_momentum must be a finite number"),
  ("model__norm_momentum", -1.0, "config.model.norm_momentum must be in [0, 1), not -1.0"),
  ("model__norm_momentum", 1.0, "config.model.norm_momentum must be in [0, 1), not 1.0"),
  ("optimizer__clip_norm", -1.0, "config.optimizer.clip_norm must not be negative, not -1.0"),
  ("optimizer__clip_norm", float("inf"), "config.optimizer.clip_norm must be a finite number"),
  ("optimizer__weight_decay", -0.1, "config.optimizer.weight_decay must not be negative, not -0.1"),
  ("optimizer__learning_rate", 1e39, "must be at most 1e+38, not 1e+39 (larger ones are infin"),
  ("optimizer__schedule", "step", "schedule 'step': choose from constant, cosine, polynomial"),
  ("optimizer__power", 0.0, "config.optimizer.power must be in (0, 100], not 0.0"),
  ("optimizer__warm_up", -1.0, "config.optimizer.warm_up must not be negative, not -1.0"),
  ("optimizer__warm_up", 2.0, "warm_up must be less than config.num_epochs (2), not 2.0"),
  ("optimizer__end_rate", 1.5, "config.optimizer.end_rate must be in [0, 1], not 1.5"),
  ("optimizer__end_rate", 0.1, "end_rate must be 0 with the schedule 'constant', not 0.1"),
  ("optimizer__ema", 1.0, "config.optimizer.ema must be in [0, 1), not 1.0"),
  ("optimizer__decay_mask", "norms", "decay_mask 'norms': choose from all, kernels"),
  ("optimizer__decay_mask", "kernels", "decay_mask must be 'all' with 'adam', which has no weight"),
  ("model__dropout", 1.0, "config.model.dropout must be in [0, 1), not 1.0"),
  ("model__deep_supervision", -1, "config.model.deep_supervision must not be negative, not -1"),
  ("model__deep_supervision", 0.5, "config.model.deep_supervision must be an integer, not 0.5"),
  ("model__deep_supervision", 2, "must be below the 2 levels of the decoder, not 2"),
  ("model__bottleneck_dilations", (1, 0), "bottleneck_dilations[1] must be at least 1, not 0"),
  ("model__bottleneck_dilations", 2, "config.model.bottleneck_dilations must be a tuple of 0 or"),
  ("model__bottleneck_dilations", (64,), "bottleneck_dilations must be below "),
  ("loss_options", {"cross_entropy": {"label_smoothing": 1.0}}, (
    "config.loss_options.cross_entropy.label_smoothing must be in [0, 1), not 1.0"
  )),
  ("optimizer__stage_rates", {"stage_0": -1.0}, "config.optimizer.stage_rates.stage_0 must"),
  ("optimizer__stage_rates", {"stage_9": 1.0}, "key 'optimizer.stage_rates.stage_9'. Did you mean"),
  ("data__image_size", 0, "config.data.image_size must be at least 8, not 0"),
  ("data__image_size", 10**6, "must be at most 8192, not 1000000 (the images of a data set"),
  ("data__root", "", "config.data.root must not be empty"),
  ("data__fractions", (0.7, 0.3, 0.0), "three positive numbers that sum to 1, not (0.7, 0.3, 0.0)"),
  ("num_epochs", True, "config.num_epochs must be an integer, not True"),
  ("num_epochs", 10**5000, "not an integer of 5001 digits or so"),
  ("cosines_every", -1, "config.cosines_every must not be negative, not -1"),
  ("log_every", "2", "config.log_every must be an integer, not '2'"),
  ("losses", "soft_dice", "config.losses must be a tuple of 1 or more entries"),
  ("losses", ("soft_dice", "soft_dice"), "the losses must be different, not ('soft_dice', 'soft_"),
  ("auxiliary__name", "soft_dice", "config.auxiliary.name 'soft_dice' must not be one of"),
  ("weighting__prior", (0, 0, 0), "config.weighting.prior must have a weight above 0"),
  ("weighting__options", {"famo": {"learning_rate": float("inf")}}, (
    "config.weighting.options.famo.learning_rate must be a finite number, not inf"
  )),
  ("weighting__options", {"famo": {"learning_rat": 1.0}}, (
    "unknown option of config.weighting.options.famo 'learning_rat': choose from gamma,"
  )),
  ("weighting__options", {"famos": {}}, "unknown weighting in config.weighting.options 'famos'"),
  ("weighting__options", {"sdmgrad": {"num_steps": 10**9}}, "must be at most 10000"),
  ("weighting__options", 5, "config.weighting.options must be a section of keys, not 5"),
  ("loss_options", {"dise": {}}, "unknown loss in config.loss_options 'dise': choose from"),
  ("loss_options", {"focal": 5}, "config.loss_options.focal must be a section of keys, not 5"),
  ("data", 5, "config.data must be a section of keys, not 5"),
  ("model__filters", 4096, "filters * 2**config.model.depth must be at most 8192"),
  ("name", "a\nb", "config.name must have no control characters, not 'a\\nb'"),
  ("nmu_epochs", 5, "unknown config key 'nmu_epochs'. Did you mean \"num_epochs\"?"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=[case[0] for case in WRONG])
def test_a_wrong_value_is_named_with_its_rule(key, value, message):
  assert message in _message(_content(**{key: value}))


def test_a_single_loss_has_no_cosines():
  alone = {"losses": ("soft_dice",), "auxiliary__name": "none", "cosines_every": 5}
  message = _message(_content(**alone))
  assert message.startswith("config.cosines_every must be 0 with a single loss, ")
  assert message.endswith(", not 5")
  beside = _content(**(alone | {"auxiliary__name": "focal"}))
  assert experiment.read(beside).cosines_every == 5


def test_all_faults_are_named_at_once():
  message = _message(_content(num_epochs=0, optimizer__learning_rate=-1.0, data__fold="first"))
  for name in ("config.num_epochs", "config.optimizer.learning_rate", "config.data.fold"):
    assert message.count(name) == 1
  content = _content()
  content["augmentation"] = dict.fromkeys(content["augmentation"], -1.0)
  content["metrics"] = dict.fromkeys(content["metrics"], "x")
  count = len(content["augmentation"]) + len(content["metrics"])
  assert _message(content).endswith(f"; and {count - 10} more faults")


@pytest.mark.parametrize(
  "path", [key.path for key in schema.KEYS if key.default is NEEDED and not key.of]
)
def test_a_missing_key_is_named_with_its_meaning(path):
  content = _content()
  *sections, last = path.split(".")
  place = content
  for section in sections:
    place = place[section]
  del place[last]
  assert f"config.{path} is missing: " in _message(content)


def test_a_recipe_needs_few_keys():
  mine = {
    "name": "mine", "num_epochs": 2, "batch_size": 4, "selection": "dice",
    "data": {"name": "busi", "image_size": 32},
    "model": {
      "name": "unet", "depth": 2, "filters": 4, "convs_per_level": 1, "norm": "batch",
      "norm_momentum": 0.9, "upsampling": "resize",
    },
    "optimizer": {"name": "adam", "learning_rate": 1e-3},
    "losses": ["soft_dice"], "weighting": {"name": "uncertainty"},
  }  # fmt: skip
  before = copy.deepcopy(mine)
  recipe = experiment.read(mine)
  assert mine == before
  assert recipe.data.split == "grouped"
  assert recipe.losses.names == ("soft_dice",)
  assert recipe.content["patience"] == 0  # what is trained is written down
  assert experiment.read(ConfigDict(mine)).content == recipe.content


def test_a_complete_recipe_stays_as_it_is():
  content = parse.parse(["", SMOKE])[0].to_dict()
  added = schema.complete(content)
  assert {**added, "optimizer": {**added["optimizer"], **content["optimizer"]}} == added
  assert schema.complete(added) == added


def test_whole_numbers_are_as_good_as_floats():
  recipe = experiment.read(_content(augmentation__flip_horizontal=1, optimizer__learning_rate=1))
  assert recipe.content["augmentation"]["flip_horizontal"] == 1.0
  assert isinstance(recipe.content["optimizer"]["learning_rate"], float)


def test_an_optimiser_of_a_weighting_has_a_default_rate():
  options = {"uncertainty": {"optimizer": "sgd"}}
  recipe = experiment.read(_content(weighting__name="uncertainty", weighting__options=options))
  assert recipe.weighting.make(1).init(dict.fromkeys(recipe.losses.names, 1.0)) is not None


def test_defaults_are_right_values():
  for key in schema.KEYS:
    if key.default is not NEEDED and key.default is not ABSENT:
      assert key.kind.fault(key.path, key.default) is None, key.path


def test_every_key_says_what_it_means():
  for key in schema.KEYS:
    assert key.meaning.endswith("."), key.path
    assert key.meaning[:1].isupper() or not key.meaning[0].isalpha(), key.path


@pytest.mark.parametrize("name", sorted(cases.OPTIONS))
def test_the_options_of_a_data_set_are_keys_with_its_defaults(name):
  kind = cases.OPTIONS[name]
  prefix = f"data.{name}."
  own = {p.removeprefix(prefix): key for p, key in BY_PATH.items() if p.startswith(prefix)}
  assert set(own) == set(() if kind is NoOptions else kind._fields)
  for option, value in kind._field_defaults.items():
    assert own[option].default == value, option
    assert own[option].of == (name,)


def test_the_defaults_of_data_are_those_of_older_runs():
  for name, value in DataRecipe._field_defaults.items():
    if name != "options":
      assert BY_PATH[f"data.{name}"].default == value, name


@pytest.mark.parametrize("name", sorted(registry.METHODS))
def test_every_option_of_a_weighting_has_a_meaning(name):
  for option in options.of_weighting(name):
    assert option.meaning, option.name
    if option.default is not None and option.name not in ("optimizer", "learning_rate"):
      assert option.kind.fault(option.name, option.default) is None


@pytest.mark.parametrize("name", sorted(loss_table.LOSSES))
def test_every_option_of_a_loss_has_a_meaning(name):
  for option in options.of_loss(name):
    assert option.meaning, option.name
    if option.default is not None:
      assert option.kind.fault(option.name, option.default) is None


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"data": 5}, "config.data must be a section of keys, not 5"),
    ({"model": None}, "config.model must be a section of keys, not None"),
    ({"model": {}}, "config.model.name is missing"),
    ({"name": 7}, "config.name must be a text, not 7"),
  ],
)
def test_the_config_of_a_run_is_checked_before_it_predicts(change, message):
  content = {**_content(), **change}
  with pytest.raises(
    UserError, match=re.escape(f"run/config.json is not the config of a run: {message}")
  ):
    experiment.read_network(content, "run/config.json")


def test_what_prediction_does_not_read_does_not_count():
  content = _content(optimizer=5, num_epochs="many", later=1)
  content["data"]["later"] = 1
  content["prediction"]["later"] = 1
  data, network, prediction = experiment.read_network(content)
  assert data.image_size == 32
  assert network.name == "unet"
  assert prediction == PredictionRecipe()
