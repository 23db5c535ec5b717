"""The section about outcomes: tables and figures on the second of two labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlseg.files import reading
from mlseg.report.drawing import ReportFigure
from mlseg.report.names import listed
from mlseg.report.outcome import figures as outcome_figures
from mlseg.report.outcome.figures import Numbers
from mlseg.report.outcome.rows import Pooled, RunRows, label_names, pool
from mlseg.report.study_cells import p_text
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.run_files import RunFiles

_NONE = "–"


class Outcome(NamedTuple):
  """Tables and figures about outcomes, and words on what is missing."""

  tables: tuple[Table, ...]
  figures: tuple[ReportFigure, ...]
  gaps: str


def outcome(runs: Sequence[RunFiles], references: Sequence[str] = ()) -> Outcome | None:
  """Returns tables and figures; None where no run has two labels and validation diagnoses.

  Args:
    runs: all of them.
    references: names of the runs that others are compared with; the first that has an outcome is.

  Raises:
    UserError: the files of a run contradict each other.
  """
  with_outcome = [run for run in runs if run.tested and len(label_names(run.tested)) == 2]
  if not any(run.validated for run in with_outcome):
    return None
  reference = next((run for run in with_outcome if run.name in references), None)
  if reference is not None:
    with_outcome = [reference, *(run for run in with_outcome if run is not reference)]
  pooled = {run.name: _pooled(run) for run in with_outcome}
  numbers = summary(with_outcome)
  tests = [] if reference is None else numbers["comparisons"]
  of_runs: Mapping[str, Numbers] = numbers["runs"]
  tables = [_scores(of_runs), *_covariates(of_runs), *_comparisons(tests)]
  figures = [*outcome_figures.roc(of_runs), *outcome_figures.calibration(of_runs, pooled)]
  return Outcome(tuple(tables), tuple(figures), _gaps(runs, with_outcome, of_runs))


def summary(runs: Sequence[RunFiles]) -> dict[str, Any]:
  """Returns the numbers of all runs, as `mlseg.report.outcome.numbers.summarize` does.

  Args:
    runs: with diagnoses of two labels.
  """
  # Imported here, since metrics import jax, which no other part of a report needs.
  from mlseg.report.outcome import numbers as outcome_numbers

  return outcome_numbers.summarize({run.name: rows_of(run) for run in runs})


def rows_of(run: RunFiles) -> RunRows:
  """Returns the diagnoses of a run, with the patients and covariates of its `data.csv`."""
  tested = run.tested or ()
  if (data := run.data) is None:
    return RunRows(tested, run.validated)
  known = data.groups if data.patients is None else data.patients
  groups = None if known is None else dict(zip(data.ids, known, strict=True))
  return RunRows(tested, run.validated, groups, data.covariates)


def _pooled(run: RunFiles) -> Pooled:
  with reading(run.folder / "diagnoses.csv"):
    return pool(rows_of(run))


def _scores(runs: Mapping[str, Numbers]) -> Table:
  """Returns a row per run."""
  several = any(one["num_cases"] > one["num_patients"] for one in runs.values())
  positive = listed(list(dict.fromkeys(one["positive"] for one in runs.values())), 2)
  specificity = 100 * next(iter(runs.values()))["specificity"]
  header = (
    "run", "patients", *(["cases"] if several else []), f"with {positive}",
    "AUC [DeLong]", "AUC [bootstrap]", "AUC of seeds", f"F1 of {positive} [bootstrap]",
    f"sensitivity for {positive} at {specificity:g} % specificity", "Brier (of the share)",
    "p, chance",
  )  # fmt: skip
  rows = tuple(_score_row(name, one, several) for name, one in runs.items())
  return Table(f"Outcome: {positive}", header, rows, _note(several))


def _score_row(name: str, one: Numbers, several: bool) -> tuple[TableCell, ...]:
  mean, deviation = one["auc_mean"], one["auc_deviation"]
  of_seeds = _number(mean) + ("" if deviation is None else f" ± {deviation:.3f}")
  texts = [
    name, str(one["num_patients"]), *([str(one["num_cases"])] if several else []),
    str(one["num_positive"]), _interval(one["auc_delong"]), _interval(one["auc_bootstrap"]),
    of_seeds, _interval(one["f1"]), _number(one["sensitivity"]),
    f"{one['brier']:.3f} ({one['brier_of_share']:.3f})", _p(one["p_permutation"]),
  ]  # fmt: skip
  return tuple(map(TableCell, texts))


def _note(several: bool) -> str:
  cases = (
    " Some patients have several cases. DeLong's interval treats cases as independent and is too"
    " narrow then; the bootstrap resamples patients, and the permutations exchange the labels of"
    " whole patients."
  )
  return (
    "Each test case counts once, with the mean of its probabilities over the seeds that test it; 95"
    " % intervals are in square brackets. AUC of seeds: mean ± standard deviation of the AUCs of"
    " single seeds; the other AUCs also compare probabilities of different models. F1: each seed"
    " classifies its test cases with the threshold of the best F1 on its own validation cases. The"
    " threshold of the sensitivity is chosen on the test cases themselves, which makes it too good."
    " Brier score: less is better; in round brackets, that of a constant prediction, the share of"
    " the label. p: of a permutation test of the AUC, which permutes labels but trains no model."
    + (cases if several else "")
  )


def _covariates(runs: Mapping[str, Numbers]) -> list[Table]:
  """Returns a table of the AUCs of covariates; runs with the same AUCs share a table."""
  found: list[tuple[Any, list[str]]] = []
  for name, one in runs.items():
    if not one["covariates"]:
      continue
    same = next((names for known, names in found if known == one["covariates"]), None)
    if same is None:
      found.append((one["covariates"], [name]))
    else:
      same.append(name)
  return [
    Table(
      "Covariates alone" + (f", cases of {listed(names, 2)}" if len(found) > 1 else ""),
      ("covariate", "cases", "AUC [DeLong]"),
      tuple(
        (TableCell(covariate), TableCell(str(one["num_cases"])), TableCell(_interval(one["auc"])))
        for covariate, one in of_names.items()
      ),
      "How well each covariate alone predicts the outcome, on the test cases for which it is"
      " known; a network should do better. The interval is of 95 %. An AUC below 0.5 means that"
      " the outcome is likelier for smaller values.",
    )
    for of_names, names in found
  ]


def _comparisons(comparisons: Sequence[Mapping[str, Any]]) -> list[Table]:
  """Returns a table of tests of each run against the reference, where there is one."""
  if not comparisons:
    return []
  rows = tuple(
    (
      TableCell(one["run"]),
      TableCell(str(one["num_patients"])),
      *(TableCell(_number(one[name])) for name in ("auc", "auc_reference")),
      TableCell(_difference(one)),
      *(TableCell(_p(one[name])) for name in ("p", "p_holm")),
    )
    for one in comparisons
  )
  reference = comparisons[0]["reference"]
  header = (
    "run", "patients of both", "AUC", f"AUC of {reference}", "difference [95 %]", "p", "p, Holm"
  )  # fmt: skip
  note = (
    "DeLong's test of two AUCs on the test cases that both runs have; p is also given after Holm's"
    " correction for the number of runs."
  )
  return [Table(f"AUC against {reference}", header, rows, note)]


def _gaps(
  runs: Sequence[RunFiles], with_outcome: Sequence[RunFiles], numbers: Mapping[str, Numbers]
) -> str:
  names = [run.name for run in with_outcome if not run.validated]
  words = [f"F1 is not shown, since there is no validation_diagnoses.csv: {listed(names)}."]
  undefined = [
    run.name for run in with_outcome if run.validated and numbers[run.name]["f1"] is None
  ]
  words += [
    f"F1 is not shown, since a seed has no validation case with the outcome: {listed(undefined)}."
  ]
  others = [run.name for run in runs if run not in with_outcome]
  words += [f"Not shown, since there are no diagnoses of two labels: {listed(others)}."]
  return " ".join(text for text, of in zip(words, (names, undefined, others), strict=True) if of)


def _number(value: float | None) -> str:
  return _NONE if value is None else f"{value:.3f}"


def _interval(interval: Mapping[str, float | None] | None) -> str:
  """Returns an estimate with its interval.

  Example:
    >>> _interval({"estimate": 0.7512, "low": 0.6, "high": 0.9}), _interval(None)
    ('0.751 [0.600, 0.900]', '–')
  """
  if interval is None or interval["estimate"] is None:
    return _NONE
  ends = "" if interval["low"] is None else f" [{interval['low']:.3f}, {interval['high']:.3f}]"
  return f"{interval['estimate']:.3f}{ends}"


def _difference(one: Mapping[str, Any]) -> str:
  if one["difference"] is None:
    return _NONE
  ends = "" if one["low"] is None else f" [{one['low']:+.3f}, {one['high']:+.3f}]"
  return f"{one['difference']:+.3f}{ends}"


def _p(value: float | None) -> str:
  return _NONE if value is None else p_text(str(value))
