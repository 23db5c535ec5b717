"""What is asked of the committed rows: ranks, and comparisons with the tuned sum."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import methods
import numpy as np
import toy
from scipy import stats

from mlseg.metrics import bootstrap_interval, delta_m
from mlseg.metrics.bootstrap import Interval

Row = Mapping[str, str]
FLOORS = {"toy": toy.TOLERANCE}  # scores that count as equal, by problem
STILL_FALLING = 0.1  # the share by which a score falls in the last third, from which it is marked
_NUM_RESAMPLES = 9999
_TUNED = methods.TUNED


class Comparison(NamedTuple):
  """A method beside another one, by default the tuned sum, on one problem."""

  difference: Interval  # of the scores of one seed, the mean over seeds
  ratio: Interval  # of the scores of one seed, the geometric mean over seeds

  @property
  def is_better(self) -> bool:
    """Whether the interval of the ratio is below 1."""
    return self.ratio.high < 1

  @property
  def is_worse(self) -> bool:
    """Whether the interval of the ratio is above 1."""
    return self.ratio.low > 1


class Study:
  """The committed rows, and what follows from them."""

  def __init__(self, rows: Sequence[Row], grid: Sequence[Row], costs: Sequence[Row]):
    """Keeps the rows of `rows.csv`, `grid.csv` and `cost.csv`."""
    self.grid, self.costs = grid, costs
    self._rows: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
      self._rows.setdefault((row["problem"], row["method"]), []).append(row)
    self.compare = functools.cache(self._compare)

  def methods(self, problem: str) -> list[str]:
    """Returns the methods of a problem, in the order of the rows."""
    return [method for own, method in self._rows if own == problem]

  def common(self) -> list[str]:
    """Returns the methods that every problem has."""
    return [
      name
      for name in self.methods("toy")
      if all(name in self.methods(problem) for problem in methods.PROBLEMS)
    ]

  def grid_means(self, problem: str) -> dict[str, float]:
    """Returns the mean score of each exponent of the tuned sum's grid."""
    found: dict[str, list[float]] = {}
    for row in self.grid:
      if row["problem"] == problem:
        found.setdefault(row["exponent"], []).append(float(row["validation"]))
    return {exponent: float(np.mean(values)) for exponent, values in found.items()}

  def grid_weights(self, problem: str, exponent: str) -> list[str]:
    """Returns the weights that an exponent of the grid stands for."""
    rows = (r for r in self.grid if (r["problem"], r["exponent"]) == (problem, exponent))
    return next(rows)["weights"].split()

  def values(self, problem: str, method: str, column: str = "score") -> np.ndarray:
    """Returns a column of a method, [seeds]; what is not finite is infinite."""
    found = [float(row[column]) for row in self._rows[problem, method]]
    return np.nan_to_num(found, nan=np.inf, posinf=np.inf)

  def tasks(self, problem: str, method: str) -> np.ndarray:
    """Returns the scores of the tasks, the means over the seeds, [K]."""
    rows = self._rows[problem, method]
    return np.mean([[float(value) for value in row["tasks"].split()] for row in rows], 0)

  def _floored(self, problem: str, method: str, column: str = "score") -> np.ndarray:
    """Returns a column where scores that count as equal are equal."""
    return np.maximum(self.values(problem, method, column), FLOORS.get(problem, 0))

  def _compare(self, problem: str, method: str, reference: str = _TUNED) -> Comparison:
    """Returns the difference from a method and the ratio to it, with 95 % intervals."""
    ours, other = (self._floored(problem, name) for name in (method, reference))
    ratio = bootstrap_interval(np.log(ours / other))
    ends = (float(np.exp(value)) for value in ratio[:3])
    return Comparison(bootstrap_interval(ours - other), Interval(*ends))

  def ranks(self, problem: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the ranks of methods among each other, [seeds]; 1 is best, and equals share."""
    table = np.array([self._floored(problem, name) for name in names])
    return dict(zip(names, stats.rankdata(table, axis=0), strict=True))

  def rank_interval(self, ranks: np.ndarray) -> Interval:
    """Returns the mean of ranks [seeds] with its 95 % interval."""
    return bootstrap_interval(ranks)

  def mean_ranks(self, names: Sequence[str]) -> dict[str, Interval]:
    """Returns the mean ranks over all problems, by a bootstrap over the seeds of each."""
    rng, total = np.random.default_rng(0), dict.fromkeys(names, 0.0)
    for problem in methods.PROBLEMS:
      ranks = self.ranks(problem, names)
      count = len(ranks[names[0]])
      drawn = rng.integers(0, count, (_NUM_RESAMPLES, count))
      for name in names:
        # The estimate comes first, then the resamples.
        means = np.append(ranks[name].mean(), ranks[name][drawn].mean(1))
        total[name] = total[name] + means / len(methods.PROBLEMS)
    ends = {name: np.quantile(means[1:], (0.025, 0.975)) for name, means in total.items()}
    return {name: Interval(total[name][0], *ends[name]) for name in names}

  def delta_m(self, problem: str, method: str) -> float:
    """Returns Δm of the tasks' mean scores against those of the tuned sum, a share."""
    baseline = self.tasks(problem, methods.TUNED)
    directions = [False] * len(baseline)
    return float(delta_m(self.tasks(problem, method), baseline, directions))

  def last_gain(self, problem: str, method: str) -> float:
    """Returns the share by which the score fell in the last third of training."""
    before = self._floored(problem, method, "score_two_thirds")
    after = self._floored(problem, method)
    return float(1 - np.exp(np.mean(np.log(after / before))))

  def reached(self, method: str) -> float:
    """Returns the share of the toy's starts that reach the front."""
    return float(np.mean(self.values("toy", method) <= toy.TOLERANCE))

  def num_falling(self) -> tuple[int, int]:
    """Returns how many trainings are marked as still falling, and of how many."""
    gains = [
      self.last_gain(problem, name)
      for problem in methods.PROBLEMS
      for name in self.methods(problem)
    ]
    return sum(gain > STILL_FALLING for gain in gains), len(gains)

  def counts(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Returns for each method on how many problems it is better and worse than the tuned sum."""
    found = {}
    for name in names:
      all_of = [self.compare(problem, name) for problem in methods.PROBLEMS]
      found[name] = (sum(c.is_better for c in all_of), sum(c.is_worse for c in all_of))
    return found
