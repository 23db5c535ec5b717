"""Models in one program: every strategy gives what a model by itself gives."""

import json

import numpy as np
import pytest

from mlseg.console import Reporter
from mlseg.devices import sharding
from mlseg.training import train
from mlseg.training.groups import Run
from tests.training import made
from tests.training.records import assert_same, read_records

pytestmark = pytest.mark.usefixtures("no_figures", "made_cases")


def _train(experiment, workdir):
  return train.train(experiment, workdir, Reporter(quiet=True))


@pytest.mark.slow
def test_as_many_models_at_once_as_the_memory_holds(tmp_path, monkeypatch):
  asked = []

  def fits(compiled, mesh):
    asked.append(compiled.memory_analysis().temp_size_in_bytes)
    return False

  monkeypatch.setattr(sharding, "fits", fits)
  experiment = made.make_experiment("num_seeds=3", "seeds.strategy=vmap", "num_epochs=1")
  _train(experiment, tmp_path)
  assert len(asked) == 2  # of 3 and 2 models; 1 must do
  assert asked[0] > asked[1]


@pytest.mark.slow
def test_seeds_train_one_after_another_and_are_summed_up(tmp_path):
  # The weights of the classes are those of each seed's own training set.
  settings = "seeds.strategy=loop", "losses=('weighted_cross_entropy',)", "auxiliary.name=none"
  results = _train(made.make_experiment("num_seeds=2", *settings), tmp_path)
  dice = results["metrics"]["dice"]
  assert results["seeds"] == [0, 1]
  assert len(set(dice["per_seed"])) == 2
  assert dice["std"] == pytest.approx(np.std(dice["per_seed"], ddof=1))
  tests = json.loads((tmp_path / "split.json").read_text())["seeds"]
  assert tests["0"]["test"] != tests["1"]["test"]
  # A seed's run does not depend on those beside it.
  alone = _train(made.make_experiment("seed=1", *settings), tmp_path / "alone")
  assert alone["metrics"]["dice"]["per_seed"] == dice["per_seed"][1:]


VARIANTS = {
  "variance": (),
  "mad": (
    "weighting.options.dynamic_memory_fusion.statistic=mad",
    "auxiliary.name=tversky",
    "auxiliary.initial=2.0",
    "auxiliary.decay=0.2",
    "optimizer.learning_rate=0.005",
  ),
  "fixed": ("weighting.name=fixed", "auxiliary.name=none"),
}
LONG = ("num_epochs=4", "log_every=2", "cosines_every=2")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_recipes_side_by_side_train_as_each_by_itself(tmp_path, strategy):
  runs, alone = [], {}
  for name, settings in VARIANTS.items():
    _train(made.make_experiment(*LONG, *settings), tmp_path / "alone" / name)
    alone[name] = read_records(tmp_path / "alone" / name)
    experiment = made.make_experiment(*LONG, *settings, f"seeds.strategy={strategy}")
    runs.append(Run(experiment, tmp_path / name))
  train.train_together(runs, tmp_path / "checkpoints", Reporter(quiet=True))
  for name in VARIANTS:
    assert_same(read_records(tmp_path / name), alone[name])
    assert sum("cosines" in line for line in alone[name].values()) == 2
    assert (tmp_path / name / "results.json").exists()
  # And the recipes do differ.
  weights = [list(max(alone[name].items())[1]["weights"].values())[:3] for name in VARIANTS]
  assert not np.allclose(weights[0], weights[1], rtol=1e-3)
  assert weights[2] == [1.0, 1.0, 1.0]


@pytest.mark.slow
def test_data_on_the_host_give_the_same_run(tmp_path):
  settings = [
    "num_seeds=2",
    "seeds.strategy=map",
    "losses=('soft_dice', 'boundary')",
    "auxiliary.name=none",
    "weighting.name=fixed",
    "weighting.fixed=(1.0, 0.1)",
    "augmentation.flip_vertical=0.5",
    "augmentation.contrast=0.2",
    "log_every=3",
  ]
  for placement in ("device", "host"):
    _train(made.make_experiment(*settings, f"data.placement={placement}"), tmp_path / placement)
  device, host = (read_records(tmp_path / placement) for placement in ("device", "host"))
  assert device.keys() == host.keys()
  for key, line in device.items():
    for kind in ("losses", "weights", "validation"):
      assert host[key].get(kind) == line.get(kind)


@pytest.mark.slow
def test_each_model_stops_for_itself(tmp_path):
  shared = "seeds.strategy=map", "max_nonfinite=2", "num_epochs=5", "patience=2"
  diverging = made.make_experiment(*shared, "optimizer.name=adam")
  # A recipe may not ask for such a rate.
  diverging = diverging._replace(optimizer=diverging.optimizer._replace(learning_rate=3e38))
  idle = made.make_experiment(*shared, "optimizer.name=adam", "optimizer.learning_rate=1e-30")
  runs = [Run(diverging, tmp_path / "diverging"), Run(idle, tmp_path / "idle")]
  with pytest.raises(train.DivergedError, match=r"seed 0 stopped at .*cross_entropy"):
    train.train_together(runs, tmp_path / "checkpoints", Reporter(quiet=True))
  assert max(read_records(tmp_path / "diverging"))[1] < max(read_records(tmp_path / "idle"))[1]
  assert max(read_records(tmp_path / "idle"))[1] == 3 * 4  # the first epoch was its best
  assert (tmp_path / "idle" / "results.json").exists()
  assert not (tmp_path / "diverging" / "results.json").exists()
