"""The numbers in `docs/multitask_study.md`, from the committed rows."""

from scores import Scores


class Study(Scores):
  """The rows of one data set, with the numbers that the page needs."""

  def ratios(self, method: str) -> list[float]:
    """Returns by seed the weight of masks over that of the diagnosis, in the last epoch."""
    return [float(row["last_epoch"]) for row in self._weights if row["method"] == method]
