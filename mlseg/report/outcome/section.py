"""How well runs tell the outcome of patients: of two labels, the second."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlseg.report.drawing import Picture
from mlseg.report.names import listed
from mlseg.report.outcome import figures as outcome_figures
from mlseg.report.outcome.figures import Numbers
from mlseg.report.outcome.rows import Pooled, RunRows, label_names, pool
from mlseg.report.study import p_text
from mlseg.report.tables import Cell, Table
from mlseg.workdir.run_files import Run, damage

_NONE = "–"


class Outcome(NamedTuple):
  """Tables and figures of outcomes, and what is missing."""

  tables: tuple[Table, ...]
  pictures: tuple[Picture, ...]
  gaps: str


def outcome(runs: Sequence[Run]) -> Outcome | None:
  """Returns what is said of outcomes; None where no run has two labels and validation diagnoses.

  Raises:
    UserError: the files of a run do not agree.
  """
  told = [run for run in runs if run.tested and len(label_names(run.tested)) == 2]
  if not any(run.validated for run in told):
    return None
  pooled = {run.name: _pooled(run) for run in told}
  numbers = summary(told)
  of_runs: Mapping[str, Numbers] = numbers["runs"]
  tables = [_scores(of_runs), *_covariates(of_runs), *_comparisons(numbers["comparisons"])]
  pictures = [*outcome_figures.roc(of_runs), *outcome_figures.calibration(of_runs, pooled)]
  return Outcome(tuple(tables), tuple(pictures), _gaps(runs, told, of_runs))


def summary(runs: Sequence[Run]) -> dict[str, Any]:
  """Returns all numbers, as `mlseg.report.outcome.numbers.summarize` does.

  Args:
    runs: with diagnoses of two labels.
  """
  # Imported here, since metrics bring jax, which no other part of a report needs.
  from mlseg.report.outcome import numbers as outcome_numbers

  return outcome_numbers.summarize({run.name: rows_of(run) for run in runs})


def rows_of(run: Run) -> RunRows:
  """Returns what the files of a run with diagnoses say of outcomes."""
  groups = None if run.cohort is None else run.cohort.groups
  covariates = {} if run.cohort is None else run.cohort.covariates
  return RunRows(run.tested or (), run.validated, groups, covariates)


def _pooled(run: Run) -> Pooled:
  with damage(run.folder / "diagnoses.csv"):
    return pool(rows_of(run))


def _scores(runs: Mapping[str, Numbers]) -> Table:
  """Returns a row per run."""
  several = any(one["num_cases"] > one["num_patients"] for one in runs.values())
  positive = listed(list(dict.fromkeys(one["positive"] for one in runs.values())), 2)
  specificity = 100 * next(iter(runs.values()))["specificity"]
  header = (
    "run", "patients", *(["cases"] if several else []), f"of them {positive}",
    "AUC [DeLong]", "AUC [bootstrap]", "AUC of seeds", "F1 [bootstrap]",
    f"sensitivity at {specificity:g} % specificity", "Brier (of the share)", "p, chance",
  )  # fmt: skip
  rows = tuple(_score_row(name, one, several) for name, one in runs.items())
  return Table(f"Outcome: {positive}", header, rows, _note(several))


def _score_row(name: str, one: Numbers, several: bool) -> tuple[Cell, ...]:
  mean, deviation = one["auc_mean"], one["auc_deviation"]
  of_seeds = _number(mean) + ("" if deviation is None else f" ± {deviation:.3f}")
  texts = [
    name, str(one["num_patients"]), *([str(one["num_cases"])] if several else []),
    str(one["num_positive"]), _interval(one["auc_delong"]), _interval(one["auc_bootstrap"]),
    of_seeds, _interval(one["f1"]), _number(one["sensitivity"]),
    f"{one['brier']:.3f} ({one['brier_of_share']:.3f})", _p(one["p_permutation"]),
  ]  # fmt: skip
  return tuple(map(Cell, texts))


def _note(several: bool) -> str:
  cases = (
    " Several cases are of one patient: DeLong's interval takes them for independent, and is then"
    " too narrow; the bootstrap draws patients, and the permutations exchange their labels as"
    " wholes."
  )
  return (
    "Of the test cases, each once, with the mean of its probabilities over the seeds that tested"
    " it; in square brackets, intervals of 95 %. AUC of seeds: mean ± standard deviation of each"
    " seed's own; the others also compare probabilities of different models. F1: each seed calls"
    " its test cases at the threshold with the best F1 on its own validation cases. The threshold"
    " of the sensitivity is chosen on the test cases themselves, which flatters it. Brier: less is"
    " better; in round brackets, that of always giving the share of the label. p: of an AUC as high"
    " by chance, from exchanging the labels; nothing is trained anew." + (cases if several else "")
  )


def _covariates(runs: Mapping[str, Numbers]) -> list[Table]:
  """Returns a table for each different set of AUCs that covariates have."""
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
        (Cell(covariate), Cell(str(one["num_cases"])), Cell(_interval(one["auc"])))
        for covariate, one in of_names.items()
      ),
      "What each covariate tells of the outcome by itself, on the test cases of which it is known:"
      " a network that says no more is not needed. The interval is of 95 %. Below 0.5 a covariate"
      " points the other way: the less of it, the likelier the outcome.",
    )
    for of_names, names in found
  ]


def _comparisons(comparisons: Sequence[Mapping[str, Any]]) -> list[Table]:
  """Returns the tests of each run against the first, where there are several runs."""
  if not comparisons:
    return []
  rows = tuple(
    (
      Cell(one["run"]), Cell(str(one["num_patients"])), Cell(_number(one["auc"])),
      Cell(_number(one["auc_reference"])), Cell(_difference(one)), Cell(_p(one["p"])),
      Cell(_p(one["p_holm"])),
    )
    for one in comparisons
  )  # fmt: skip
  reference = comparisons[0]["reference"]
  header = (
    "run", "patients of both", "AUC", f"AUC of {reference}", "difference [95 %]", "p", "p, Holm"
  )  # fmt: skip
  note = (
    "DeLong's test of two AUCs on the test cases that both runs have; p also after Holm's"
    " adjustment for the number of runs."
  )
  return [Table(f"AUC against {reference}", header, rows, note)]


def _gaps(runs: Sequence[Run], told: Sequence[Run], numbers: Mapping[str, Numbers]) -> str:
  names = [run.name for run in told if not run.validated]
  words = [f"F1 is not shown, for want of validation_diagnoses.csv: {listed(names)}."]
  undefined = [run.name for run in told if run.validated and numbers[run.name]["f1"] is None]
  words += [
    "F1 is not shown, since some seed has no validation case with the outcome:"
    f" {listed(undefined)}."
  ]
  others = [run.name for run in runs if run not in told]
  words += [f"Not shown, for want of diagnoses of two labels: {listed(others)}."]
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
