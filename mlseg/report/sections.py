"""The sections of the page, and what each says of how to read it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlseg.report import audit, diagnosis, outlines, paired, patients, scores, training
from mlseg.report.cases import CaseGroup
from mlseg.report.drawing import Picture
from mlseg.report.names import listed
from mlseg.report.outcome import section as outcome_section
from mlseg.report.tables import Table
from mlseg.workdir.run_files import Run


class Section(NamedTuple):
  """A part of the page."""

  id: str
  title: str
  reading: str  # how to read it
  gaps: str = ""  # what is missing, and why
  tables: tuple[Table, ...] = ()
  pictures: tuple[Picture, ...] = ()
  groups: tuple[CaseGroup, ...] = ()


def sections(
  runs: Sequence[Run], studies: Sequence[Table], loose: Sequence[Run], groups: Sequence[CaseGroup]
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


def _cases(runs: Sequence[Run], groups: Sequence[CaseGroup]) -> Section:
  classes = [1 + int(p.truth.max()) for group in groups for p in group.panels]
  return Section(
    "cases",
    "Predictions",
    "The best, the median and the worst test case of the first seed, by the mean Dice of the runs"
    " shown, among the cases that have something to find. Solid line: truth; dashed line:"
    f" prediction. {outlines.key(max(classes, default=0))}".rstrip(),
    _gaps(runs, "examples.npz", lambda run: run.examples is None),
    groups=tuple(groups),
  )


def _scores(studies: Sequence[Table], loose: Sequence[Run]) -> Section:
  tables = (*studies, *([scores.table(loose)] if loose else []))
  reading = "Higher is better but for distances and p; ★ marks the best of a column."
  return Section("scores", "Scores", reading, tables=tables)


def _training(runs: Sequence[Run]) -> list[Section]:
  gaps = _gaps(runs, "metrics.jsonl", lambda run: not run.records)
  axes = "The vertical axes are the same everywhere."
  band = "A line is the mean over seeds, and the band around it reaches from the least to the most."
  return [
    Section(
      "weights",
      "Weights over training",
      f"How much each loss counted. {band} {axes}",
      gaps,
      pictures=tuple(training.terms(runs, "weights", "weight")),
    ),
    Section(
      "losses",
      "Losses over training",
      f"Each loss on the training batches, unweighted. {band} {axes}",
      gaps,
      pictures=tuple(training.terms(runs, "losses", "loss")),
    ),
    Section(
      "learning",
      "Learning curves",
      f"Dice on the validation cases after each epoch, or the share of right diagnoses. {band}",
      gaps,
      pictures=tuple(training.learning(runs)),
    ),
  ]


def _diagnoses(runs: Sequence[Run]) -> list[Section]:
  """Returns the section about whole cases, where any run says something of them."""
  tables = tuple(filter(None, map(diagnosis.confusion, runs)))
  if not tables:
    return []
  text, looks = "How often a case is called what it is.", tuple(diagnosis.looks(runs))
  if looks:
    text += (
      " In the pictures, what spoke for the answer of the first seed, the brighter the more, by"
      " Grad-CAM and Grad-CAM++ on the network's last features, whose places are coarse; the line"
      " is the true outline."
    )
  return [Section("diagnoses", "Diagnoses", text, tables=tables, pictures=looks)]


def _outcome(runs: Sequence[Run]) -> list[Section]:
  """Returns the section about one of two labels, where a run has validation diagnoses too."""
  if (found := outcome_section.outcome(runs)) is None:
    return []
  return [
    Section(
      "outcome",
      "Outcome",
      "How well the probability of the second label tells who has it. An AUC of 0.5 is chance, and"
      " an interval that holds it leaves open whether there is anything to tell. The nearer the"
      " points of a calibration plot are to the diagonal, the more a probability is what it says.",
      found.gaps,
      found.tables,
      found.pictures,
    )
  ]


def _patients(runs: Sequence[Run]) -> list[Section]:
  """Returns the section about single volumes, where a run has any."""
  pictures = tuple(patients.pictures(runs))
  if not pictures:
    return []
  return [
    Section(
      "patients",
      "Patients",
      "The slices that count most for an answer, wrong answers among them. Above, outlines of the"
      " lesion (solid) and of what the network takes for it (dashed), where it gives masks; in the"
      " middle, what spoke for the answer, the brighter the more, by Grad-CAM; below, how much each"
      " slice counts. Every patient that was tested is in patients.npz of the run's folder.",
      pictures=pictures,
    )
  ]


def _paired(runs: Sequence[Run]) -> Section:
  pictures = tuple(paired.compare(runs))
  gaps = _gaps(runs, "cases.csv", lambda run: not run.cases)
  if not pictures:
    gaps = f"{gaps} No two runs have the same test cases: there is nothing to compare.".strip()
  return Section(
    "paired",
    "Case by case",
    "Each point is a test case under a seed: above the line the best run does better than the"
    " reference, which is the first run with 'fixed' in its name, else the first.",
    gaps,
    pictures=pictures,
  )


def _data(runs: Sequence[Run]) -> Section:
  found = audit.audit(runs)
  gaps = [
    _gaps(runs, "data.csv", lambda run: run.data is None),
    _gaps(runs, "split.json", lambda run: run.split is None),
  ]
  return Section(
    "data",
    "Data",
    "What the scores rest on: how many cases of what kind, how large what is looked for is, and"
    " whether the test set holds pictures that training has almost seen.",
    " ".join(filter(None, gaps)),
    found.tables,
    found.pictures,
  )


def _gaps(runs: Sequence[Run], name: str, missing: Callable[[Run], bool]) -> str:
  names = [run.name for run in runs if missing(run)]
  return f"Not shown, for want of {name}: {listed(names)}." if names else ""
