"""The numbers that `docs/multitask_study.md` speaks of, from the committed rows."""

from scores import Scores


class Study(Scores):
  """The rows of one data set, and what can be asked of them."""

  def ratios(self, method: str) -> list[float]:
    """Returns by seed how many times as much the masks counted in the last epoch."""
    return [float(row["last_epoch"]) for row in self._weights if row["method"] == method]
