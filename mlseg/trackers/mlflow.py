"""MLflow: a run of the experiment 'mlseg' in the store that MLFLOW_TRACKING_URI names."""

import os
import time
from collections.abc import Mapping
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunTag

from mlseg.files import read_json, to_json, write_file
from mlseg.trackers.base import Started, flat

EXPERIMENT = "mlseg"
NOTE = "mlflow.json"  # in the run's folder: the id of its run in the store
_MOST_TEXT = 500  # characters of a parameter
_AT_ONCE = 100  # parameters that a store takes at once


class MLflow:
  """Writes to a store of MLflow.

  Where MLFLOW_TRACKING_URI is not set, the store is the folder `mlruns` in the run's folder.

  Args:
    started: the run.
  """

  def __init__(self, started: Started):
    # Of a local folder, which MLflow would otherwise refuse in favour of a database.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = os.environ.get("MLFLOW_TRACKING_URI") or (started.workdir / "mlruns").resolve().as_uri()
    self._client: Any = mlflow.MlflowClient(tracking_uri=uri)
    note = started.workdir / NOTE
    if note.exists():
      self._run = str(read_json(note)["run_id"])
      self._client.update_run(self._run, status="RUNNING")
      return
    experiment = self._client.get_experiment_by_name(EXPERIMENT)
    number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
    self._run = self._client.create_run(number, run_name=started.name).info.run_id
    write_file(note, to_json({"run_id": self._run}) + "\n")
    params = [Param(k, str(v)[:_MOST_TEXT]) for k, v in flat(started.config).items()]
    for start in range(0, len(params), _AT_ONCE):
      self._client.log_batch(self._run, params=params[start : start + _AT_ONCE])
    tags = [RunTag("mlseg.workdir", str(started.workdir.resolve()))]
    self._client.log_batch(self._run, tags=tags)

  def numbers(self, seed: int, step: int, values: Mapping[str, float]) -> None:
    """Writes numbers of a model at a step."""
    now = int(1000 * time.time())
    found = [Metric(f"seed_{seed}/{name}", value, now, step) for name, value in values.items()]
    self._client.log_batch(self._run, metrics=found)

  def image(self, seed: int, step: int, name: str, pixels: np.ndarray) -> None:
    """Writes an image of a model at a step."""
    self._client.log_image(self._run, pixels, artifact_file=f"seed_{seed}/{name}_{step:08d}.png")

  def summary(self, values: Mapping[str, float]) -> None:
    """Writes the scores of the run."""
    now = int(1000 * time.time())
    self._client.log_batch(
      self._run, metrics=[Metric(name, value, now, 0) for name, value in values.items()]
    )
    self._client.set_terminated(self._run)

  def close(self) -> None:
    """Has nothing to do: every call has written all it has."""
