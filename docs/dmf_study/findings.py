"""The numbers that `docs/dmf_study.md` speaks of, from the committed rows."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

Row = dict[str, str]
DEMO = ", no gradient"


class Spread(NamedTuple):
  """Means over seeds of several methods."""

  lowest: float
  highest: float


class Study:
  """The rows of the study, and what can be asked of them.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    dice: of `dice.csv`.
    comparisons: of `comparisons.csv`.
    training: of `training.csv`.
    setting: of `setting.json`.
    at_full_size: Dice of the recipe's own row, as its head has it.
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
    self.setting, self.at_full_size = setting, at_full_size
    self.published = study["published"]["rows"]
    self._rows, self._dice = rows, dice
    self._comparisons, self._training = comparisons, training

  def methods(self, split: str) -> list[str]:
    """Returns the methods that are complete on a split."""
    return list(dict.fromkeys(row["method"] for row in self._rows if row["split"] == split))

  def paper(self, split: str) -> list[str]:
    """Returns the rows of the paper's table that are complete on a split."""
    return [method for method in self.published if method in self.methods(split)]

  def seeds(self) -> int:
    """Returns the number of seeds of a cell."""
    return len({row["seed"] for row in self._rows})

  def num_models(self) -> int:
    """Returns how many models were trained."""
    return len(self._rows)

  def values(self, split: str, method: str, metric: str) -> list[float]:
    """Returns a metric of each seed, as a share or in pixels."""
    return [
      float(row[metric]) for row in self._rows if row["split"] == split and row["method"] == method
    ]

  def mean(self, split: str, method: str, metric: str) -> float:
    """Returns the mean over seeds."""
    return statistics.fmean(self.values(split, method, metric))

  def spread(self, split: str, methods: Iterable[str], metric: str) -> Spread:
    """Returns the lowest and the highest mean of some methods."""
    means = [self.mean(split, method, metric) for method in methods]
    return Spread(min(means), max(means))

  def comparison(self, split: str, method: str) -> Row:
    """Returns the row of a method's comparison with the reference."""
    (row,) = [r for r in self._comparisons if (r["split"], r["method"]) == (split, method)]
    return row

  def significant(self, split: str, methods: Iterable[str], column: str) -> tuple[int, int]:
    """Returns how many methods are better and worse than the reference, at 5 % after Holm."""
    rows = [self.comparison(split, method) for method in methods]
    found = [float(row["difference"]) for row in rows if float(row[column]) < 0.05]
    return sum(value > 0 for value in found), sum(value < 0 for value in found)

  def least_p(self, split: str) -> float:
    """Returns the least p over seeds after Holm, of all methods on a split."""
    return min(float(row["p_seeds_holm"]) for row in self._comparisons if row["split"] == split)

  def mean_difference(self, methods: Sequence[str]) -> float:
    """Returns the mean difference of methods to the reference on the grouped split, in points."""
    return statistics.fmean(
      100 * float(self.comparison("grouped", method)["difference"]) for method in methods
    )

  def rank_correlation(self, split: str, metric: str, theirs: str) -> tuple[float, float]:
    """Returns Spearman's correlation of our means with the paper's over its rows, and its p."""
    rows = self.paper(split)
    ours = [self.mean(split, method, metric) for method in rows]
    result = stats.spearmanr(ours, [self.published[method][theirs]["mean"] for method in rows])
    return float(result.statistic), float(result.pvalue)

  def leaks(self, split: str, methods: Sequence[str]) -> dict[str, float]:
    """Returns how many test cases have a near-duplicate in training, and the Dice of both kinds.

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
    """Returns the mean score on the pictures that the models were trained on."""
    own = set(methods)
    return statistics.fmean(
      float(row[metric]) for row in self._training if row["split"] == split and row["method"] in own
    )


def percent(value: float, digits: int = 1) -> str:
  """Returns a share in percent, without the sign.

  Example:
    >>> percent(0.6283)
    '62.8'
  """
  return f"{100 * value:.{digits}f}"


def deviation(values: Sequence[float]) -> str:
  """Returns mean ± standard deviation in percent.

  Example:
    >>> deviation([0.61, 0.63])
    '62.0 ± 1.4'
  """
  return f"{percent(statistics.fmean(values))} ± {percent(statistics.stdev(values))}"


def in_words(comparison: Row) -> str:
  """Returns difference, interval and p over cases of a comparison, in points of Dice."""
  numbers: Callable = lambda name: 100 * float(comparison[name])  # noqa: E731
  return (
    f"{numbers('difference'):+.1f} [{numbers('low'):+.1f}, {numbers('high'):+.1f}],"
    f" p {_p(comparison['p_cases_holm'])}"
  )


def _p(text: str) -> str:
  value = float(text)
  return "< 0.001" if value < 0.001 else f"{value:.2g}"
