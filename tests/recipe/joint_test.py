"""Recipes in one program: what they share, and the numbers in which their models differ."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.recipe import experiment, parse
from mlseg.recipe.joint import join

DMF = pathlib.Path(__file__).parents[2] / "configs" / "dmf_busi.py"


def _read(variant, *flags):
  return experiment.read(parse.content(["", f"--config={DMF}:{variant}", *flags]))


@pytest.mark.parametrize(
  ("flags", "same"),
  [
    (["--config.optimizer.learning_rate=0.01"], True),
    (["--config.losses=('focal',)", "--config.weighting.fixed=(1.0,)"], True),
    (["--config.auxiliary.name=tversky"], True),
    (["--config.batch_size=16"], False),
    (["--config.seed=1"], False),
    (["--config.model.filters=8"], False),
    (["--config.weighting.name=cagrad"], False),  # it needs a Gram matrix, and the others none
    (["--config.weighting.gram_at=params"], False),
  ],
)
def test_recipes_share_a_program_where_only_losses_weights_and_rate_differ(flags, same):
  assert (_read("fixed").common == _read("fixed", *flags).common) == same


def test_the_weighting_of_each_recipe_sees_its_own_losses():
  rate = "--config.optimizer.learning_rate=0.01"
  recipes = [
    _read("fixed", "--config.weighting.fixed=(1.0, 2.0, 3.0)"),
    _read("fixed", "--config.losses=('focal',)", "--config.weighting.fixed=(4.0,)", rate),
    _read("mad+tversky"),
    _read("mad+tversky", "--config.auxiliary.initial=2.5"),
  ]
  joint = join(recipes, 14, 280)
  names = ["cross_entropy", "soft_iou", "soft_dice", "focal", "tversky"]
  assert joint.loss_names == names
  np.testing.assert_array_equal(joint.extra["method"], [0, 1, 2, 2])
  np.testing.assert_allclose(joint.extra["learning_rate"], [0.001, 0.01, 0.001, 0.001])
  losses = {name: jnp.float32(1.0) for name in names}
  state = joint.weighting.init(losses)
  expected = [(1, 2, 3, 0, 0), (0, 0, 0, 4, 0), None, None]
  for index, row in enumerate(expected):
    extra = {name: values[index] for name, values in joint.extra.items()}
    weights, _ = joint.weighting.update(losses, state, **extra)
    found = [float(weights[name]) for name in names]
    if row:
      assert found == list(row)
    else:
      assert found[4] == recipes[index].weighting.auxiliary[0]
      assert found[3] == 0


def test_a_single_recipe_has_no_extra_arguments():
  joint = join([_read("fixed")], 14, 280)
  assert joint.extra == {}
