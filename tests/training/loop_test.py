"""The loop of a training on a toy: stopped, resumed, finished, diverged."""

import json
import os
import re
import signal

import jax
import numpy as np
import optax
import pytest

from mlseg.console import Reporter
from mlseg.training import train
from mlseg.training.stopping import Stopped
from tests.end_to_end import command
from tests.training import made

pytestmark = pytest.mark.usefixtures("no_figures", "made_cases")


class _Signalling(Reporter):
  """A console that sends this process a signal after a step."""

  def __init__(self, signum, step):
    super().__init__(quiet=True)
    self._signum, self._step = signum, step

  def step(self, records):
    super().step(records)
    if records[0]["step"] == self._step:
      os.kill(os.getpid(), self._signum)


def _train(experiment, workdir, reporter=None):
  return train.train(experiment, workdir, reporter or Reporter(quiet=True))


def _records(workdir):
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("signum", "keys"),
  [
    (signal.SIGTERM, {}),
    (signal.SIGINT, {"optimizer.ema": 0.9, "optimizer.warm_up": 1.5, "cosines_every": 1}),
  ],
)
def test_a_signal_saves_and_the_same_command_goes_on_bitwise(tmp_path, signum, keys, capsys):
  experiment = made.make_experiment("num_epochs=3", "log_every=1", keys=keys)
  _train(experiment, tmp_path / "unbroken")
  for step in (3, 7):  # within the first epoch, and within the second
    with pytest.raises(Stopped, match=f"saved at step {step};") as stopped:
      _train(experiment, tmp_path / "broken", _Signalling(signum, step))
    assert stopped.value.signum == signum
    assert command.final(tmp_path / "broken")[0] == step
  _train(experiment, tmp_path / "broken", Reporter())
  assert "goes on from step 7 of 12" in capsys.readouterr().out
  (step, arrays), (expected_step, expected) = (
    command.final(tmp_path / name) for name in ("broken", "unbroken")
  )
  assert step == expected_step == 12
  assert arrays.keys() == expected.keys()
  assert any("average" in name for name in arrays) == bool(keys)
  for name, array in arrays.items():
    np.testing.assert_array_equal(array, expected[name], err_msg=name)
  assert command.steps(tmp_path / "broken") == command.steps(tmp_path / "unbroken")
  broken, unbroken = (
    [line.get("cosines") for line in _records(tmp_path / name)] for name in ("broken", "unbroken")
  )
  assert broken == unbroken
  assert sum(line is not None for line in broken) == (3 if "cosines_every" in keys else 0)


def test_a_finished_run_is_tested_again_but_not_trained(tmp_path, capsys):
  experiment = made.make_experiment()
  first = _train(experiment, tmp_path)
  lines = (tmp_path / "metrics.jsonl").read_text()
  assert _train(experiment, tmp_path, Reporter()) == first
  assert "compiled in" not in capsys.readouterr().out
  assert (tmp_path / "metrics.jsonl").read_text() == lines


def test_log_steps_are_counted_from_the_start_of_an_epoch(tmp_path):
  experiment = made.make_experiment("log_every=3")
  _train(experiment, tmp_path)
  assert [record["step"] for record in _records(tmp_path)] == [3, 4, 7, 8]
  assert ["validation" in record for record in _records(tmp_path)] == [False, True] * 2


def test_a_run_is_validated_as_often_as_the_recipe_says_and_in_its_last_epoch(tmp_path):
  _train(made.make_experiment("num_epochs=5", "validation_every=2"), tmp_path)
  validated = [record["epoch"] for record in _records(tmp_path) if "validation" in record]
  assert validated == [2, 4, 5]


def test_checkpoints_are_saved_as_often_as_the_recipe_says(tmp_path):
  experiment = made.make_experiment("num_epochs=5", "checkpoint_every=2")
  _train(experiment, tmp_path)
  saved = {int(path.name) for path in (tmp_path / "checkpoints" / "seed_0").iterdir()}
  assert saved == {16, 20}  # the last two of epochs 2, 4 and 5


def test_a_model_that_diverges_is_named_and_its_run_has_no_results(tmp_path):
  experiment = made.make_experiment("max_nonfinite=2")
  # A recipe may not ask for such a rate.
  optimizer = experiment.optimizer._replace(make=lambda num_steps: optax.adam(3e38))
  experiment = experiment._replace(optimizer=optimizer)
  with pytest.raises(train.DivergedError, match=r"seed 0 stopped at step \d+: .* was not finite"):
    _train(experiment, tmp_path)
  assert not (tmp_path / "results.json").exists()
  assert _records(tmp_path)[-1]["nonfinite"] >= 2


def test_a_model_without_progress_stops_after_its_patience(tmp_path):
  experiment = made.make_experiment("optimizer.learning_rate=1e-30", "num_epochs=9", "patience=2")
  _train(experiment, tmp_path)
  scores = [r["validation"]["dice"] for r in _records(tmp_path) if "validation" in r]
  assert len(scores) == int(np.argmax(scores)) + 1 + 2 < 9


def test_training_lowers_every_loss(tmp_path):
  _train(made.make_experiment("num_epochs=8"), tmp_path)
  records = _records(tmp_path)
  for name, last in records[-1]["losses"].items():
    assert last < records[0]["losses"][name]


def test_the_console_says_what_is_trained(tmp_path, capsys):
  _train(made.make_experiment("num_seeds=2", "seeds.strategy=map"), tmp_path, Reporter())
  printed = capsys.readouterr().out
  assert re.search(r"data +busi, 24 images of 8×8, \d+ / \d+ / \d+ for training", printed)
  assert "models  2, strategy map" in printed
  assert jax.devices()[0].device_kind in printed
