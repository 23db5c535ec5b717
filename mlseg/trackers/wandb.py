"""Weights & Biases: a run of the project 'mlseg', or of the one that WANDB_PROJECT names."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import wandb

from mlseg.trackers.base import Started

PROJECT = "mlseg"


class WandB:
  """Writes to Weights & Biases; WANDB_MODE=offline writes into the run's folder alone.

  The id of the run there comes from the folder, so that a run that goes on goes on there too.

  Args:
    started: the run.
  """

  def __init__(self, started: Started):
    folder = str(started.workdir.resolve())
    self._run: Any = wandb.init(
      project=os.environ.get("WANDB_PROJECT", PROJECT),
      name=started.name,
      id=hashlib.sha256(folder.encode()).hexdigest()[:16],
      resume="allow",
      dir=folder,
      config=dict(started.config),
      reinit="create_new",
      settings=wandb.Settings(silent=True, console="off"),
    )
    self._seeds: set[int] = set()

  def numbers(self, seed: int, step: int, values: Mapping[str, float]) -> None:
    """Writes numbers of a model at a step."""
    self._log(seed, step, dict(values))

  def image(self, seed: int, step: int, name: str, pixels: np.ndarray) -> None:
    """Writes an image of a model at a step."""
    self._log(seed, step, {name: wandb.Image(pixels)})

  def summary(self, values: Mapping[str, float]) -> None:
    """Writes the scores of the run."""
    self._run.summary.update(dict(values))

  def close(self) -> None:
    """Writes what is left, and waits until it has been sent."""
    self._run.finish()

  def _log(self, seed: int, step: int, values: Mapping[str, Any]) -> None:
    prefix = f"seed_{seed}"
    if seed not in self._seeds:  # each model has an axis of its own
      self._run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/step")
      self._seeds.add(seed)
    self._run.log({f"{prefix}/step": step} | {f"{prefix}/{k}": v for k, v in values.items()})
