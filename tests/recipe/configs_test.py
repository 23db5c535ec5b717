"""Every config is complete, overridable, and importable on its own."""

import ast
import importlib.util
import inspect
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mlseg import weighting
from mlseg.data import cases
from mlseg.errors import UserError
from mlseg.recipe import experiment, loss_table, schema
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import weighting as recipe_weighting

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
PAPER_ROWS = 13
MAY_BE_ABSENT = {"data.busi.normal"}  # from a recipe of that data set


def _module(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _leaves(config, prefix=""):
  for name, value in config.items():
    if isinstance(value, ConfigDict):
      yield from _leaves(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", value


def _variants():
  for path in CONFIGS:
    module = _module(path)
    own = getattr(module, "VARIANTS", getattr(module, "DATA", [None]))
    for variant in (*own, *getattr(module, "FOLDER_VARIANTS", ())):
      yield pytest.param(path, variant, id=f"{path.stem}:{variant}")


def _without_options(leaves):
  sections = (".weighting.options.", ".loss_options.")
  return {name for name in leaves if not any(section in f".{name}" for section in sections)}


@pytest.mark.parametrize(("path", "variant"), list(_variants()))
def test_config_is_complete_and_builds(path, variant):
  module = _module(path)
  config = module.get_config(variant) if variant else module.get_config()
  if config.data.name == "folder" and not config.data.folder.label_columns:
    config.data.folder.images = "images/{label}/{name}.png"  # a diagnosis for the recipes of one
  reference = dict(_leaves(_module(CONFIGS[0].with_name("dmf_busi.py")).get_config()))
  leaves = dict(_leaves(config))
  kind = cases.OPTIONS.get(config.data.name)
  own = {f"data.{config.data.name}.{name}" for name in kind._fields} if kind else set()
  # Options of methods and losses that a recipe does not mean to use keep their defaults unsaid.
  expected = _without_options(reference) | own
  found = _without_options(leaves)
  if "encoder" in config.model:  # another network, with a section of its own
    is_detector = config.model.name == "mask_rcnn"
    kind = "mask_rcnn+vgg16" if is_detector else "joint+vgg16"
    network = dict(_leaves(_module(CONFIGS[0].with_name("multitask_busi.py")).get_config(kind)))
    expected = {name for name in expected if not name.startswith("model.")}
    expected |= {name for name in network if name.startswith(("model.", "optimizer."))}
  if config.model.name == "slice_attention":
    own = ("attention_units", "embedding", "num_textures", "covariates")
    expected |= {f"model.{name}" for name in own}
  if config.model.name == "histology_fcn":
    own = ("name", "heads", "containment", "depth", "filters", "units", "norm_momentum", "dtype")
    expected = {name for name in expected if not name.startswith("model.")}
    expected |= {f"model.{name}" for name in own}
  assert expected - MAY_BE_ABSENT <= found
  more = found - expected
  assert not more or path.stem == "strong"  # which uses what the papers' recipes have not
  assert more <= {key.path for key in schema.KEYS}
  assert not [name for name, value in leaves.items() if isinstance(value, list)]
  json.dumps(config.to_dict())
  experiment.read(config)
  weights = dict.fromkeys(config.losses, jnp.ones(2))
  functions = recipe_losses.make_losses(recipe_losses.read(config), 2, 2, weights)
  method = recipe_weighting.make_weighting(config, 14)
  state = method.init(dict.fromkeys(functions, 1.0))
  weights, _ = method.update({name: jnp.float32(1.0) for name in functions}, state)
  assert weights.keys() == functions.keys()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config_imports_no_project_and_says_its_command(path):
  tree = ast.parse(path.read_text())
  imported = {
    node.module.split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name
    for node in ast.walk(tree)
    if isinstance(node, ast.Import | ast.ImportFrom)
  }
  assert {"ml_collections"} <= imported <= {"ml_collections", "pathlib", "runpy"}
  assert f"python -m mlseg.main --config=configs/{path.name}" in ast.get_docstring(tree)


@pytest.mark.parametrize("name", ["dmf_busc", "dmf_bus_synthetic", "folder"])
def test_a_recipe_for_other_data_changes_the_data_only(name):
  module, base = (_module(CONFIGS[0].with_name(f"{n}.py")) for n in (name, "dmf_busi"))
  assert module.VARIANTS == base.VARIANTS
  for variant in module.VARIANTS:
    config, reference = (dict(_leaves(m.get_config(variant))) for m in (module, base))
    different = {key for key, value in reference.items() if config[key] != value}
    assert different == {"name", "data.name"}
    assert config["variant"] == variant


@pytest.mark.parametrize("name", ["lgg", "isic_2018", "panda", "siim_acr"])
def test_a_recipe_says_the_defaults_of_its_data_set(name):
  config = _module(CONFIGS[0].with_name(f"multitask_{name}.py")).get_config()
  assert dict(config.data[name]) == cases.OPTIONS[name]()._asdict()


def test_the_variants_are_the_rows_of_the_papers_table():
  module = _module(CONFIGS[0].with_name("dmf_busi.py"))
  rows = set()
  for variant in module.VARIANTS:
    config = module.get_config(variant)
    name = config.weighting.name
    kind = "fixed" if name == "fixed" else config.weighting.options.dynamic_memory_fusion.statistic
    rows.add((kind, config.auxiliary.name))
  statistics = ("variance", "mad", "bayesian")
  auxiliaries = ("tversky", "focal", "class_balanced_dice", "none")
  assert rows == {(s, a) for s in statistics for a in auxiliaries} | {("fixed", "none")}
  assert len(module.VARIANTS) == PAPER_ROWS


def test_the_options_of_methods_in_the_recipe_are_the_defaults_of_their_factories():
  config = _module(CONFIGS[0].with_name("dmf_busi.py")).get_config()
  inner = {"optimizer": "adam", "learning_rate": 0.025}
  for name, options in config.weighting.options.items():
    parameters = inspect.signature(getattr(weighting, name)).parameters
    for option, value in options.items():
      if option in inner and "optimizer" in parameters:
        assert value == inner[option]
      else:
        assert parameters[option].default == value, (name, option)
    config.weighting.name = name
    recipe_weighting.make_weighting(config, 14)


def test_a_former_name_of_a_method_still_works():
  config = _module(CONFIGS[0].with_name("dmf_busi.py")).get_config()
  config.weighting.name = "config"
  assert recipe_weighting.make_weighting(config, 14).needs_gram


def test_variances_of_the_glands_are_learned_as_the_network_is():
  config = _module(CONFIGS[0].with_name("glands.py")).get_config()
  method = recipe_weighting.make_weighting(config, 14)
  values = {name: jnp.float32(2.0 + n) for n, name in enumerate(config.losses)}
  weights, state = method.update(values, method.init(values))
  assert {float(weight) for weight in weights.values()} == {1.0}
  weights, _ = method.update(values, state)
  for name, loss in values.items():  # of L / σ² + log σ², by SGD at a rate of 0.01
    assert float(weights[name]) == pytest.approx(np.exp(-0.01 * (loss - 1)), rel=1e-6)


@pytest.mark.parametrize(
  ("option", "value", "said"),
  [
    ("optimizer", "adamw", "uncertainty.optimizer 'adamw': choose from adam, sgd"),
    ("learning_rate", 0.0, "uncertainty.learning_rate must be positive, not 0.0"),
  ],
)
def test_a_wrong_optimiser_of_a_weighting_is_named(option, value, said):
  config = _module(CONFIGS[0].with_name("glands.py")).get_config()
  config.weighting.options.uncertainty[option] = value
  with pytest.raises(UserError, match=re.escape(said)):
    recipe_weighting.make_weighting(config, 14)


def test_the_options_of_losses_in_the_recipe_are_the_defaults_of_the_losses():
  config = _module(CONFIGS[0].with_name("dmf_busi.py")).get_config()
  config.auxiliary.name = "none"
  for name, options in config.loss_options.items():
    parameters = inspect.signature(loss_table.LOSSES[name].function).parameters
    for option, value in options.items():
      if (option, value) != ("class_weights", ()):  # the data set decides
        assert parameters[option].default == value, (name, option)
  for name, loss in loss_table.LOSSES.items():
    config.losses = (name,)
    config.model.heads = (loss.head,)
    config.model.embedding, config.model.num_textures = 8, 3
    weights = {name: jnp.ones(2)}
    if loss.head == "detection":
      continue  # of a network that this recipe has not
    recipe = recipe_losses.read(config)._replace(has_findings=loss.reads == "findings")
    assert recipe_losses.make_losses(recipe, 2, 2, weights)[name].func is loss.function


def test_class_weights_that_a_recipe_leaves_open_come_from_the_training_set():
  config = _module(CONFIGS[0].with_name("dmf_busi.py")).get_config("fixed")
  masks = np.repeat(np.array([0, 1], np.uint8), [300, 100]).reshape(1, 20, 20)
  labels = np.array([2, 0, 1])
  counts = {"segmentation": lambda: np.array([300, 100]), "classification": lambda: labels}
  assert recipe_losses.open_class_weights(recipe_losses.read(config), counts, config.losses) == {}
  name = "weighted_cross_entropy"
  found = recipe_losses.open_class_weights(recipe_losses.read(config), counts, [name])
  weights = found[name]
  np.testing.assert_allclose(weights, [200 / 300, 2.0], rtol=1e-6)
  config.losses = (name,)
  loss = recipe_losses.make_losses(recipe_losses.read(config), 2, 1, found)[name]
  logits = jax.random.normal(jax.random.key(0), (1, 20, 20, 2))
  targets = jax.nn.one_hot(masks, 2)
  expected = -(jax.nn.log_softmax(logits) * targets * weights).sum(-1).mean((1, 2))
  np.testing.assert_allclose(loss(logits, targets), expected, rtol=1e-5)
  names = ["classification_weighted_cross_entropy"]
  with pytest.raises(UserError, match="classification_weighted_cross_entropy: counts"):
    recipe_losses.open_class_weights(recipe_losses.read(config), counts, names)
  counts["classification"] = lambda: np.array([3, 1])
  found = recipe_losses.open_class_weights(recipe_losses.read(config), counts, names)
  np.testing.assert_allclose(found[names[0]], [4 / 6, 4 / 2], rtol=1e-6)
