"""TensorBoard: event files below `tensorboard/` in the run's folder, one folder a model."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from mlseg.trackers.base import Started

FOLDER = "tensorboard"


class TensorBoard:
  """Writes with tensorboardX, which needs no TensorFlow.

  Where a run goes on, an event file says from which step, and TensorBoard drops what it has of
  later steps.

  Args:
    started: the run.
  """

  def __init__(self, started: Started):
    self._folder = started.workdir / FOLDER
    self._config = started.config
    self._writers: dict[str, Any] = {}

  def numbers(self, seed: int, step: int, values: Mapping[str, float]) -> None:
    """Writes numbers of a model at a step."""
    writer = self._writer(f"seed_{seed}", step)
    for name, value in values.items():
      writer.add_scalar(name, value, step)
    writer.flush()

  def image(self, seed: int, step: int, name: str, pixels: np.ndarray) -> None:
    """Writes an image of a model at a step."""
    self._writer(f"seed_{seed}", step).add_image(name, pixels, step, dataformats="HWC")

  def summary(self, values: Mapping[str, float]) -> None:
    """Writes the scores of the run, and its recipe."""
    writer = self._writer("run", 0)
    for name, value in values.items():
      writer.add_scalar(name, value, 0)
    text = json.dumps(self._config, indent=2, default=str)
    writer.add_text("config", "    " + text.replace("\n", "\n    "), 0)

  def close(self) -> None:
    """Writes what is left."""
    for writer in self._writers.values():
      writer.close()

  def _writer(self, name: str, step: int) -> Any:
    """Returns the writer of a folder, whose events begin at a step."""
    if name not in self._writers:
      before = (self._folder / name).exists()
      # Two files of one second would have one name without the step.
      self._writers[name] = SummaryWriter(
        str(self._folder / name),
        purge_step=step if before else None,
        filename_suffix=f".from_{step}" if before else "",
      )
    return self._writers[name]
