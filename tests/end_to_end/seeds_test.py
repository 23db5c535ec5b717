"""Models in one program: every strategy gives what a model by itself gives."""

import json

import numpy as np
import pytest

from mlseg.console import Reporter
from mlseg.devices import sharding
from mlseg.recipe import experiment, parse
from mlseg.training import train
from mlseg.training.groups import Run
from tests.end_to_end.command import SMOKE

TINY = ["--config.data.image_size=16", "--config.metrics.surface=False"]
SGD = ["--config.optimizer.name=sgd", "--config.optimizer.learning_rate=0.02"]


def _config(*overrides):
  return parse.parse(["mlseg.main", SMOKE, *TINY, *SGD, *overrides])[0]


def _records(workdir):
  """Returns the lines of a run by seed and step."""
  lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  return {(line["seed"], line["step"]): line for line in lines}


def _assert_same(actual, expected):
  """Compares two runs: the same steps of the same seeds, and their numbers."""
  assert actual.keys() == expected.keys()
  for key, line in expected.items():
    for kind in ("losses", "weights"):
      assert actual[key][kind] == pytest.approx(line[kind], rel=2e-5)
    if "validation" in line:
      assert actual[key]["validation"]["losses"] == pytest.approx(
        line["validation"]["losses"], rel=2e-5
      )
      # A pixel at the threshold may fall to the other side.
      assert actual[key]["validation"]["dice"] == pytest.approx(
        line["validation"]["dice"], abs=1e-3
      )


def test_as_many_models_at_once_as_the_memory_holds(tmp_path, monkeypatch):
  asked = []

  def fits(compiled, mesh):
    asked.append(compiled.memory_analysis().temp_size_in_bytes)
    return False

  monkeypatch.setattr(sharding, "fits", fits)
  config = _config("--config.num_seeds=3", "--config.seeds.strategy=vmap", "--config.num_epochs=1")
  train.train(experiment.read(config), tmp_path, Reporter(quiet=True))
  assert len(asked) == 2  # of 3 and 2 models; 1 must do
  assert asked[0] > asked[1]


def test_strategies_train_alike(tmp_path):
  overrides = [
    "--config.num_seeds=3",
    "--config.num_epochs=2",
    "--config.losses=('soft_dice', 'weighted_cross_entropy')",  # whose weights differ by seed
  ]
  for strategy in ("loop", "map", "vmap"):
    config = _config(*overrides, f"--config.seeds.strategy={strategy}")
    train.train(experiment.read(config), tmp_path / strategy, Reporter(quiet=True))
  expected = _records(tmp_path / "loop")
  for strategy in ("map", "vmap"):
    _assert_same(_records(tmp_path / strategy), expected)
  scores = {
    name: json.loads((tmp_path / name / "results.json").read_text())["metrics"]["dice"]["per_seed"]
    for name in ("loop", "map", "vmap")
  }
  for strategy in ("map", "vmap"):
    np.testing.assert_allclose(scores[strategy], scores["loop"], atol=1e-3)


VARIANTS = {
  "variance": [],
  "mad": [
    "--config.weighting.options.dynamic_memory_fusion.statistic=mad",
    "--config.auxiliary.name=tversky",
    "--config.auxiliary.initial=2.0",
    "--config.auxiliary.decay=0.2",
    "--config.optimizer.learning_rate=0.005",
  ],
  "fixed": ["--config.weighting.name=fixed", "--config.auxiliary.name=none"],
}


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_configs_side_by_side_train_as_each_by_itself(tmp_path, alone, strategy):
  runs = [
    Run(
      experiment.read(_config(*overrides, f"--config.seeds.strategy={strategy}")), tmp_path / name
    )
    for name, overrides in VARIANTS.items()
  ]
  train.train_together(runs, tmp_path / "checkpoints", Reporter(quiet=True))
  for name in VARIANTS:
    _assert_same(_records(tmp_path / name), alone[name])
    assert (tmp_path / name / "results.json").exists()
  # And the configs do differ.
  weights = [list(max(alone[name].items())[1]["weights"].values())[:3] for name in VARIANTS]
  assert not np.allclose(weights[0], weights[1], rtol=1e-3)
  assert weights[2] == [1.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """The lines of each variant's own run."""
  folder = tmp_path_factory.mktemp("alone")
  for name, overrides in VARIANTS.items():
    train.train(experiment.read(_config(*overrides)), folder / name, Reporter(quiet=True))
  return {name: _records(folder / name) for name in VARIANTS}


def test_data_on_the_host_give_the_same_run(tmp_path):
  overrides = [
    "--config.num_seeds=2",
    "--config.seeds.strategy=map",
    "--config.losses=('soft_dice', 'boundary')",
    "--config.weighting.name=fixed",
    "--config.weighting.fixed=(1.0, 0.1)",
    "--config.augmentation.flip_vertical=0.5",
    "--config.augmentation.contrast=0.2",
    "--config.log_every=3",
  ]
  for placement in ("device", "host"):
    config = _config(*overrides, f"--config.data.placement={placement}")
    train.train(experiment.read(config), tmp_path / placement, Reporter(quiet=True))
  device, host = (_records(tmp_path / placement) for placement in ("device", "host"))
  assert device.keys() == host.keys()
  for key, line in device.items():
    for kind in ("losses", "weights", "validation"):
      assert host[key].get(kind) == line.get(kind)


def test_each_model_stops_for_itself(tmp_path):
  shared = ["--config.seeds.strategy=map", "--config.max_nonfinite=2", "--config.num_epochs=5"]
  patient = [*shared, "--config.patience=2"]
  diverging = _config(*patient, "--config.optimizer.learning_rate=1e38")
  idle = _config(*patient, "--config.optimizer.learning_rate=1e-30")
  runs = [
    Run(experiment.read(diverging), tmp_path / "diverging"),
    Run(experiment.read(idle), tmp_path / "idle"),
  ]
  with pytest.raises(train.DivergedError, match=r"seed 0 stopped at .*cross_entropy"):
    train.train_together(runs, tmp_path / "checkpoints", Reporter(quiet=True))
  assert max(_records(tmp_path / "diverging"))[1] < 14  # within the first epoch
  assert max(_records(tmp_path / "idle"))[1] == 3 * 14  # the first epoch was its best
  assert (tmp_path / "idle" / "results.json").exists()
  assert not (tmp_path / "diverging" / "results.json").exists()
