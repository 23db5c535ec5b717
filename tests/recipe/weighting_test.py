"""The section `config.weighting`: a method, its cadence, combinators, and the auxiliary loss."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting
from mlseg.recipe import parse
from mlseg.recipe.weighting import make_weighting

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"
NAMES = ("cross_entropy", "soft_iou", "soft_dice")


def _config(*settings):
  flags = [f"--config.{setting}" for setting in settings]
  return parse.parse(["", f"--config={SMOKE}", "--config.weighting.name=softadapt", *flags])[0]


def _run(method, names=NAMES, count=20):
  """Returns the weights of each step under losses that fall at different rates."""
  state, found = method.init(dict.fromkeys(names, jnp.zeros(()))), []
  update = jax.jit(method.update)
  for step in range(count):
    values = {name: jnp.float32(2.0 / (1 + step * (n + 1))) for n, name in enumerate(names)}
    weights, state = update(values, state)
    found.append([float(weights[name]) for name in names])
  return np.array(found)


@pytest.mark.parametrize(
  ("settings", "wanted"),
  [
    ((), lambda method: method),
    (("per_epoch=True",), lambda method: weighting.per_epoch(method, 3)),
    (("every=2",), lambda method: weighting.every(method, 2)),
    (("warm_up=3",), lambda method: weighting.warm_up(method, 3)),
    (
      ("every=2", "warm_up=3"),
      lambda method: weighting.warm_up(weighting.every(method, 2), 3),
    ),
    (
      ("prior=(5.0,1.0,2.0)",),
      lambda method: weighting.chain(
        method, weighting.with_prior(dict(zip(NAMES, (5.0, 1.0, 2.0), strict=True)))
      ),
    ),
    (
      ("ema=0.5", "lower=0.2", "upper=0.6", "rescale=first_loss"),
      lambda method: weighting.chain(
        method, weighting.ema(0.5), weighting.bounded(0.2, 0.6), weighting.rescale("first_loss")
      ),
    ),
  ],
)
def test_a_recipe_makes_what_the_library_composes(settings, wanted):
  config = _config("auxiliary.name=none", *(f"weighting.{setting}" for setting in settings))
  options = dict(config.weighting.options.softadapt)
  expected = _run(wanted(weighting.softadapt(**options)))
  np.testing.assert_array_equal(_run(make_weighting(config, 3)), expected)
  assert np.ptp(expected, axis=0).max() > 1e-3  # the weights do move


def test_the_auxiliary_loss_fades_beside_the_others():
  extra = "auxiliary.initial=4.0", "auxiliary.decay=0.5", "auxiliary.decay_every=2"
  config = _config("auxiliary.name=focal", *extra)
  found = _run(make_weighting(config, 3), (*NAMES, "focal"))
  alone = _run(make_weighting(_config("auxiliary.name=none"), 3))
  np.testing.assert_array_equal(found[:, :3], alone)
  assert found[0, 3] == 4.0
  assert (np.diff(found[:, 3]) <= 0).all()
  assert found[-1, 3] < found[0, 3]


def test_fixed_weights_are_those_of_their_losses():
  config = _config("weighting.name=fixed", "weighting.fixed=(3.0,2.0,1.0)", "auxiliary.name=none")
  np.testing.assert_array_equal(_run(make_weighting(config, 3), count=2), [[3, 2, 1]] * 2)
