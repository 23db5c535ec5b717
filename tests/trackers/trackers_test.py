"""Each tracker's own reader finds what was written; a tracker that fails is dropped."""

import json
import math
import time

import numpy as np
import pytest

from mlseg import trackers
from mlseg.errors import UserError
from mlseg.trackers import open as open_trackers
from mlseg.trackers.base import Started

event_accumulator = pytest.importorskip(
  "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra peers"
)
pytest.importorskip("tensorboardX")
mlflow = pytest.importorskip("mlflow")
pytest.importorskip("wandb")
CONFIG = {"name": "toy", "model": {"depth": 2}, "losses": ("dice",)}
IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def _record(step, seed=0):
  return {
    "seed": seed, "step": step, "epoch": step / 2, "losses": {"dice": 1 / step},
    "weights": {"dice": 1.0}, "validation": {"dice": 0.1 * step, "losses": {"dice": math.nan}},
  }  # fmt: skip


@pytest.fixture
def said():
  return []


def _open(names, workdir, said):
  return trackers.Trackers(names, Started("toy run", workdir, CONFIG), said.append)


def _events(folder):
  found = event_accumulator.EventAccumulator(str(folder))
  found.Reload()
  return found


def test_tensorboards_own_reader_finds_numbers_and_images(tmp_path, said):
  own = _open(["tensorboard"], tmp_path, said)
  for step in (1, 2, 3):
    own.record(_record(step, seed=7))
  own.image(7, 3, "validation", IMAGE)
  own.close()
  again = _open(["tensorboard"], tmp_path, said)  # the run was killed, and goes on from step 2
  again.record(_record(3, seed=7))
  again.summary({"dice": {"mean": 0.8}, "hausdorff": {"mean": math.nan}})
  again.close()
  found = _events(tmp_path / "tensorboard" / "seed_7")
  events = found.Scalars("losses/dice")
  assert [event.step for event in events] == [1, 2, 3]
  assert [event.value for event in events] == pytest.approx([1.0, 0.5, 1 / 3])
  assert "validation/losses/dice" not in found.Tags()["scalars"]  # it is not finite
  run = _events(tmp_path / "tensorboard" / "run")
  assert run.Scalars("test/dice")[0].value == pytest.approx(0.8)
  assert "test/hausdorff" not in run.Tags()["scalars"]
  assert said == []


def test_tensorboard_has_the_image(tmp_path, said):
  own = _open(["tensorboard"], tmp_path, said)
  own.image(7, 3, "validation", IMAGE)
  own.close()
  (event,) = _events(tmp_path / "tensorboard" / "seed_7").Images("validation")
  assert (event.step, event.width, event.height) == (3, 6, 4)


def test_mlflow_has_the_run_in_a_store_of_files(tmp_path, said, monkeypatch):
  monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
  for steps in ((1, 2), (3,)):  # the run goes on in the same run of the store
    own = _open(["mlflow"], tmp_path, said)
    for step in steps:
      own.record(_record(step))
    own.image(0, steps[-1], "validation", IMAGE)
  own.summary({"dice": {"mean": 0.8}})
  own.close()
  assert said == []
  client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
  experiment = client.get_experiment_by_name("mlseg")
  (found,) = client.search_runs([experiment.experiment_id])
  assert found.info.run_name == "toy run"
  assert found.info.status == "FINISHED"
  assert found.data.params["model.depth"] == "2"
  assert found.data.metrics["test/dice"] == 0.8
  history = client.get_metric_history(found.info.run_id, "seed_0/losses/dice")
  assert [(own.step, own.value) for own in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
  artifacts = client.list_artifacts(found.info.run_id, "seed_0")
  assert [own.path for own in artifacts] == [
    "seed_0/validation_00000002.png", "seed_0/validation_00000003.png"
  ]  # fmt: skip


def _records_of(content):
  """Yields the records of a file in the form of LevelDB's log, with its seven-byte header.

  A block of 32 KiB has parts of records, each behind a checksum, a length and a type: 1 is a whole
  record; 2, 3 and 4 are the first, a middle and the last part of one.
  """
  position, parts = 7, b""
  while position + 7 <= len(content):
    if 2**15 - position % 2**15 < 7:  # too short for a part
      position += 2**15 - position % 2**15
      continue
    length, kind = (
      int.from_bytes(content[position + 4 : position + 6], "little"),
      content[position + 6],
    )
    parts += content[position + 7 : position + 7 + length]
    position += 7 + length
    if kind in (1, 4):
      yield parts
      parts = b""


def _history(content):
  """Returns the rows of a run of Weights & Biases, and its summary."""
  from wandb.proto import wandb_internal_pb2  # only here: it is slow to load

  history, summary = [], {}
  for data in _records_of(content):
    record = wandb_internal_pb2.Record()
    record.ParseFromString(data)
    kind = record.WhichOneof("record_type")
    if kind in ("history", "summary"):
      items = record.history.item if kind == "history" else record.summary.update
      row = {own.key or ".".join(own.nested_key): json.loads(own.value_json) for own in items}
      history += [row] if kind == "history" else []
      summary |= row if kind == "summary" else {}
  return history, summary


@pytest.mark.slow
def test_weights_and_biases_writes_a_run_offline(tmp_path, said, monkeypatch):
  monkeypatch.setenv("WANDB_MODE", "offline")
  own = _open(["wandb"], tmp_path, said)
  for step in (1, 2):
    own.record(_record(step))
  own.image(0, 2, "validation", IMAGE)
  own.summary({"dice": {"mean": 0.8}})
  own.close()
  assert said == []
  (folder,) = (tmp_path / "wandb").glob("offline-run-*")
  (log,) = folder.glob("run-*.wandb")
  for _ in range(100):  # the process that writes the file ends a little later
    history, summary = _history(log.read_bytes())
    if "test/dice" in summary and len(history) == 3:
      break
    time.sleep(0.1)
  assert [row["seed_0/losses/dice"] for row in history if "seed_0/losses/dice" in row] == [1.0, 0.5]
  assert summary["test/dice"] == 0.8


def test_a_tracker_that_fails_is_dropped_with_one_line(tmp_path, said, monkeypatch):
  own = _open(["tensorboard", "mlflow"], tmp_path, said)
  assert own
  monkeypatch.setattr(own._trackers["mlflow"], "numbers", lambda *_: 1 / 0)
  own.record(_record(1))
  own.record(_record(2))
  assert said == [
    "mlflow stopped, and the run goes on without it: ZeroDivisionError: division by zero"
  ]
  own.close()
  assert len(_events(tmp_path / "tensorboard" / "seed_0").Scalars("losses/dice")) == 2


def test_a_tracker_that_cannot_start_is_dropped(tmp_path, said, monkeypatch):
  monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://here")
  own = _open(["mlflow"], tmp_path, said)
  assert not own
  assert len(said) == 1
  assert said[0].startswith("mlflow stopped, and the run goes on without it: ")


def test_names_are_checked(monkeypatch):
  assert trackers.missing(trackers.NAMES) == []
  with pytest.raises(UserError, match="unknown tracker 'excel': choose from mlflow, tensorboard"):
    trackers.missing(["excel"])
  monkeypatch.setattr(open_trackers.importlib.util, "find_spec", lambda name: None)
  assert trackers.missing(["tensorboard"]) == ["tensorboard"]
