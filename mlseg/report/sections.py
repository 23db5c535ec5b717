"""The sections of the page, each with a text on how to read it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlseg.report import audit, diagnosis, outlines, paired, patients, scores, training
from mlseg.report.cases import CaseGroup
from mlseg.report.drawing import ReportFigure
from mlseg.report.names import listed
from mlseg.report.outcome import section as outcome_section
from mlseg.report.tables import Table
from mlseg.workdir.run_files import RunFiles


class Section(NamedTuple):
  """A part of the page."""

  id: str
  title: str
  reading: str  # how to read it
  gaps: str = ""  # what is missing, and why
  tables: tuple[Table, ...] = ()
  figures: tuple[ReportFigure, ...] = ()
  groups: tuple[CaseGroup, ...] = ()


def sections(
  runs: Sequence[RunFiles],
  studies: Sequence[Table],
  loose: Sequence[RunFiles],
  groups: Sequence[CaseGroup],
) -> tuple[Section, ...]:
  """Returns the sections in their order.

  Args:
    runs: all of them.
    studies: the tables of the studies.
    loose: the runs that belong to no study.
    groups: the cases whose predictions are shown.
  """
  return (
    _scores(studies, loose),
    *_training(runs),
    _cases(runs, groups),
    *_diagnoses(runs),
    *_outcome(runs),
    *_patients(runs),
    _paired(runs),
    _data(runs),
  )


def _cases(runs: Sequence[RunFiles], groups: Sequence[CaseGroup]) -> Section:
  classes = [1 + int(p.truth.max()) for group in groups for p in group.panels]
  return Section(
    "cases",
    "Predictions",
    "The best, the median and the worst test case of the first seed, by the mean Dice of the runs"
    " shown, among the cases that have a foreground. Solid line: truth; dashed line:"
    f" prediction. {outlines.key(max(classes, default=0))}".rstrip(),
    _gaps(runs, "examples.npz", lambda run: run.examples is None),
    groups=tuple(groups),
  )


def _scores(studies: Sequence[Table], loose: Sequence[RunFiles]) -> Section:
  tables = (*studies, *([scores.table(loose)] if loose else []))
  reading = "Higher is better, except for distances and p; ★ marks the best of a column."
  return Section("scores", "Scores", reading, tables=tables)


def _training(runs: Sequence[RunFiles]) -> list[Section]:
  gaps = _gaps(runs, "metrics.jsonl", lambda run: not run.records)
  axes = "The vertical axes are the same everywhere."
  band = "A line is the mean over seeds; the band around it spans the range of the seeds."
  return [
    Section(
      "weights",
      "Weights over training",
      f"The weight of each loss. {band} {axes}",
      gaps,
      figures=tuple(training.terms(runs, "weights", "weight")),
    ),
    Section(
      "losses",
      "Losses over training",
      f"Each loss on the training batches, unweighted. {band} {axes}",
      gaps,
      figures=tuple(training.terms(runs, "losses", "loss")),
    ),
    Section(
      "learning",
      "Learning curves",
      f"Scores on the validation cases after each epoch. {band}",
      gaps,
      figures=tuple(training.learning(runs)),
    ),
  ]


def _diagnoses(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the section about diagnoses, where any run has them."""
  tables = tuple(filter(None, map(diagnosis.confusion, runs)))
  if not tables:
    return []
  text, figures = "Predicted against true diagnoses.", tuple(diagnosis.saliency(runs))
  if figures:
    text += (
      " The saliency maps show which regions raise the score of the diagnosis that the first seed"
      " predicts; brighter regions raise it more. They are made by Grad-CAM and Grad-CAM++ from the"
      " network's last features, so their resolution is coarse. The line is the true outline."
    )
  return [Section("diagnoses", "Diagnoses", text, tables=tables, figures=figures)]


def _outcome(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the section about the second of two labels, where a run has validation diagnoses."""
  if (found := outcome_section.outcome(runs)) is None:
    return []
  return [
    Section(
      "outcome",
      "Outcome",
      "How well the probability of the second label separates the cases that have it from those"
      " that do not. An AUC of 0.5 is chance; an interval that contains 0.5 does not rule out"
      " chance. In a calibration plot, points near the diagonal mean that predicted probabilities"
      " agree with observed shares.",
      found.gaps,
      found.tables,
      found.figures,
    )
  ]


def _patients(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the section about single volumes, where a run has them."""
  figures = tuple(patients.figures(runs))
  if not figures:
    return []
  return [
    Section(
      "patients",
      "Patients",
      "Some patients of each run, wrongly predicted ones among them, with the slices that have the"
      " most attention. Above: outlines of the lesion (solid) and of the predicted lesion"
      " (dashed), where the network predicts masks. Middle: the saliency map of the predicted"
      " label, by Grad-CAM; brighter regions count more. Below: the attention of each slice. More"
      " patients are in patients.npz in the run's folder.",
      figures=figures,
    )
  ]


def _paired(runs: Sequence[RunFiles]) -> Section:
  figures = tuple(paired.compare(runs))
  gaps = _gaps(runs, "cases.csv", lambda run: not run.cases)
  if not figures:
    gaps = f"{gaps} No two runs have the same test cases, so none are compared.".strip()
  return Section(
    "paired",
    "Case by case",
    "Each point is a test case under one seed. Above the line the best run scores higher than the"
    " reference, which is the first run with 'fixed' in its name, or else the first run.",
    gaps,
    figures=figures,
  )


def _data(runs: Sequence[RunFiles]) -> Section:
  found = audit.audit(runs)
  gaps = [
    _gaps(runs, "data.csv", lambda run: run.data is None),
    _gaps(runs, "split.json", lambda run: run.split is None),
  ]
  return Section(
    "data",
    "Data",
    "The data behind the scores: how many cases there are of each label, how large the regions of"
    " each class are, and whether test images have near-duplicates in the training set.",
    " ".join(filter(None, gaps)),
    found.tables,
    found.figures,
  )


def _gaps(runs: Sequence[RunFiles], name: str, missing: Callable[[RunFiles], bool]) -> str:
  names = [run.name for run in runs if missing(run)]
  return f"Not shown, since there is no {name}: {listed(names)}." if names else ""
