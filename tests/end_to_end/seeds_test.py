"""Models in one program: every strategy trains a U-Net as the others do."""

import json

import numpy as np
import pytest

from mlseg.console import Reporter
from mlseg.recipe import experiment, parse
from mlseg.training import train
from tests.end_to_end.command import SMOKE
from tests.training.records import assert_same, read_records

pytestmark = pytest.mark.usefixtures("no_figures")
SETTINGS = {
  "num_seeds": 3,
  "num_epochs": 2,
  "losses": ("soft_dice", "weighted_cross_entropy"),  # whose weights differ by seed
  "data.image_size": 16,
  "model.depth": 1,
  "metrics.surface": False,
  "optimizer.name": "sgd",
  "optimizer.learning_rate": 0.02,
}


@pytest.mark.slow
def test_strategies_train_alike(tmp_path):
  flags = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
  for strategy in ("loop", "map", "vmap"):
    content = parse.content(["", SMOKE, *flags, f"--config.seeds.strategy={strategy}"])
    train.train(experiment.read(content), tmp_path / strategy, Reporter(quiet=True))
  expected = read_records(tmp_path / "loop")
  for strategy in ("map", "vmap"):
    assert_same(read_records(tmp_path / strategy), expected)
  scores = {
    name: json.loads((tmp_path / name / "results.json").read_text())["metrics"]["dice"]["per_seed"]
    for name in ("loop", "map", "vmap")
  }
  for strategy in ("map", "vmap"):
    np.testing.assert_allclose(scores[strategy], scores["loop"], atol=1e-3)
