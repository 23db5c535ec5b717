"""What a recipe says of prediction is checked before the data are read."""

import pathlib
import re

import pytest

from mlseg.errors import UserError
from mlseg.recipe import experiment, parse, prediction

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SMOKE, BUSI = "smoke.py", "multitask_busi.py"
SHARED = "--config.data.resplit=False", "--config.num_seeds=2"


def _read(recipe, *flags, **keys):
  content = parse.content(["", f"--config={CONFIGS / recipe}", *flags])
  content["prediction"] |= keys
  return experiment.read(content)


def test_an_older_recipe_predicts_as_before():
  found = _read(SMOKE)
  assert found.prediction == prediction.PredictionRecipe("one", False, "argmax", "all")
  assert not found.prediction.chooses
  assert found.content["prediction"] == found.prediction._asdict()


def test_a_recipe_that_asks_for_all_is_read():
  keys = {
    "views": "flips", "ensemble": True, "threshold": "validation", "components": "validation"
  }  # fmt: skip
  found = _read(SMOKE, *SHARED, **keys)
  assert found.prediction == prediction.PredictionRecipe(**keys)
  assert found.prediction.chooses
  assert found.common != _read(SMOKE, *SHARED).common


WRONG = [
  (SMOKE, (), {"views": "all"}, "unknown config.prediction.views 'all': choose from flips, horiz"),
  (SMOKE, (), {"ensemble": 1}, "config.prediction.ensemble must be True or False, not 1"),
  (SMOKE, (), {"threshold": 0.5}, "config.prediction.threshold must be one of argmax, validation"),
  (SMOKE, (), {"component": "all"}, 'prediction.component\'. Did you mean "prediction.components"'),
  (
    SMOKE, SHARED[:1], {"ensemble": True},
    "config.num_seeds must be at least 2 with config.prediction.ensemble, not 1",
  ),
  (
    SMOKE, SHARED[1:], {"ensemble": True},
    "config.data.resplit must be False with config.prediction.ensemble: one split of all seeds, not"
    " True",
  ),
  (
    SMOKE, (*SHARED, "--config.data.num_folds=3"), {"ensemble": True},
    "config.data.fold must be a fold with config.prediction.ensemble: one split of all seeds, not"
    " -1",
  ),
  (
    f"{BUSI}:mask_rcnn+mobilenet_v2", (), {"views": "horizontal"},
    "config.prediction.views must be 'one' for mask_rcnn, whose objects are found in one view, not"
    " 'horizontal'",
  ),
  (
    f"{BUSI}:classification+mobilenet_v2", (), {"threshold": "validation"},
    "config.prediction.threshold 'validation' needs a network with masks, which config.model"
    " (classifier) has not",
  ),
  (
    "response_ct.py", (), {"views": "flips"},
    "config.prediction.views must be 'one' or 'horizontal' for volumes, whose slices lie one below"
    " the other, not 'flips'",
  ),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "flags", "keys", "message"), WRONG)
def test_a_mistake_is_found_without_the_data(recipe, flags, keys, message, monkeypatch):
  monkeypatch.setattr("mlseg.data.cases.load", None)  # a call would fail otherwise
  with pytest.raises(UserError, match=re.escape(message)):
    _read(recipe, *flags, **keys)


def test_what_fits_is_accepted():
  assert _read("response_ct.py", views="horizontal").prediction.views == "horizontal"
  assert _read(f"{BUSI}:classification+mobilenet_v2", views="flips").prediction.views == "flips"
  assert _read(f"{BUSI}:mask_rcnn+mobilenet_v2", components="validation").prediction.chooses
  fold = "--config.data.num_folds=3", "--config.data.fold=1"
  assert _read(SMOKE, *SHARED, *fold, ensemble=True).prediction.ensemble


def test_a_threshold_of_several_classes_is_refused():
  recipe = prediction.PredictionRecipe(threshold="validation")
  prediction.check_classes(recipe, 2)
  prediction.check_classes(prediction.PredictionRecipe(components="validation"), 3)
  with pytest.raises(UserError, match=r"threshold 'validation' needs masks of two classes, not 3"):
    prediction.check_classes(recipe, 3)
