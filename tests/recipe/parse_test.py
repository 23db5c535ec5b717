"""The command line of a recipe."""

import pathlib

import pytest

from mlseg.errors import UserError
from mlseg.recipe import parse

SMOKE = f"--config={pathlib.Path(__file__).parents[2] / 'configs' / 'smoke.py'}"


def test_a_key_that_the_recipe_has_not_may_be_given():
  before, _ = parse.parse(["main", SMOKE])
  assert "ema" not in before.optimizer
  assert "prediction" not in before
  given = ["--config.optimizer.ema=0.9", "--config.prediction.views=flips", "--config.num_epochs=3"]
  config, workdir = parse.parse(["main", SMOKE, *given, "--workdir=here"])
  assert (config.optimizer.ema, config.prediction.views, config.num_epochs) == (0.9, "flips", 3)
  assert workdir == pathlib.Path("here")
  found, expected = config.to_dict(), before.to_dict()
  assert found.pop("prediction") == {"views": "flips"}
  del found["optimizer"]["ema"]
  assert found == expected | {"num_epochs": 3}


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ("--config.optimizer.emma=0.9", "unknown config key 'emma'"),
    ("--config.optimiser.ema=0.9", "unknown config key 'optimiser'"),
    ("--config.optimizer.ema=much", "could not convert string to float: 'much'"),
  ],
)
def test_a_key_that_no_recipe_has_and_a_wrong_value_are_refused(given, message):
  for others in ([], ["--config.prediction.views=flips"]):
    with pytest.raises(UserError, match=message):
      parse.parse(["main", SMOKE, *others, given])
