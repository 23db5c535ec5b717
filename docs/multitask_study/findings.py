"""The numbers that `docs/multitask_study.md` speaks of, from the committed rows."""

from collections.abc import Mapping, Sequence

from scores import Row, Scores


class Study(Scores):
  """The rows of one data set, and what can be asked of them.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    tests: by metric, comparisons with the reference.
    weights: of `weights.csv`.
    setting: of `setting.json`.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    tests: Mapping[str, Sequence[Row]],
    weights: Sequence[Row],
    setting: dict,
  ):
    super().__init__(study, rows, tests, setting)
    self._weights = weights

  def ratios(self, method: str) -> list[float]:
    """Returns by seed how many times as much the masks counted in the last epoch."""
    return [float(row["last_epoch"]) for row in self._weights if row["method"] == method]
