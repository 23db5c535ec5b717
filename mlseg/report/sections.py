"""The sections of the page, each with a text on how to read it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mlseg.report import (
  audit,
  classes,
  confidence,
  conflicts,
  diagnosis,
  ensembles,
  findings,
  leader,
  paired,
  patients,
  presence,
  scores,
  searches,
  training,
)
from mlseg.report.cases import CaseGroup
from mlseg.report.drawing import ReportFigure
from mlseg.report.names import listed
from mlseg.report.outcome import section as outcome_section
from mlseg.report.references import References
from mlseg.report.tables import Table
from mlseg.workdir.run_files import RunFiles
from mlseg.workdir.search_file import Search


class Section(NamedTuple):
  """A part of the page."""

  id: str
  title: str
  reading: str  # how to read it
  gaps: str = ""  # what is missing, and why
  tables: tuple[Table, ...] = ()
  figures: tuple[ReportFigure, ...] = ()
  groups: tuple[CaseGroup, ...] = ()


class Content(NamedTuple):
  """What a page is about."""

  runs: tuple[RunFiles, ...]
  loose: tuple[RunFiles, ...]  # the runs that belong to no study
  studies: tuple[Table, ...]  # the tables of the studies
  references: References  # the runs that others are compared with
  recipes: Table  # what differs between the recipes
  searches: Mapping[str, Search] = {}  # by the name of their folders


def sections(content: Content, groups: Sequence[CaseGroup]) -> tuple[Section, ...]:
  """Returns the sections in their order.

  Args:
    content: what the page is about.
    groups: the cases whose predictions are shown.
  """
  runs, references = content.runs, content.references
  return (
    _runs(content),
    _scores(content.studies, content.loose, runs),
    *_classes(runs),
    *_searches(content.searches),
    *_training([run for run in runs if run.about.evaluation is None]),
    _cases(runs, groups),
    *_diagnoses(runs),
    *_confidence(runs),
    *_outcome(runs, references),
    *_patients(runs),
    _paired(runs, references),
    _data(runs),
  )


def _runs(content: Content) -> Section:
  names, why = content.references
  reference = f"Others are compared with {listed(names)}: {why}." if names else why
  return Section(
    "runs",
    "Runs",
    "A run that belongs to no study is named by what it trains: its weighting and its auxiliary"
    " loss. Runs of a study have the labels that the study gives them."
    + (f" {reference}" if len(content.runs) > 1 else ""),
    tables=(content.recipes,),
  )


def _cases(runs: Sequence[RunFiles], groups: Sequence[CaseGroup]) -> Section:
  return Section(
    "cases",
    "Predictions",
    "The best, the median and the worst of all test cases of the first seed, by the mean Dice of"
    " the runs shown, among the cases that have a foreground. Solid line: truth; dashed line:"
    " prediction.",
    _gaps(runs, "examples.npz", lambda run: run.examples is None),
    groups=tuple(groups),
  )


def _scores(
  studies: Sequence[Table], loose: Sequence[RunFiles], runs: Sequence[RunFiles]
) -> Section:
  own = (
    scores.table(loose) if loose else None,
    presence.table(runs),
    ensembles.table(runs),
    ensembles.choices(runs),
  )
  tables = (*studies, *filter(None, own))
  reading = f"Higher is better, except for distances and p. ★: {leader.RULE}"
  return Section("scores", "Scores", reading, tables=tables)


def _classes(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the section about single classes, where a run has several beside the background."""
  tables = tuple(classes.tables(runs))
  text = "How well each class is found; a mean over classes hides those that are never predicted."
  return [Section("classes", "Classes", text, tables=tables)] if tables else []


def _searches(found: Mapping[str, Search]) -> list[Section]:
  """Returns the section about searches, where there are any."""
  if not found:
    return []
  tables, figures = tuple(searches.tables(found)), tuple(searches.figures(found))
  return [Section("searches", "Searches", searches.READING, tables=tables, figures=figures)]


def _training(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the sections about the course of trainings; none where all runs are evaluations."""
  if not runs:
    return []
  gaps = _gaps(runs, "metrics.jsonl", lambda run: not run.records)
  axes = "Each figure has its own vertical axes; a loss that is much larger has one of its own."
  band = "A line is the weight or value in one training."
  if any(len(run.seeds) > 1 for run in runs):
    band = "A line is the mean over seeds; the band around it spans the range of the seeds."
  share = ""
  if any(training.share_of(run.config, run.records or ()) is not None for run in runs):
    share = "The lowest axis is the auxiliary loss' share of the sum of all weights."
  return [
    Section(
      "weights",
      "Weights over training",
      " ".join(filter(None, ("The weight of each loss.", band, axes, share))),
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
    *_conflicts(runs, band),
    Section(
      "learning",
      "Learning curves",
      f"Scores on the validation cases after each epoch. {band}",
      gaps,
      figures=tuple(training.learning(runs)),
    ),
  ]


def _conflicts(runs: Sequence[RunFiles], band: str) -> list[Section]:
  """Returns the section about conflicts between losses, where a run measured them."""
  if not (tables := tuple(conflicts.tables(runs))):
    return []
  text, figures = f"{conflicts.READING} {band}", tuple(conflicts.figures(runs))
  return [Section("conflicts", "Conflicts of losses", text, tables=tables, figures=figures)]


def _diagnoses(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the section about diagnoses or findings, where any run has them."""
  confusion, each = list(filter(None, map(diagnosis.confusion, runs))), findings.tables(runs)
  if not (tables := (*confusion, *each)):
    return []
  words = [*(["Predicted against true diagnoses."] if confusion else []),
           *([findings.READING] if each else [])]  # fmt: skip
  text, figures = " ".join(words), tuple(diagnosis.saliency(runs))
  if figures:
    text += (
      " The saliency maps show which regions raise the score of the diagnosis, or finding, that is"
      " the most probable under the first seed. They are made by Grad-CAM and Grad-CAM++ from the"
      " network's last features, and are no finer than those."
    )
  gaps = diagnosis.coarse(runs)
  title = "Diagnoses" if confusion else "Findings"
  return [Section("diagnoses", title, text, gaps, tables=tables, figures=figures)]


def _confidence(runs: Sequence[RunFiles]) -> list[Section]:
  """Returns the section about calibration, where any run was calibrated."""
  if (table := confidence.table(runs)) is None:
    return []
  figures = tuple(confidence.figures(runs))
  return [
    Section("calibration", "Calibration", confidence.READING, tables=(table,), figures=figures)
  ]


def _outcome(runs: Sequence[RunFiles], references: References) -> list[Section]:
  """Returns the section about the second of two labels, where a run has validation diagnoses."""
  if (found := outcome_section.outcome(runs, references.names)) is None:
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
      " (dashed), where the network predicts masks. Where the network's features are fine enough,"
      " the saliency map of the predicted label, by Grad-CAM, is below them. Bars: the attention"
      " of each slice. More patients are in patients.npz in the run's folder.",
      figures=figures,
    )
  ]


def _paired(runs: Sequence[RunFiles], references: References) -> Section:
  found = paired.compare(runs, references.names)
  gaps = [_gaps(runs, "cases.csv", lambda run: not run.cases)]
  if len(runs) == 1:
    gaps.append("There is one run, so none are compared.")
  elif not references.names:
    gaps.append(references.why)
  elif not found.tables:
    gaps.append("No run has the same test cases as the reference, so none are compared.")
  reading = "How the Dice of each run differs from that of the reference, on the same test cases."
  if found.figures:
    reading += (
      " Each point of a figure is a test case under one seed; above the line the other run scores"
      " higher than the reference."
    )
  return Section(
    "paired", "Case by case", reading, " ".join(filter(None, gaps)), found.tables, found.figures
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
