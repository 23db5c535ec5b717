"""The main command end to end: its files, kills at any moment, signals, divergence, host waits."""

import csv
import json

import numpy as np
import pytest

from mlseg import main
from mlseg.console import Reporter
from mlseg.errors import UserError
from mlseg.recipe import experiment, parse
from mlseg.training import train
from tests.end_to_end import command
from tests.end_to_end.command import EPOCHS, LONG, SMOKE

pytestmark = pytest.mark.usefixtures("no_figures")


def _config(*overrides):
  return parse.parse(["mlseg.main", SMOKE, *overrides])[0]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
  """A run by the command line."""
  workdir = tmp_path_factory.mktemp("unbroken")
  return workdir, command.run(workdir)


def test_a_run_leaves_the_files_of_the_layout(unbroken):
  workdir, output = unbroken
  for part in ("lesion", "data", "device", "parameters", "images/s", "validation dice"):
    assert part in output
  results = json.loads((workdir / "results.json").read_text())
  assert results["split"] == "test"
  assert results["seeds"] == [0]
  assert results["config"]["num_epochs"] == EPOCHS
  dice = results["metrics"]["dice"]
  assert dice["mean"] == dice["per_seed"][0]
  assert dice["std"] is None
  description = json.loads((workdir / "config.json").read_text())
  assert {"config", "versions", "device", "data"} <= description.keys()
  for name in ("losses", "weights", "predictions"):
    assert (workdir / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
  records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  names = {"cross_entropy", "soft_iou", "soft_dice", "class_balanced_dice"}
  assert all(r["losses"].keys() == r["weights"].keys() == names for r in records)
  assert [r["epoch"] for r in records if "validation" in r] == list(range(1, EPOCHS + 1))


def test_the_rows_of_the_cases_give_the_summary(unbroken):
  workdir, _ = unbroken
  with (workdir / "cases.csv").open() as file:
    rows = list(csv.DictReader(file))
  split = json.loads((workdir / "split.json").read_text())["seeds"]["0"]
  assert [row["id"] for row in rows[::2]] == split["test"]
  lesion = [float(row["dice"]) for row in rows if row["class"] == "lesion"]
  results = json.loads((workdir / "results.json").read_text())
  assert np.mean(lesion) == pytest.approx(results["metrics"]["dice"]["mean"], abs=1e-5)
  size = results["config"]["data"]["image_size"]
  for row in rows:  # the counts are of all pixels, and every ratio follows from them
    tp, fp, fn, tn = (int(row[name]) for name in ("tp", "fp", "fn", "tn"))
    assert tp + fp + fn + tn == size**2
    assert float(row["dice"]) == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-6)
  for name in ("hausdorff", "hausdorff95", "average_symmetric_surface_distance"):
    values = [float(row[name]) for row in rows if row["class"] == "lesion"]
    assert 0 <= min(values) <= max(values) <= size * 2**0.5 + 1e-4
    assert np.mean(values) == pytest.approx(results["metrics"][name]["mean"], rel=1e-5)
  parts = [set(split[name]) for name in ("train", "validation", "test")]
  assert sum(map(len, parts)) == len(set.union(*parts)) == 647


def test_a_finished_run_is_only_read_again(unbroken, capsys):
  workdir, _ = unbroken
  before = (workdir / "results.json").read_text(), (workdir / "metrics.jsonl").read_text()
  assert main.main(["mlseg.main", f"--workdir={workdir}", *LONG]) == 0
  output = capsys.readouterr().out
  assert "validation dice" not in output
  assert "lesion" in output
  assert before == (
    (workdir / "results.json").read_text(),
    (workdir / "metrics.jsonl").read_text(),
  )


def test_training_lowers_every_loss(unbroken):
  workdir, _ = unbroken
  records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  for name, last in records[-1]["losses"].items():
    assert last < records[0]["losses"][name]


@pytest.mark.slow
def test_the_options_beside_the_recipe_train_too(tmp_path):
  options = {
    "data.image_size": 16,
    "num_epochs": 1,
    "model.norm": "group",
    "model.filters": 8,
    "model.convs_per_level": 2,
    "model.upsampling": "resize",
    "model.dtype": "bfloat16",
    "metrics.surface": False,
    "optimizer.name": "adamw",
    "optimizer.schedule": "cosine",
    "optimizer.weight_decay": 1e-4,
    "optimizer.clip_norm": 1.0,
    "weighting.options.dynamic_memory_fusion.statistic": "bayesian",
    "weighting.options.dynamic_memory_fusion.forgetting": 0.1,
    "weighting.ema": 0.9,
    "weighting.lower": 0.1,
    "auxiliary.name": "focal",
    "augmentation.flip_horizontal": 0.5,
    "augmentation.rotation": 10.0,
    "augmentation.elastic": 0.5,
    "augmentation.contrast": 0.2,
    "data.split": "random",
    "data.resplit": False,
  }
  config = _config(*(f"--config.{name}={value}" for name, value in options.items()))
  train.train(experiment.read(config), tmp_path, Reporter())
  records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert records[-1]["nonfinite"] == 0
  weights = records[-1]["weights"]
  base = [weights[name] for name in config.losses]
  assert sum(base) == pytest.approx(1.0, abs=1e-5)
  assert min(base) >= 0.1 - 1e-6
  assert weights["focal"] < 5.0


def test_a_folder_of_another_config_is_refused_untouched(unbroken):
  workdir, _ = unbroken
  before = (workdir / "config.json").read_text()
  with pytest.raises(UserError, match="belongs to another config"):
    train.train(experiment.read(_config()), workdir, Reporter())
  assert (workdir / "config.json").read_text() == before


def test_divergence_ends_with_the_name_of_the_loss(tmp_path, capfd):
  code = main.main(
    [
      "mlseg.main",
      SMOKE,
      f"--workdir={tmp_path}",
      "--config.num_epochs=4",
      "--config.data.image_size=16",
      "--config.optimizer.name=sgd",
      "--config.optimizer.learning_rate=1e38",
      "--config.max_nonfinite=4",
    ]
  )
  error = capfd.readouterr().err
  assert code == 1
  assert "cross_entropy" in error
  assert "steps in a row" in error
  assert error.count("\n") == 1
