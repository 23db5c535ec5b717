"""All trackers of a run as one, which no failure of theirs stops."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlseg.errors import one_line, unknown
from mlseg.trackers.base import Started, Tracker, numbers_of


class _Kind(NamedTuple):
  """A tracker: the module and the class here, and the package that it needs."""

  module: str
  name: str
  package: str  # that is imported


_KINDS = {
  "tensorboard": _Kind("mlseg.trackers.tensorboard", "TensorBoard", "tensorboardX"),
  "mlflow": _Kind("mlseg.trackers.mlflow", "MLflow", "mlflow"),
  "wandb": _Kind("mlseg.trackers.wandb", "WandB", "wandb"),
}
NAMES = tuple(_KINDS)


def missing(names: Iterable[str]) -> list[str]:
  """Returns the trackers whose package is not installed.

  Raises:
    UserError: there is no tracker of a name.
  """
  names = list(names)
  for name in names:
    if name not in _KINDS:
      raise unknown("tracker", name, _KINDS)
  return [name for name in names if importlib.util.find_spec(_KINDS[name].package) is None]


class Trackers:
  """The trackers of a run.

  A tracker that raises any error is dropped with one line, since numbers that are shown elsewhere
  must not cost a training.

  Args:
    names: of the trackers.
    started: the run.
    say: prints a line.
  """

  def __init__(self, names: Sequence[str], started: Started, say: Callable[[str], None]):
    self._say = say
    self._trackers: dict[str, Tracker] = {}
    for name in names:
      kind = _KINDS[name]

      def start(kind: _Kind = kind) -> Tracker:
        return getattr(importlib.import_module(kind.module), kind.name)(started)

      tracker = self._tried(name, start)
      if tracker is not None:
        self._trackers[name] = tracker

  def __bool__(self) -> bool:
    return bool(self._trackers)

  def record(self, record: Mapping[str, Any]) -> None:
    """Writes the numbers of a line of `metrics.jsonl`."""
    values = numbers_of(record)
    self._all(lambda tracker: tracker.numbers(record["seed"], record["step"], values))

  def image(self, seed: int, step: int, name: str, pixels: np.ndarray) -> None:
    """Writes an image [H, W, 3] uint8 of a model at a step."""
    self._all(lambda tracker: tracker.image(seed, step, name, pixels))

  def summary(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the scores of the test part, the means over the seeds.

    Args:
      metrics: of `results.json`.
    """
    values = numbers_of({name: entry["mean"] for name, entry in metrics.items()})
    self._all(lambda tracker: tracker.summary({f"test/{k}": v for k, v in values.items()}))

  def close(self) -> None:
    """Writes what is left."""
    self._all(lambda tracker: tracker.close())

  def _all(self, call: Callable[[Tracker], None]) -> None:
    for name, tracker in list(self._trackers.items()):

      def done(tracker: Tracker = tracker) -> bool:
        call(tracker)
        return True

      if self._tried(name, done) is None:
        del self._trackers[name]

  def _tried(self, name: str, call: Callable[[], Any]) -> Any:
    """Returns what a call returns; None where it fails, which is printed."""
    try:
      return call()
    except (Exception, SystemExit) as error:  # a tracker may fail in any way
      self._say(f"{name} stopped, and the run goes on without it: {one_line(error, 200)}")
      return None
