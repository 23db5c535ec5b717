"""The section `config.weighting`: a method, its cadence, combinators, and the auxiliary loss."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting
from mlseg.errors import UserError
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


def _symlog_min_max(history):
  scaled = np.log1p(history)
  return (scaled - scaled.min(0)) / (scaled.max(0) - scaled.min(0))


def _softmax(scores):
  return np.exp(scores) / np.exp(scores).sum()


def _average(epochs):
  return 3 * _softmax(epochs[-1] / epochs[-2] / 2.0)


def _variation(epochs):
  ratios = [np.ones(3)] + [epochs[n] / epochs[:n].mean(0) for n in range(1, len(epochs))]
  coefficient = np.std(ratios, axis=0) / np.mean(ratios, axis=0)
  return coefficient / coefficient.sum()


def _fusion(epochs):
  variance = _symlog_min_max(epochs).var(0)
  return variance / variance.sum()


def _learned(epochs):
  logs = np.zeros(3)  # of σ²: the loss L / (2 σ²) + log σ, descended at a rate of 0.5 per epoch
  for losses in epochs:
    logs -= 0.5 * (0.5 - 0.5 * np.exp(-logs) * losses)
  return 0.5 * np.exp(-logs)


# By method: settings, and the paper's weights of an epoch from the mean losses of those before it.
PAPERS = {
  "dynamic_weight_average": ([], _average),
  "coefficient_of_variation": ([], _variation),
  "softadapt": (["window=2", "beta=0.5"], lambda epochs: _softmax(0.5 * (epochs[-1] - epochs[-2]))),
  "geometric": ([], lambda epochs: epochs[-1].prod() ** (1 / 3) / (3 * epochs[-1])),
  "soft_optimal_uncertainty": ([], lambda epochs: _softmax(1 / epochs[-1])),
  "dynamic_memory_fusion": (["capacity=9", "min_history=2"], _fusion),
  "uncertainty": (["optimizer=sgd", "learning_rate=0.5"], _learned),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_weights_of_an_epoch_are_the_papers_from_the_epochs_before_it(name):
  options, formula = PAPERS[name]
  config = _config(
    "auxiliary.name=none",
    f"weighting.name={name}",
    "weighting.per_epoch=True",
    *(f"weighting.options.{name}.{option}" for option in options),
  )
  rng, steps, epochs = np.random.default_rng(0), 3, 6
  recorded = rng.gamma(4.0, 0.2, [epochs, steps, 3]) * np.linspace(1, 0.4, epochs)[:, None, None]
  means, method = recorded.mean(1), make_weighting(config, steps)
  state, update = method.init(dict.fromkeys(NAMES, jnp.zeros(()))), jax.jit(method.update)
  for epoch in range(epochs):
    for losses in recorded[epoch]:
      given = dict(zip(NAMES, losses.astype(np.float32), strict=True))
      weights, state = update(given, state)
      if epoch >= 2:
        found = [float(weights[name]) for name in NAMES]
        np.testing.assert_allclose(found, formula(means[:epoch]), rtol=2e-4)


def test_a_prior_of_the_bayesian_statistic_is_given_by_loss():
  own = "weighting.options.dynamic_memory_fusion"
  config = _config(
    "auxiliary.name=none",
    "weighting.name=dynamic_memory_fusion",
    f"{own}.statistic=bayesian",
    f"{own}.prior=(6.0,3.0,1.0)",
  )
  np.testing.assert_allclose(_run(make_weighting(config, 3), count=1), [[0.6, 0.3, 0.1]], rtol=1e-6)
  config.weighting.options.dynamic_memory_fusion.prior = (1.0, 2.0)
  with pytest.raises(UserError, match=r"dynamic_memory_fusion\.prior must have one weight per"):
    make_weighting(config, 3)
