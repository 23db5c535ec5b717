"""The committed rows of a study, with the numbers that its page needs."""

import statistics
from collections.abc import Mapping, Sequence

Row = Mapping[str, str]


class Scores:
  """The rows of cells and seeds of a study whose last axis is the method.

  `labels` in the functions chooses rows by their labels on the other axes.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    tests: by metric, comparisons with the reference.
    setting: of `setting.json`.
    weights: of `weights.csv`, where there is one.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    tests: Mapping[str, Sequence[Row]],
    setting: dict,
    weights: Sequence[Row] = (),
  ):
    self.setting, self.reference = setting, study["reference"]
    self._axis = study["axes"][-1]
    self._rows, self._tests, self._weights = rows, tests, weights

  def methods(self, **labels: str) -> list[str]:
    """Returns the methods that are complete, in the order of the study."""
    return list(dict.fromkeys(row[self._axis] for row in _at(labels, self._rows)))

  def num_models(self) -> int:
    """Returns how many models were trained."""
    return len(self._rows)

  def num_seeds(self) -> int:
    """Returns the number of seeds, or folds, of a method."""
    return len({row["seed"] for row in self._rows})

  def values(self, method: str, metric: str, **labels: str) -> list[float]:
    """Returns a metric of each seed; empty where the network has no such output."""
    rows = _at({**labels, self._axis: method}, self._rows)
    return [float(row[metric]) for row in rows if row.get(metric)]

  def mean(self, method: str, metric: str, **labels: str) -> float:
    """Returns the mean over seeds."""
    return statistics.fmean(self.values(method, metric, **labels))

  def score(self, method: str, metric: str, factor: float = 100.0, **labels: str) -> str:
    """Returns mean ± standard deviation, in percent where the factor is 100, or a dash."""
    values = [factor * value for value in self.values(method, metric, **labels)]
    if not values:
      return "–"
    text = f"{statistics.fmean(values):.1f}"
    return f"{text} ± {statistics.stdev(values):.1f}" if len(values) > 1 else text

  def best(self, metric: str, less: bool = False, **labels: str) -> str | None:
    """Returns the method with the highest mean, or the lowest where less is better."""
    known = [name for name in self.methods(**labels) if self.values(name, metric, **labels)]
    means = {method: self.mean(method, metric, **labels) for method in known}
    return (min if less else max)(means, key=lambda method: means[method], default=None)

  def comparison(self, method: str, metric: str, **labels: str) -> Row | None:
    """Returns the row of a method's comparison with the reference, if there is one."""
    found = _at({**labels, self._axis: method}, self._tests[metric])
    return found[0] if found else None

  def difference(self, method: str, metric: str, **labels: str) -> str:
    """Returns the difference to the reference in points, its interval, and p; '' without it."""
    row = self.comparison(method, metric, **labels)
    if row is None:
      return ""
    change, low, high = (100 * float(row[name]) for name in ("difference", "low", "high"))
    p = float(row["p_cases_holm"])
    return f"{change:+.1f} [{low:+.1f}, {high:+.1f}], p {'< 0.001' if p < 0.001 else f'{p:.2g}'}"


def _at(labels: Mapping[str, str], rows: Sequence[Row]) -> list[Row]:
  return [row for row in rows if labels.items() <= row.items()]
