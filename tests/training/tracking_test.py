"""A training writes what it logs to its trackers, with pictures of validation images."""

import numpy as np
import pytest

from mlseg.console import Reporter
from mlseg.data import cases as data_cases
from mlseg.data import padding
from mlseg.errors import UserError
from mlseg.training import tracking, train
from mlseg.workdir import metrics_log
from tests.training import made

event_accumulator = pytest.importorskip(
  "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra peers"
)
pytest.importorskip("tensorboardX")


@pytest.fixture
def cases(monkeypatch):
  made_cases = made.make_cases(48)
  monkeypatch.setattr(data_cases, "load", lambda name, **options: made_cases)
  return made_cases


@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_a_training_is_tracked(cases, tmp_path, strategy):
  experiment = made.make_experiment(
    "num_seeds=2", f"seeds.strategy={strategy}", keys={"trackers": ("tensorboard",)}
  )
  results = train.train(experiment, tmp_path, Reporter(quiet=True))
  records = metrics_log.read(tmp_path)
  for seed in (0, 1):
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard" / f"seed_{seed}"))
    events.Reload()
    own = [record for record in records if record["seed"] == seed]
    found = events.Scalars("losses/cross_entropy")
    assert [event.step for event in found] == [record["step"] for record in own]
    losses = [record["losses"]["cross_entropy"] for record in own]
    assert [event.value for event in found] == pytest.approx(losses)
    scores = [event.value for event in events.Scalars("validation/dice")]
    assert scores == pytest.approx([r["validation"]["dice"] for r in own if "validation" in r])
    images = events.Images("validation")
    assert [(image.width, image.height) for image in images] == [(3 * 8, 4 * 8)] * 2
  run = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "run"))
  run.Reload()
  assert run.Scalars("test/dice")[0].value == pytest.approx(results["metrics"]["dice"]["mean"])


def test_numbers_do_not_change_by_trackers(cases, tmp_path):
  def trained(name, keys):
    workdir = tmp_path / name
    return train.train(made.make_experiment(keys=keys), workdir, Reporter(quiet=True))["metrics"]

  np.testing.assert_equal(trained("a", {}), trained("b", {"trackers": ("tensorboard",)}))


def test_a_picture_shows_image_truth_and_prediction():
  cases = made.make_cases(3)
  cases.masks[1, :, 6:] = padding.IGNORED
  predicted = np.zeros((2, 8, 8), np.uint8)
  predicted[:, 2:5, 2:5] = 1
  found = tracking.panel(cases, np.array([0, 1]), predicted)
  assert found.shape == (16, 24, 3)
  np.testing.assert_array_equal(found[:8, :8, 0], cases.images[0, ..., 0])
  assert (found[:8, 8:16] != found[:8, :8]).any(-1).sum() == 9  # the true region
  assert (found[8:, 16:] != found[8:, :8]).any(-1).sum() == 9  # the predicted one


def test_a_package_that_is_not_there_is_named(monkeypatch):
  monkeypatch.setattr(tracking, "missing", lambda names: ["mlflow"])
  with pytest.raises(UserError, match=r"config\.trackers 'mlflow' needs a package .*\[mlflow\]"):
    tracking.check(("mlflow",))
