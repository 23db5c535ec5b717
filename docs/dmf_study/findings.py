"""The numbers in `docs/dmf_study.md`, from the committed rows."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from scores import Row, Scores

DEMO = ", no gradient"


class Spread(NamedTuple):
  """Means over seeds of several methods."""

  lowest: float
  highest: float


class Study(Scores):
  """The rows of the study, with the numbers that its page needs.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    dice: of `dice.csv`.
    comparisons: of `comparisons.csv`.
    training: of `training.csv`.
    setting: of `setting.json`.
    at_full_size: Dice of the recipe at full size, as its docstring gives it.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    dice: Sequence[Row],
    comparisons: Sequence[Row],
    training: Sequence[Row],
    setting: dict,
    at_full_size: Sequence[str],
  ):
    super().__init__(study, rows, {"dice": comparisons}, setting)
    self.at_full_size, self.published = at_full_size, study["published"]["rows"]
    self._dice, self._comparisons, self._training = dice, comparisons, training

  def paper(self, split: str) -> list[str]:
    """Returns the methods of the paper's table that are complete on a split."""
    return [method for method in self.published if method in self.methods(split=split)]

  def spread(self, split: str, methods: Iterable[str], metric: str) -> Spread:
    """Returns the lowest and the highest mean of some methods."""
    means = [self.mean(method, metric, split=split) for method in methods]
    return Spread(min(means), max(means))

  def significant(self, split: str, methods: Iterable[str], column: str) -> tuple[int, int]:
    """Returns how many methods are better and worse than the reference, at 5 % after Holm."""
    rows = [row for method in methods if (row := self.comparison(method, "dice", split=split))]
    found = [float(row["difference"]) for row in rows if float(row[column]) < 0.05]
    return sum(value > 0 for value in found), sum(value < 0 for value in found)

  def least_p(self, split: str) -> float:
    """Returns the least p over seeds after Holm, of all methods on a split."""
    return min(float(row["p_seeds_holm"]) for row in self._comparisons if row["split"] == split)

  def mean_difference(self, methods: Sequence[str]) -> float:
    """Returns the mean difference of methods to the reference on the grouped split, in points."""
    return statistics.fmean(self.change(method) for method in methods)

  def change(self, method: str) -> float:
    """Returns the difference of a method to the reference on the grouped split, in points."""
    row = self.comparison(method, "dice", split="grouped")
    if row is None:
      raise KeyError(f"{method} is not compared on the grouped split")
    return 100 * float(row["difference"])

  def rank_correlation(self, split: str, metric: str, theirs: str) -> tuple[float, float]:
    """Returns Spearman's correlation of our means with the paper's over its rows, and its p."""
    rows = self.paper(split)
    ours = [self.mean(method, metric, split=split) for method in rows]
    result = stats.spearmanr(ours, [self.published[method][theirs]["mean"] for method in rows])
    return float(result.statistic), float(result.pvalue)

  def leaks(self, split: str, methods: Sequence[str]) -> dict[str, float]:
    """Returns the share of test cases with a near-duplicate in training, and Dice with and without.

    'low' and 'high' are the 95 % interval of the difference, by Welch's t over cases.
    """
    rows = [row for row in self._dice if row["split"] == split]
    scores = {
      kind: [np.mean([float(r[m]) for m in methods]) for r in rows if r["leak"] == kind]
      for kind in "01"
    }
    test = stats.ttest_ind(scores["1"], scores["0"], equal_var=False)
    interval = test.confidence_interval()
    return {
      "share": len(scores["1"]) / len(rows),
      "leaking": float(np.mean(scores["1"])),
      "others": float(np.mean(scores["0"])),
      "low": float(interval.low),
      "high": float(interval.high),
    }

  def on_training(self, split: str, methods: Iterable[str], metric: str) -> float:
    """Returns the mean score on the images that the models were trained on."""
    own = set(methods)
    return statistics.fmean(
      float(row[metric]) for row in self._training if row["split"] == split and row["method"] in own
    )


def percent(value: float, digits: int = 1) -> str:
  """Returns a share in percent, without the percent sign.

  Example:
    >>> percent(0.6283)
    '62.8'
  """
  return f"{100 * value:.{digits}f}"
