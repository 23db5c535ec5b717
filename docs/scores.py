"""The committed rows of a study, with the numbers that its page needs."""

import statistics
from collections.abc import Mapping, Sequence

from mlseg.report import leader
from mlseg.report.study import CONVERGED, LATE_RISE

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
    self._cells = study["cells"]

  def methods(self, **labels: str) -> list[str]:
    """Returns the methods that are complete, in the order of the study."""
    return list(dict.fromkeys(row[self._axis] for row in _at(labels, self._rows)))

  def not_run(self) -> list[str]:
    """Returns the methods of the study that are complete on no combination of the other axes."""
    names = dict.fromkeys(cell["labels"][self._axis] for cell in self._cells)
    return [name for name in names if name not in self.methods()]

  def num_groups(self, metric: str, **labels: str) -> int:
    """Returns over how many groups of cases a metric is compared with the reference."""
    found = _at(labels, self._tests[metric])
    return max((int(row["num_groups"]) for row in found), default=0)

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

  def rises(self, **labels: str) -> dict[str, float]:
    """Returns by how much the best validation score rose in the last third of the epochs.

    Returns:
      By method, the mean over seeds; without the methods whose rows do not tell.
    """
    found = {name: self.values(name, LATE_RISE, **labels) for name in self.methods(**labels)}
    return {name: statistics.fmean(values) for name, values in found.items() if values}

  def unfinished(self, **labels: str) -> dict[str, float]:
    """Returns the rises of the methods whose training had not converged."""
    return {name: rise for name, rise in self.rises(**labels).items() if rise > CONVERGED}

  def convergence(self, **labels: str) -> str:
    """Returns in Markdown how many methods have converged; '' where the rows do not tell."""
    rises, late = self.rises(**labels), self.unfinished(**labels)
    if not rises:
      return ""
    count = f"{len(rises) - len(late)} of {len(rises)}" if late else f"all {len(rises)}"
    text = f"""\
      **Convergence.** In {count} rows the best validation score rose by no more than
      {100 * CONVERGED:g} points in the last third of the epochs, in the mean over the trainings of
      a row."""
    if not late:
      return text
    parts = "; ".join(f"{name} ({100 * rise:.1f})" for name, rise in late.items())
    return f"{text} In the others, which are marked and count less, it rose by, in points: {parts}."

  def score(self, method: str, metric: str, factor: float = 100.0, **labels: str) -> str:
    """Returns mean ± standard deviation, in percent where the factor is 100, or a dash."""
    values = [factor * value for value in self.values(method, metric, **labels)]
    if not values:
      return "–"
    text = f"{statistics.fmean(values):.1f}"
    return f"{text} ± {statistics.stdev(values):.1f}" if len(values) > 1 else text

  def best(
    self, metric: str, less: bool = False, methods: Sequence[str] = (), **labels: str
  ) -> str | None:
    """Returns the method with the best mean, where an interval over seeds tells that it is.

    Args:
      metric: of `rows.csv`.
      less: whether less is better.
      methods: to choose from; empty: all.
      **labels: of the other axes.

    Returns:
      None where the 95 % interval of its difference to the next best contains 0.
    """
    values: dict[str, dict[int, float]] = {}
    for row in _at(labels, self._rows):
      if row.get(metric) and (not methods or row[self._axis] in methods):
        values.setdefault(row[self._axis], {})[int(row["seed"])] = float(row[metric])
    found = leader.leader(values, less)
    return None if found is None else found.name

  def comparison(self, method: str, metric: str, **labels: str) -> Row | None:
    """Returns the row of a method's comparison with the reference, if there is one."""
    found = _at({**labels, self._axis: method}, self._tests[metric])
    return found[0] if found else None

  def difference(self, method: str, metric: str, unit: str = "cases", **labels: str) -> str:
    """Returns the difference to the reference in points, its interval, and p; '' without it.

    Args:
      method: that is compared.
      metric: that is compared.
      unit: of the test: 'cases' are groups of cases that belong together; or 'seeds'.
      **labels: of the other axes.
    """
    row = self.comparison(method, metric, **labels)
    suffix = "_seeds" if unit == "seeds" else ""
    if row is None or not row.get(f"difference{suffix}"):
      return ""
    names = (f"{name}{suffix}" for name in ("difference", "low", "high"))
    change, low, high = (100 * float(row[name]) for name in names)
    p = float(row[f"p_{unit}_holm"])
    return f"{change:+.1f} [{low:+.1f}, {high:+.1f}], p {'< 0.001' if p < 0.001 else f'{p:.2g}'}"

  def differs(self, method: str, metric: str, unit: str = "cases", **labels: str) -> bool:
    """Returns whether a method differs from the reference at 5 % after Holm's correction.

    Args:
      method: as for `difference`.
      metric: as for `difference`.
      unit: as for `difference`.
      **labels: of the other axes.
    """
    row = self.comparison(method, metric, **labels) or {}
    return bool(row.get(f"p_{unit}_holm")) and float(row[f"p_{unit}_holm"]) < 0.05


def _at(labels: Mapping[str, str], rows: Sequence[Row]) -> list[Row]:
  return [row for row in rows if labels.items() <= row.items()]
