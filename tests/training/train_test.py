"""Trainings of a toy: what decides their numbers, and how often they wait or trace."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.console import Reporter
from mlseg.errors import UserError
from mlseg.recipe import split as recipe_split
from mlseg.training import train
from tests.training import made

pytestmark = pytest.mark.usefixtures("no_figures", "made_cases")


def _train(experiment, workdir):
  train.train(experiment, workdir, Reporter(quiet=True))
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_class_that_a_later_seed_never_sees_is_named_before_anything_is_written(
  tmp_path, monkeypatch, made_cases
):
  make_split = recipe_split.make_split
  blank = np.arange(8)
  made_cases.masks[blank] = 0

  def split(recipe, batch_size, cases, duplicates, seed):
    found = make_split(recipe, batch_size, cases, duplicates, seed)
    return found._replace(train=np.resize(blank, len(found.train))) if seed == 1 else found

  monkeypatch.setattr(recipe_split, "make_split", split)
  experiment = made.make_experiment("num_seeds=2", "losses=('weighted_cross_entropy',)")
  with pytest.raises(UserError, match="weighted_cross_entropy: counts"):
    _train(experiment, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_folder_of_another_recipe_is_refused_untouched(tmp_path):
  _train(made.make_experiment(), tmp_path)
  before = (tmp_path / "config.json").read_text()
  with pytest.raises(UserError, match="belongs to another config"):
    _train(made.make_experiment("num_epochs=3"), tmp_path)
  assert (tmp_path / "config.json").read_text() == before


def test_the_boundary_loss_trains_on_prepared_maps_in_parts_of_a_batch(tmp_path):
  experiment = made.make_experiment(
    "num_epochs=6",
    "num_microbatches=2",
    "losses=('soft_dice', 'boundary')",
    "auxiliary.name=none",
    "weighting.name=fixed",
    "weighting.fixed=(1.0, 0.1)",
    "augmentation.flip_vertical=0.5",
  )
  assert experiment.losses.targets.distances
  records = _train(experiment, tmp_path)
  assert records[-1]["nonfinite"] == 0
  for name in ("soft_dice", "boundary"):
    assert records[-1]["losses"][name] < records[0]["losses"][name]


@pytest.mark.slow
@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_a_method_that_compares_gradients_trains_in_parts_of_a_batch(tmp_path, gram_at):
  experiment = made.make_experiment(
    "log_every=1",
    "num_microbatches=2",
    "weighting.name=cagrad",
    f"weighting.gram_at={gram_at}",
    "weighting.every=2",
    "weighting.warm_up=3",
    "weighting.prior=(5.0, 1.0, 1.0)",
  )
  records = _train(experiment, tmp_path)
  assert records[-1]["nonfinite"] == 0
  ratios = [record["weights"]["soft_dice"] / record["weights"]["soft_iou"] for record in records]
  assert ratios[0] == pytest.approx(1.0)
  assert ratios[-1] != pytest.approx(1.0, rel=1e-3)


def test_the_host_waits_once_per_log_step(tmp_path, monkeypatch):
  array = type(jnp.ones(()))
  waits = []
  inside = []
  get = jax.device_get

  def device_get(tree):
    waits.append("device_get")
    inside.append(1)
    try:
      return get(tree)
    finally:
      inside.pop()

  def counted(name, original):
    def wait(self, *args, **kwargs):
      if not inside:
        waits.append(name)
      return original(self, *args, **kwargs)

    return wait

  monkeypatch.setattr(jax, "device_get", device_get)
  for name in ("__array__", "__float__", "__int__", "__bool__", "__index__", "block_until_ready"):
    monkeypatch.setattr(array, name, counted(name, getattr(array, name)))
  counts, logged = {}, {}
  for epochs in (1, 3):
    waits.clear()
    experiment = made.make_experiment(f"num_epochs={epochs}", "log_every=2")
    logged[epochs] = len(_train(experiment, tmp_path / str(epochs)))
    counts[epochs] = len(waits)
  assert 0 < counts[3] - counts[1] <= logged[3] - logged[1]


def test_nothing_is_traced_again_while_training(tmp_path):
  counts = {}
  for epochs in (1, 3):
    experiment, traces = made.make_experiment(f"num_epochs={epochs}"), []

    def make(num_classes, num_labels, traces=traces):
      model = made.linear(num_classes)
      return model._replace(apply=lambda *args: traces.append(args) or model.apply(*args))

    network = experiment.network._replace(make=make)
    _train(experiment._replace(network=network), tmp_path / str(epochs))
    counts[epochs] = len(traces)
  assert counts[3] == counts[1] > 0
