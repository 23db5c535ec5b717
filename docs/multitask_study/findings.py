"""The numbers in `docs/multitask_study.md`, from the committed rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from scores import Row, Scores

from mlseg import files
from mlseg.studies import tables as study_files

ATTENTION = "attention U-Net"


class Study(Scores):
  """The rows of one data set, with the numbers that the page needs.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    tests: by metric, comparisons with the reference.
    setting: of `setting.json`.
    weights: of `weights.csv`.
    models: of `models.csv`; empty: the rows are older than it.
    cases: by score, `dice` and `accuracy`, the rows of its file.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    tests: Mapping[str, Sequence[Row]],
    setting: dict,
    weights: Sequence[Row],
    models: Sequence[Row],
    cases: Mapping[str, Sequence[Row]],
  ):
    super().__init__(study, rows, tests, setting, weights)
    self.models = models
    self._axes, self._cases = study["axes"], cases

  def ratios(self, method: str) -> list[float]:
    """Returns by seed the weight of masks over that of the diagnosis, in the last epoch."""
    return [float(row["last_epoch"]) for row in self._weights if row["method"] == method]

  def against_attention(self) -> dict[str, Any]:
    """Returns by method the comparison of its Dice with that of Attention U-Net."""
    if ATTENTION not in self.methods():
      return {}
    rows: Any = self._cases["dice"]
    compared = files.parse_csv(
      files.to_csv(study_files.comparison_rows(rows, self._axes, ATTENTION))
    )
    return {row["method"]: row for row in compared if row.get("p_seeds")}
