"""The numbers that `docs/response_study.md` speaks of, from the committed rows."""

import functools
import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from scores import Row, Scores

from mlseg import metrics, outcomes, study_files
from mlseg.outcome_rows import RunRows

PLANTED, SHUFFLED = "planted", "shuffled"
POSITIVE, NEGATIVE = "responder", "non_responder"
SINGLE = "classification"
SHOWN = (SINGLE, "all, equal", "all, DWA")  # in figures


class Study(Scores):
  """The rows of the study, and what can be asked of them.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    answers: of `answers.csv`.
    covariates: of `covariates.csv`.
    setting: of `setting.json`.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    answers: Sequence[Row],
    covariates: Sequence[Row],
    setting: dict,
  ):
    super().__init__(study, rows, {}, setting)
    self._answers, self._covariates = answers, covariates
    self.outcomes = functools.cache(self._outcomes)

  def _outcomes(self, labels: str) -> dict[str, Any]:
    """Returns what `mlseg.outcomes.summarize` does of all methods, the single loss first."""
    names = self.methods(labels=labels)
    return outcomes.summarize({name: self._run(labels, name) for name in names})

  def _run(self, labels: str, method: str) -> RunRows:
    parts: dict[str, list[dict[str, Any]]] = {"test": [], "validation": []}
    for row in self._answers:
      if (row["labels"], row["method"]) == (labels, method):
        p = float(row["probability"])
        own = {f"probability_{NEGATIVE}": 1 - p, f"probability_{POSITIVE}": p}
        parts[row["part"]].append({name: row[name] for name in ("seed", "id", "label")} | own)
    columns = [name for name in self._covariates[0] if name.startswith("covariate_")]
    known = {
      name.removeprefix("covariate_"): {row["id"]: float(row[name]) for row in self._covariates}
      for name in columns
    }
    return RunRows(parts["test"], parts["validation"], None, known)

  def over_folds(self, method: str) -> dict[str, float]:
    """Returns the paired t-test of the AUCs of the folds against those of the single loss."""
    first, second = (
      [value for _, value in sorted(self._by_seed(name).items())] for name in (method, SINGLE)
    )
    difference = statistics.fmean(first) - statistics.fmean(second)
    return {"difference": difference, "p": metrics.paired_tests(first, second).p_t}

  def _by_seed(self, method: str) -> dict[str, float]:
    return {
      row["seed"]: float(row["roc_auc"])
      for row in self._rows
      if (row["labels"], row["method"]) == (PLANTED, method)
    }


def read(folder: pathlib.Path) -> Study:
  """Returns the study of the committed files in a folder."""
  tables = [study_files.read_csv(folder / f"{n}.csv") for n in ("rows", "answers", "covariates")]
  description, setting = (
    json.loads((folder / f"{name}.json").read_text()) for name in ("study", "setting")
  )
  return Study(description, *tables, setting)
