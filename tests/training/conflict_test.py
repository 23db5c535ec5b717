"""The cosines that are measured while a model trains, against the gradients of each loss."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.console import Reporter
from mlseg.training import conflict, train
from mlseg.training import step as train_step
from mlseg.weighting import LossWeighting, fixed
from tests.training import made
from tests.training.records import read_records

NAMES = ("l2", "l1", "bias")  # not in the order of their names


def _loss_fn(params, model_state, batch):
  error = batch["x"] @ params["w"] - batch["y"]
  bias = (params["bias"] - 1.0) ** 2 + 0.0 * error.sum()  # a parameter that no other loss reads
  return {"l2": (error**2).mean(), "l1": jnp.abs(error).mean(), "bias": bias}, model_state


def _batch():
  rng = np.random.default_rng(0)
  return {name: jnp.asarray(rng.normal(size=size)) for name, size in (("x", (8, 3)), ("y", 8))}


def _state(w=(1.0, -2.0, 0.5)):
  variables = {"params": {"w": jnp.array(w), "bias": jnp.float32(0.0)}}
  return train_step.init_state(jax.random.key(0), variables, optax.sgd(0.1), fixed(), NAMES)


@pytest.mark.parametrize("parts", [1, 4])
def test_cosines_are_those_of_the_gradients_of_the_whole_batch(parts):
  state, batch = _state(), _batch()
  rows = []
  for name in sorted(NAMES):
    gradients = jax.grad(lambda p, n=name: _loss_fn(p, {}, batch)[0][n])(state.variables["params"])
    rows.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)]))
  units = np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
  found = jax.jit(conflict.make_cosines(_loss_fn, parts))(state, batch)
  np.testing.assert_allclose(found, units @ units.T, atol=1e-6)
  assert found[0, 1] == 0  # of losses without a common parameter
  assert found[1, 2] > 0.5


def test_an_absent_loss_and_a_gradient_that_is_not_finite_have_no_cosines():
  there = {name: jnp.bool(name != "l1") for name in NAMES}
  found = conflict.make_cosines(_loss_fn, present=lambda batch: there)(_state(), _batch())
  np.testing.assert_array_equal(np.isnan(found), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
  found = conflict.make_cosines(_loss_fn)(_state((np.inf, 0.0, 0.0)), _batch())
  np.testing.assert_array_equal(np.isnan(found), [[1, 1, 1]] * 3)


def _train(experiment, workdir):
  train.train(experiment, workdir, Reporter(quiet=True))
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("no_figures", "made_cases")
def test_the_first_line_of_an_epoch_has_the_cosines_of_its_first_step(tmp_path):
  """They are those of the gradients that the step itself compares, and change no other number."""
  seen = []

  def update(losses, state, *, gram, **_):
    jax.debug.callback(lambda g: seen.append(np.asarray(g)), gram, ordered=True)
    return jax.tree.map(jnp.ones_like, losses), state

  def make(*settings):
    experiment = made.make_experiment("num_epochs=4", "log_every=3", *settings)
    watching = LossWeighting(lambda losses: (), update, needs_gram=True)
    weighting = experiment.weighting._replace(make=lambda *_: watching, gram_at="params")
    return experiment._replace(weighting=weighting)

  plain = _train(make(), tmp_path / "plain")
  seen.clear()
  records = _train(make("cosines_every=2"), tmp_path / "measured")
  measured = {record["step"]: record.pop("cosines") for record in records if "cosines" in record}
  assert list(measured) == [3, 11]  # the first lines of epochs 1 and 3, of 4 steps each
  for record, expected in zip(records, plain, strict=True):
    assert record | {"images_per_second": 0} == expected | {"images_per_second": 0}
  jax.effects_barrier()
  names = make().losses.names
  for line, step in ((3, 0), (11, 8)):
    norms = np.sqrt(np.diag(seen[step]))
    cosines = seen[step] / norms / norms[:, None]
    order = sorted(names)
    assert len(measured[line]) == len(names) * (len(names) - 1) / 2
    for pair, value in measured[line].items():
      one, other = map(order.index, pair.split("/"))
      assert value == pytest.approx(cosines[one, other], abs=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures", "made_cases")
def test_every_strategy_and_placement_measures_what_a_model_by_itself_does(tmp_path):
  settings = "num_seeds=2", "num_epochs=2", "log_every=3", "cosines_every=1"
  found = {}
  for strategy, placement in (("loop", "device"), ("vmap", "device"), ("map", "host")):
    experiment = made.make_experiment(
      *settings, f"seeds.strategy={strategy}", f"data.placement={placement}"
    )
    _train(experiment, tmp_path / strategy)
    records = read_records(tmp_path / strategy)
    found[strategy] = {key: line["cosines"] for key, line in records.items() if "cosines" in line}
  assert found["loop"].keys() == {(seed, step) for seed in (0, 1) for step in (3, 7)}
  for strategy in ("vmap", "map"):
    assert found[strategy].keys() == found["loop"].keys()
    for key, cosines in found[strategy].items():
      assert cosines == pytest.approx(found["loop"][key], abs=1e-4)
