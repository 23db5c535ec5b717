"""The numbers in `docs/response_study.md`, from the committed rows."""

import functools
import json
import pathlib
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from scipy import stats
from scores import Row, Scores

from mlseg import files, metrics
from mlseg.report.outcome import numbers as outcome_numbers
from mlseg.report.outcome.rows import RunRows

PLANTED, SHUFFLED = "planted", "shuffled"  # and "shuffled 2" and so on
AGAIN = "seeds "  # "seeds 5 to 9" and so on: the same folds under other seeds
POSITIVE, NEGATIVE = "responder", "non_responder"
SINGLE = "classification"
SHOWN = (SINGLE, "all, equal", "all, DWA")  # in figures


class Study(Scores):
  """The rows of the study, with the numbers that its page needs.

  Args:
    study: of `study.json`.
    rows: of `rows.csv`.
    answers: of `answers.csv`.
    covariates: of `covariates.csv`.
    epochs: of `epochs.csv`.
    setting: of `setting.json`.
  """

  def __init__(
    self,
    study: dict,
    rows: Sequence[Row],
    answers: Sequence[Row],
    covariates: Sequence[Row],
    epochs: Sequence[Row],
    setting: dict,
  ):
    super().__init__(study, rows, {}, setting)
    self._answers, self._covariates, self._epochs = answers, covariates, epochs
    self.outcomes = functools.cache(self._outcomes)

  def _outcomes(self, labels: str) -> dict[str, Any]:
    """Returns the numbers of all methods, the single loss first."""
    names = self.methods(labels=labels)
    return outcome_numbers.summarize({name: self._run(labels, name) for name in names})

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

  def shuffles(self) -> list[str]:
    """Returns the names of the cells with shuffled labels."""
    return [n for n in dict.fromkeys(row["labels"] for row in self._rows) if n.startswith(SHUFFLED)]

  def repeats(self) -> list[str]:
    """Returns the names of the cells that are trained on the same folds under other seeds."""
    return [n for n in dict.fromkeys(row["labels"] for row in self._rows) if n.startswith(AGAIN)]

  def noise(self, method: str) -> dict[str, float]:
    """Returns how far the AUC of a method deviates between trainings under other seeds.

    Returns:
      `fold`: standard deviation of the AUC of a fold, pooled over the folds; `whole`: of the AUC of
      all patients; `count`: how many trainings a fold has.
    """
    cells = [PLANTED, *self.repeats()]
    by_fold = [
      [value for _, value in sorted(self._by_seed(method, name).items())] for name in cells
    ]
    variances = [statistics.variance(fold) for fold in zip(*by_fold, strict=True)]
    whole = [self.outcomes(name)["runs"][method]["auc_delong"]["estimate"] for name in cells]
    return {
      "fold": statistics.fmean(variances) ** 0.5,
      "whole": statistics.stdev(whole),
      "count": len(cells),
    }

  def by_chance(self, method: str) -> dict[str, Any]:
    """Returns a method's AUCs under shuffled labels: their mean, and its t-interval."""
    found = [self.outcomes(name)["runs"][method]["auc_delong"] for name in self.shuffles()]
    aucs = [one["estimate"] for one in found]
    low, high = stats.ttest_1samp(aucs, 0.5).confidence_interval()
    return {
      "mean": {"estimate": statistics.fmean(aucs), "low": float(low), "high": float(high)},
      "each": found,
    }

  def p_over_folds(self, method: str) -> float:
    """Returns p of the paired t-test of the folds' AUCs against those of the single loss."""
    first, second = (
      [value for _, value in sorted(self._by_seed(name).items())] for name in (method, SINGLE)
    )
    return metrics.paired_tests(first, second).p_t

  def num_validating(self) -> int:
    """Returns how many validation patients a fold has."""
    return max(Counter(
      row["seed"] for row in self._answers
      if (row["labels"], row["method"], row["part"]) == (PLANTED, SINGLE, "validation")
    ).values())  # fmt: skip

  def by_epoch_kept(self, first: int) -> dict[bool, list[tuple[str, float]]]:
    """Returns method and test AUC of models under several losses, by whether their epoch is early.

    Args:
      first: epochs up to this one are early.
    """
    found: dict[bool, list[tuple[str, float]]] = {True: [], False: []}
    for row in self._epochs:
      if row["labels"] == PLANTED and row["method"] != SINGLE:
        auc = self._by_seed(row["method"])[int(row["seed"])]
        found[int(row["kept"]) <= first].append((row["method"], auc))
    return found

  def _by_seed(self, method: str, labels: str = PLANTED) -> dict[int, float]:
    return {
      int(row["seed"]): float(row["roc_auc"])
      for row in self._rows
      if (row["labels"], row["method"]) == (labels, method)
    }


def read(folder: pathlib.Path) -> Study:
  """Returns the study of the committed files in a folder."""
  names = ("rows", "answers", "covariates", "epochs")
  tables = [files.read_csv(folder / f"{name}.csv") for name in names]
  description, setting = (
    json.loads((folder / f"{name}.json").read_text()) for name in ("study", "setting")
  )
  return Study(description, *tables, setting)
