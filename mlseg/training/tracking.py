"""Hands what training reports to the trackers of each run of a group."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlseg.data import padding
from mlseg.data.cases import Cases, evenly_spaced
from mlseg.errors import UserError
from mlseg.io.pictures import overlays
from mlseg.trackers import Trackers, missing
from mlseg.trackers.base import Started
from mlseg.training.groups import Group, Run
from mlseg.training.validation import NUM_SHOWN

_MOST_TIMES = 10  # that they are shown in a training


def check(names: Sequence[str]) -> None:
  """Raises a UserError where the package of a tracker is not installed."""
  if lacking := missing(names):
    raise UserError(
      f"config.trackers {lacking[0]!r} needs a package that is not installed:"
      f" pip install 'mlseg-jax[{lacking[0]}]'"
    )


class Tracking:
  """The trackers of several runs; on the main process alone.

  Args:
    runs: whose recipes name the trackers.
    cases: the data set.
    say: prints a line.
  """

  def __init__(self, runs: Sequence[Run], cases: Cases, say: Callable[[str], None]):
    self._cases = cases
    self._trackers = []
    for run in runs:
      started = Started(run.name, run.workdir, run.experiment.content)
      self._trackers.append(Trackers(run.experiment.trackers, started, say))

  def records(self, group: Group, indices: Sequence[int], records: Sequence[Any]) -> None:
    """Writes the lines of `metrics.jsonl` of some models of a group."""
    for index, record in zip(indices, records, strict=True):
      self._trackers[group.models[index].run].record(record)

  def predictions(
    self, group: Group, indices: Sequence[int], predictions: Any, step: int, epoch: int
  ) -> None:
    """Writes pictures of some validation images, at most ten times in a training.

    Args:
      group: of the models.
      indices: of the models that are still trained.
      predictions: [models, n, H, W], classes, of `NUM_SHOWN` images; None: the networks
        give no masks.
      step: that has been done.
      epoch: that has been done.
    """
    num_epochs = group.runs[0].experiment.num_epochs
    if predictions is None or (epoch % -(-num_epochs // _MOST_TIMES) and epoch != num_epochs):
      return
    for index in indices:
      model = group.models[index]
      if self._trackers[model.run]:
        part = model.split.validation
        chosen = part[evenly_spaced(len(part), NUM_SHOWN)]
        picture = panel(self._cases, chosen, np.asarray(predictions[index]))
        self._trackers[model.run].image(model.seed, step, "validation", picture)

  def summary(self, run: int, results: dict[str, Any]) -> None:
    """Writes the test scores of a run, the content of its `results.json`."""
    self._trackers[run].summary(results["metrics"])

  def close(self) -> None:
    """Writes what is left."""
    for trackers in self._trackers:
      trackers.close()


def panel(cases: Cases, chosen: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  """Returns rows of image, true regions and predicted regions, [H, W, 3] uint8.

  Args:
    cases: the data set.
    chosen: [n], of it.
    predictions: [n, H, W], classes.
  """
  rows = []
  for n, predicted in zip(chosen, predictions, strict=True):
    image, mask = cases.images[n], cases.masks[n]
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    beyond = ~padding.counted(mask)
    parts = (np.zeros_like(mask), np.where(beyond, 0, mask), np.where(beyond, 0, predicted))
    drawn = [overlays.draw(pixels, labels, len(cases.class_names)) for labels in parts]
    rows.append(np.concatenate(drawn, axis=1))
  return np.concatenate(rows)
