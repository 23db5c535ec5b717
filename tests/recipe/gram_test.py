"""Where a recipe's weighting compares gradients."""

import pathlib

import pytest

from mlseg.errors import UserError
from mlseg.recipe import experiment, gram, parse
from mlseg.recipe.loss_table import LOSSES

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def _read(recipe, *flags):
  flags = [f"--config.{flag}" for flag in flags]
  return experiment.read(parse.content(["", f"--config={CONFIGS / recipe}", *flags]))


@pytest.mark.parametrize(
  ("names", "place"),
  [
    (("soft_dice",), "logits"),
    (("soft_dice", "boundary", "topology"), "logits"),
    (("classification_focal", "classification_cross_entropy"), "logits"),
    (("soft_dice", "classification_cross_entropy"), "params"),
    (("supervised_contrastive", "texture_cross_entropy"), "params"),
    (("rpn_objectness", "rpn_box"), "params"),
    (("rpn_objectness",), "logits"),
  ],
)
def test_auto_takes_the_logits_where_all_losses_read_the_same(names, place):
  assert gram.place("auto", names) == place
  assert gram.place("logits", names) == "logits"
  assert gram.place("params", names) == "params"


def test_every_loss_has_an_output():
  assert len(gram.outputs_read(tuple(LOSSES))) > 5


@pytest.mark.parametrize("recipe", ["multitask_busi.py", "response_ct.py"])
@pytest.mark.parametrize("name", ["pcgrad", "mgda"])
def test_losses_of_different_heads_are_compared_at_the_parameters(recipe, name):
  assert _read(recipe, f"weighting.name={name}").weighting.gram_at == "params"


def test_losses_of_one_head_are_compared_at_the_logits():
  assert _read("dmf_busi.py", "weighting.name=pcgrad").weighting.gram_at == "logits"


@pytest.mark.parametrize("recipe", ["multitask_busi.py", "response_ct.py"])
def test_comparing_them_at_the_logits_is_refused(recipe):
  with pytest.raises(UserError, match=r"gram_at 'logits' compares .*classification.*'auto'"):
    _read(recipe, "weighting.name=pcgrad", "weighting.gram_at=logits")


def test_a_method_that_compares_nothing_may_have_any_place():
  found = _read("multitask_busi.py", "weighting.name=fixed", "weighting.gram_at=logits")
  assert found.weighting.gram_at == "logits"


def test_an_unknown_place_is_refused_in_one_line():
  with pytest.raises(UserError, match="gram_at 'features': choose from auto, logits, params"):
    _read("smoke.py", "weighting.gram_at=features")
