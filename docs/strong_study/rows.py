"""The committed rows of the strong recipe, and what is asked of them."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from collect import MEAN

from mlseg.metrics import bootstrap_interval

Row = Mapping[str, str]


class Study(NamedTuple):
  """The committed rows."""

  models: Sequence[Row]
  curves: Sequence[Row]
  cases: Sequence[Row]
  calibration: Sequence[Row]
  peers: Mapping[str, Mapping]
  partly: Mapping[str, Sequence[Row]]  # the files of the study of missing labels

  def runs(self, data: str) -> list[str]:
    """Returns the labels of the runs on a data set."""
    names = dict.fromkeys(row["run"] for row in self.models)
    return [name for name in names if name.split("/")[0] == data]

  def values(self, run: str, metric: str) -> list[float]:
    """Returns a metric of each single model of a run."""
    own = (row for row in self.models if row["run"] == run and row["seed"] != MEAN)
    return [float(row[metric]) for row in own if row.get(metric)]

  def of_part(self, run: str, metric: str, start: str) -> list[float]:
    """Returns the mean of a metric of each single model, of cases whose names begin with a word."""
    by_seed: dict[str, list[float]] = {}
    for row in self.cases:
      if row["run"] == run and row["seed"] != MEAN and row["id"].startswith(start):
        by_seed.setdefault(row["seed"], []).append(float(row[metric]))
    return list(map(statistics.fmean, by_seed.values()))

  def mean(self, run: str) -> Row | None:
    """Returns the scores of the mean of a run's models, where it was tested."""
    own = (row for row in self.models if row["run"] == run and row["seed"] == MEAN)
    return next(own, None)

  def curves_of(self, run: str) -> list[list[float]]:
    """Returns the validation Dice of each model of a run by epoch."""
    by_seed: dict[str, list[float]] = {}
    for row in self.curves:
      if row["run"] == run:
        by_seed.setdefault(row["seed"], []).append(float(row["validation_dice"]))
    return list(by_seed.values())

  def last_gain(self, run: str) -> float:
    """Returns by how much validation improved in the last third of a training, at most."""
    return max(
      max(curve) - max(curve[: len(curve) - len(curve) // 3]) for curve in self.curves_of(run)
    )

  def interval(
    self, run: str, mean: bool = False, metric: str = "dice", start: str = ""
  ) -> tuple[float, float]:
    """Returns the 95 % interval of a metric, a bootstrap over the tested cases of all models."""
    own = [r for r in self.cases if r["run"] == run and (r["seed"] == MEAN) == mean]
    by_case: dict[str, list[float]] = {}
    for row in own:
      if row["id"].startswith(start):
        by_case.setdefault(row["id"], []).append(float(row[metric]))
    found = bootstrap_interval(np.array([statistics.fmean(v) for v in by_case.values()]), seed=0)
    return found.low, found.high
