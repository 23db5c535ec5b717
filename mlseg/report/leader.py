"""The best of several runs, where an interval tells that it is better than the next."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

_LEVEL = 0.95
RULE = (
  "The best of a column is marked only where the 95 % interval of its difference to the next best,"
  " of Student's t over the seeds that both have, does not contain 0."
)


class Leader(NamedTuple):
  """A run that is better than the next best by an interval over seeds."""

  name: str
  next: str  # the name of the next best
  difference: float  # in the unit of the values, above 0 where the leader's are higher
  low: float
  high: float


def leader(values: Mapping[str, Mapping[int, float]], less: bool = False) -> Leader | None:
  """Returns the run with the best mean, or None where it may be so by the choice of seeds alone.

  Args:
    values: by run and seed; a value that is not finite leaves its run out.
    less: whether less is better.

  Example:
    >>> leader({"a": {0: 0.8, 1: 0.9, 2: 0.7}, "b": {0: 0.6, 1: 0.7, 2: 0.5}}).name
    'a'
    >>> leader({"a": {0: 0.8, 1: 0.5}, "b": {0: 0.6, 1: 0.6}}) is None
    True
  """
  means = {
    name: float(np.mean(list(own.values())))
    for name, own in values.items()
    if own and np.isfinite(list(own.values())).all()
  }
  if len(means) < 2:
    return None
  first, second = sorted(means, key=lambda name: means[name], reverse=not less)[:2]
  seeds = values[first].keys() & values[second].keys()
  interval = t_interval([values[first][seed] - values[second][seed] for seed in sorted(seeds)])
  if interval is None or interval[1] <= 0 <= interval[2]:
    return None
  return Leader(first, second, *interval)


def t_interval(values: list[float]) -> tuple[float, float, float] | None:
  """Returns the mean with its 95 % interval of Student's t; None for fewer than two values."""
  if len(values) < 2:
    return None
  array = np.asarray(values, np.float64)
  # The mean of equal numbers may differ from them by rounding, so their deviation is not computed.
  error = float(array.std(ddof=1)) / len(array) ** 0.5 if np.ptp(array) else 0.0
  half = float(stats.t.ppf((1 + _LEVEL) / 2, len(array) - 1)) * error
  mean = float(array.mean())
  return mean, mean - half, mean + half


def in_words(found: Leader, factor: float) -> str:
  """Returns by how much the leader is ahead.

  Args:
    found: the leader.
    factor: of the values, 100 for percent.

  Example:
    >>> in_words(Leader("a", "b", 0.02, 0.01, 0.03), 100)
    'a: +2.00 [+1.00, +3.00] to b'
  """
  numbers = [factor * value for value in (found.difference, found.low, found.high)]
  return f"{found.name}: {numbers[0]:+.2f} [{numbers[1]:+.2f}, {numbers[2]:+.2f}] to {found.next}"
