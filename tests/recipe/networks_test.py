"""The section `config.model`: which heads a network has, and for which data it is."""

import ast
import pathlib
import re

import pytest

from mlseg.errors import UserError
from mlseg.models.encoders.encoder import NAMES
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe.networks import has_head

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "response_ct.py"
MULTITASK = CONFIG.with_name("multitask_busi.py")


@pytest.mark.parametrize("variant", ["classification", "without_contrastive", "without_texture"])
def test_variants_leave_out_what_no_loss_reads(variant):
  config, _ = parse.parse(["", f"--config={CONFIG}:{variant}"])
  names = recipe_losses.loss_names(config)
  heads = {
    "segmentation": "soft_dice", "texture": "texture_cross_entropy",
    "embedding": ("supervised_contrastive", "triplet_hard"),
  }  # fmt: skip
  for head, losses in heads.items():
    reads = any(name in losses for name in names)
    assert has_head(config.model, head) == reads


@pytest.mark.parametrize(
  ("variant", "options", "message"),
  [
    ("joint+mobilenet_v2", {"deep_supervision": 5}, "must be below the 5 levels of the decoder"),
    ("attention_unet", {"deep_supervision": 4}, "must be below the 4 levels of the decoder"),
    ("heads", {"dropout": 0.1}, "a network without the head of segmentation has not"),
    ("heads", {"deep_supervision": 1}, "a network without the head of segmentation has not"),
  ],
)
def test_what_a_decoder_cannot_have_is_named(variant, options, message):
  recipe = f"{MULTITASK}:{'joint+mobilenet_v2' if variant == 'heads' else variant}"
  content = parse.content(["", f"--config={recipe}"])
  content["model"] |= options
  if variant == "heads":
    content["model"]["heads"] = ("classification",)
    content["losses"], content["weighting"]["fixed"] = ("classification_cross_entropy",), ()
    content["selection"] = "accuracy"
  with pytest.raises(UserError, match=message):
    experiment.read(content)


def test_a_network_with_dropout_draws_numbers():
  content = parse.content(["", f"--config={MULTITASK}:joint+mobilenet_v2"])
  assert not experiment.read(content).network.is_random
  content["model"] |= {"dropout": 0.1, "deep_supervision": 4}
  assert experiment.read(content).network.is_random


@pytest.mark.parametrize(
  ("recipe", "dilations", "message"),
  [
    ("dmf_busi", (1, 2, 4), None),
    ("dmf_busi", (1, 8), "must be below 8, the side in pixels of the coarsest activations"),
    ("glands", (1, 2, 4, 8), None),
    ("glands", (16,), "must be below 16, the side"),  # 250, 125, 63, 32, 16
    ("multitask_busi", (1, 2), None),
    ("multitask_busi", (4,), "must be below 4, the side"),
    ("multitask_busi:classification+vgg16", (1,), "must be () with 'classifier', not (1,)"),
    ("multitask_busi:mask_rcnn+vgg16", (1,), "must be () with 'mask_rcnn', not (1,)"),
    ("response_ct", (1,), "must be () with 'slice_attention', not (1,)"),
  ],
)
def test_dilations_are_below_the_side_of_the_bottleneck_of_networks_that_have_one(
  recipe, dilations, message
):
  file, _, variant = recipe.partition(":")
  path = f"{CONFIG.with_name(file)}.py{':' if variant else ''}{variant}"
  flags = [f"--config.model.bottleneck_dilations={dilations}"]
  content = parse.content(["", f"--config={path}", *flags])
  if message is None:
    experiment.read(content)
    return
  with pytest.raises(UserError, match=re.escape(message)) as caught:
    experiment.read(content)
  assert "config.model.bottleneck_dilations" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["joint", "classification", "mask_rcnn"])
def test_a_recipe_names_any_encoder(name, task):
  flags = [f"--config.model.encoder={name}", "--config.model.convention=auto"]
  config, _ = parse.parse(["", f"--config={MULTITASK}:{task}+mobilenet_v2", *flags])
  assert experiment.read(config).network.name == config.model.name


@pytest.mark.parametrize(
  ("source", "message"),
  [
    ("imagenet", r"ImageNet weights of efficientnet_lite1: the package .* is not installed"),
    ("nowhere/w.pth", r"config.model.pretrained: there is no file nowhere/w.pth"),
    ("none", None),
  ],
)
def test_weights_that_are_missing_are_named_before_the_data(monkeypatch, source, message):
  monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
  flags = ["encoder=efficientnet_lite1", "convention=auto", f"pretrained={source}"]
  flags = [f"--config.model.{flag}" for flag in flags]
  config, _ = parse.parse(["", f"--config={MULTITASK}", *flags])
  network = experiment.read(config).network  # a recipe can be read where the weights are not
  if message is None:
    network.check_pretrained()
  else:
    with pytest.raises(UserError, match=message):
      network.check_pretrained()


def _with_covariates(names, variant="all"):
  flags = [f"--config.model.covariates={names}"]
  return experiment.read(parse.content(["", f"--config={CONFIG}:{variant}", *flags]))


def test_covariates_are_columns_that_network_and_data_know():
  recipe = _with_covariates("('age','volume_ml')")
  assert recipe.network.covariates == recipe.losses.targets.covariates == ("age", "volume_ml")
  assert _with_covariates("()").network.covariates == ()


def test_a_run_from_before_there_were_covariates_reads_none():
  content = parse.content(["", f"--config={CONFIG}"])
  del content["model"]["covariates"]
  _, network, _ = experiment.read_network(content)
  assert network.covariates == ()


@pytest.mark.parametrize(
  ("names", "message"),
  [
    ("'age'", "config.model.covariates must be a tuple of 0 or more entries, each a text"),
    ("(1,)", "config.model.covariates[0] must be a text, not 1"),
    ("('age','')", "config.model.covariates[1] must not be empty"),
    ("('age','age')", "config.model.covariates: the names must differ, not ('age', 'age')"),
  ],
)
def test_names_of_covariates_are_texts_that_differ(names, message):
  content = parse.content(["", f"--config={CONFIG}"])
  content["model"]["covariates"] = ast.literal_eval(names)
  with pytest.raises(UserError, match=re.escape(message)):
    experiment.read(content)


def test_covariates_need_the_head_of_classification():
  content = parse.content(["", f"--config={CONFIG}"])
  content["model"] |= {"covariates": ("age",), "heads": ("segmentation",)}
  content |= {"losses": ("soft_dice",), "selection": "dice"}
  content["weighting"] |= {"name": "fixed", "fixed": (1.0,), "per_epoch": False}
  message = "config.model.covariates must be () without the head of classification, which reads"
  with pytest.raises(UserError, match=re.escape(message)):
    experiment.read(content)


def test_other_networks_read_no_covariates():
  content = parse.content(["", f"--config={MULTITASK}"])
  content["model"]["covariates"] = ("age",)
  message = "config.model.covariates is of slice_attention, and must be () with 'multitask_unet'"
  with pytest.raises(UserError, match=re.escape(message)):
    experiment.read(content)
