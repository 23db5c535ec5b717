"""The numbers that `docs/multitask_study.md` speaks of, from the committed rows."""

import statistics
from collections.abc import Sequence

from mlseg.report.study import p_text

Row = dict[str, str]


class Study:
  """The rows of one data set, and what can be asked of them.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    dice: comparisons of Dice with the reference.
    accuracy: comparisons of accuracy with the reference.
    weights: of `weights.csv`.
    setting: of `setting.json`.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    dice: Sequence[Row],
    accuracy: Sequence[Row],
    weights: Sequence[Row],
    setting: dict,
  ):
    self.setting = setting
    self.name, self.reference = study["name"], study["reference"]
    self._rows, self._weights = rows, weights
    self._tests = {"dice": dice, "classification_accuracy": accuracy}

  def methods(self) -> list[str]:
    """Returns the methods that are complete, in the study's order."""
    return list(dict.fromkeys(row["method"] for row in self._rows))

  def num_models(self) -> int:
    """Returns how many models were trained."""
    return len(self._rows)

  def num_seeds(self) -> int:
    """Returns the number of seeds, or folds, of a method."""
    return len({row["seed"] for row in self._rows})

  def values(self, method: str, metric: str) -> list[float]:
    """Returns a metric of each seed; none where the network does not say."""
    return [float(row[metric]) for row in self._rows if row["method"] == method and row.get(metric)]

  def score(self, method: str, metric: str) -> str:
    """Returns mean ± standard deviation in percent, or a dash."""
    values = [100 * value for value in self.values(method, metric)]
    if not values:
      return "–"
    text = f"{statistics.fmean(values):.1f}"
    return f"{text} ± {statistics.stdev(values):.1f}" if len(values) > 1 else text

  def best(self, metric: str) -> str:
    """Returns the method with the highest mean."""
    known = [method for method in self.methods() if self.values(method, metric)]
    return max(known, key=lambda method: statistics.fmean(self.values(method, metric)))

  def difference(self, method: str, metric: str) -> str:
    """Returns the difference to the reference in points, its interval, and p; '' without it."""
    found = [row for row in self._tests[metric] if row["method"] == method]
    if not found:
      return ""
    row = found[0]
    change, low, high = (100 * float(row[name]) for name in ("difference", "low", "high"))
    return f"{change:+.1f} [{low:+.1f}, {high:+.1f}], p {p_text(row['p_cases_holm'])}"

  def ratios(self, method: str) -> list[float]:
    """Returns by seed how many times as much the masks counted in the last epoch."""
    return [float(row["last_epoch"]) for row in self._weights if row["method"] == method]
