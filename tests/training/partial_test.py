"""Training on cases that lack a mask or a diagnosis."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.console import Reporter
from mlseg.data import padding, partial
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.losses import reduction
from mlseg.models import Outputs
from mlseg.recipe import split as recipe_split
from mlseg.recipe.loss_table import LOSSES
from mlseg.training import batches, case_counts, feed, objective, train
from mlseg.training import step as train_step
from mlseg.weighting import fixed
from tests.training import made

NAMES = ("soft_dice", "classification_cross_entropy")
FUNCTIONS = {name: LOSSES[name].function for name in NAMES}


def _batch(no_mask, no_label):
  rng = np.random.default_rng(0)
  masks, labels = partial.without(
    jnp.asarray(rng.integers(0, 2, (4, 6, 6)), jnp.uint8),
    jnp.arange(4, dtype=jnp.int32) % 2,
    jnp.asarray(no_mask),
    jnp.asarray(no_label),
  )
  images = jnp.asarray(rng.random((4, 6, 6, 1)), jnp.float32)
  return batches.Batch(images, masks, labels, valid=padding.counted(masks))


def _losses(batch):
  rng = np.random.default_rng(1)
  outputs = Outputs(
    logits=jnp.asarray(rng.normal(size=(4, 6, 6, 2)), jnp.float32),
    class_logits=jnp.asarray(rng.normal(size=(4, 2)), jnp.float32),
  )
  found = objective.per_example(FUNCTIONS, outputs, batch, 2)
  return {
    name: reduction.reduce(value, objective._counted(name, batch, True))
    for name, value in found.items()
  }, found


def test_a_loss_is_the_mean_over_the_cases_that_have_what_it_reads():
  batch = _batch([True, False, False, True], [False, True, False, False])
  means, each = _losses(batch)
  np.testing.assert_allclose(means["soft_dice"], each["soft_dice"][jnp.array([1, 2])].mean(), 1e-6)
  own = each["classification_cross_entropy"][jnp.array([0, 2, 3])].mean()
  np.testing.assert_allclose(means["classification_cross_entropy"], own, 1e-6)
  assert jax.tree.map(bool, objective.present(NAMES, batch)) == dict.fromkeys(NAMES, True)


def test_a_batch_without_any_mask_has_no_loss_of_pixels():
  batch = _batch([True] * 4, [False] * 4)
  present = objective.present(NAMES, batch)
  assert jax.tree.map(bool, present) == {NAMES[0]: False, NAMES[1]: True}
  assert float(_losses(batch)[0]["soft_dice"]) == 0


def test_a_step_trains_what_is_there_and_logs_nothing_for_the_rest():
  def loss_fn(params, state, batch):
    error = params["w"] - batch["target"]
    return {"a": error[0] ** 2, "b": error[1] ** 2}, state

  optimizer = optax.sgd(0.5)
  variables = {"params": {"w": jnp.zeros(2)}}
  state = train_step.init_state(jax.random.key(0), variables, optimizer, fixed(), ("a", "b"))
  step = train_step.make_step(
    loss_fn, optimizer, fixed(), present=lambda batch: {"a": batch["a"], "b": jnp.bool(True)}
  )
  batch = {"target": jnp.ones(2), "a": jnp.bool(False)}
  state, log = jax.jit(step)(state, batch)
  np.testing.assert_array_equal(state.variables["params"]["w"], [0.0, 1.0])
  assert np.isnan(log.losses["a"])
  assert float(log.weights["a"]) == 0
  run = train_step.make_run(step, lambda data, key, number: {**batch, "a": number % 2 == 0})
  _, log = jax.jit(run)(state._replace(step=jnp.int32(0)), None, jnp.int32(3))
  assert np.isfinite(log.losses["a"])


@pytest.mark.parametrize("placement", ["device", "host"])
def test_what_is_hidden_is_not_in_any_batch(placement):
  cases = made.make_cases(30)
  recipe = made.make_experiment("log_every=3")
  data = recipe.data._replace(hide_masks=0.4, hide_diagnoses=0.3, placement=placement)
  recipe = recipe._replace(data=data)
  splits = [Split(np.arange(first, first + 20), np.arange(2), np.arange(2)) for first in (0, 5)]
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  states = jax.random.split(jax.random.key(2), 2)
  source = feed.make_feed(recipe, cases, splits, states, mesh)
  shown = {0: [], 1: []}
  for step in range(0, 5, 1 if placement == "device" else 3):
    got = source.batches(step)
    for n, split in enumerate(splits):
      hidden = recipe_split.hidden_of(data, cases, split.train)
      if placement == "host":
        own = jax.tree.map(lambda leaf, n=n: leaf[n], got.batches)
        shown[n] += [jax.tree.map(lambda leaf, s=s: leaf[s], own) for s in range(min(3, 5 - step))]
      else:
        own = got._replace(train=np.int32(split.train), hidden=hidden)
        at = batches.make_batch_at(recipe, has_unlabelled=True)
        with jax.set_mesh(mesh):
          shown[n].append(at(own, jax.random.split(states[n])[0], jnp.int32(step)))
  for n, split in enumerate(splits):
    no_mask = sum(int((~partial.has_mask(batch.masks)).sum()) for batch in shown[n])
    no_label = sum(int((~partial.has_label(batch.labels)).sum()) for batch in shown[n])
    assert (no_mask, no_label) == (8, 6), split.train


def test_the_console_says_how_many_lack_something():
  cases = made.make_cases()
  split = Split(np.arange(12), np.arange(12, 18), np.arange(18, 24))
  hidden = partial.hide(split.train, 24, 0.5, 0.25)
  assert case_counts.lines(cases, split, hidden)[-1].strip() == (
    "training cases without a mask: 6; without a diagnosis: 3"
  )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dynamic_memory_fusion", "pcgrad"])
def test_a_run_with_hidden_labels_is_the_same_from_the_device_and_the_host(
  tmp_path, made_cases, method
):
  found = []
  for placement in ("device", "host"):
    experiment = made.make_experiment(
      "losses=('cross_entropy', 'soft_dice')",
      "auxiliary.name=none",
      f"weighting.name={method}",
      f"data.placement={placement}",
      "log_every=2",
      keys={"data.hide_masks": 0.6, "data.hide_diagnoses": 0.3},
    )
    train.train(experiment, tmp_path / placement, Reporter(quiet=True))
    lines = (tmp_path / placement / "metrics.jsonl").read_text().splitlines()
    found.append([json.loads(line) for line in lines])
  keys = [name for name in found[0][0] if "loss" in name or "weight" in name]
  assert keys
  for one, other in zip(*found, strict=True):
    for key in keys:
      assert one.get(key) == pytest.approx(other.get(key), rel=1e-5)
