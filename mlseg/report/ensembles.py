"""The tables of means of models, and of what was chosen on validation for them."""

from collections.abc import Sequence
from typing import NamedTuple

from mlseg.postprocessing.decision import Choice
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.results_file import Estimate
from mlseg.workdir.run_files import RunFiles


class _Column(NamedTuple):
  """A metric of the mean of models."""

  name: str
  heading: str
  factor: float = 100.0  # of the value


_COLUMNS = (
  _Column("dice", "Dice"),
  _Column("iou", "IoU"),
  _Column("hausdorff95", "HD95, pixels", 1.0),
  _Column("normalized_surface_dice", "normalised surface Dice"),
  _Column("classification_accuracy", "accuracy"),
  _Column("roc_auc", "AUC"),
)
_NOTE = (
  "The mean of the probabilities of all models of a run, on the test cases, in percent; HD95 is a"
  " distance. In brackets: 95 % bootstrap interval over the test cases, of which near-duplicates"
  " and those of one patient are resampled together."
)
_CHOICES_NOTE = (
  "Threshold: of the probability of the second of two classes. Components and holes: those of a"
  " smaller share of an image's pixels are removed and filled; 0: none. Dice: mean over the"
  " validation cases, in percent, without and with what was chosen on the same cases, so that the"
  " second is no estimate for new ones."
)


def table(runs: Sequence[RunFiles]) -> Table | None:
  """Returns a row for each run whose mean of models was tested; None where there is none."""
  found = [(run.name, run.ensemble) for run in runs if run.ensemble is not None]
  columns = [c for c in _COLUMNS if any(c.name in own.metrics for _, own in found)]
  rows = [
    (name, str(own.num_models), *(_text(own.metrics.get(c.name), c.factor) for c in columns))
    for name, own in found
  ]
  if not rows:
    return None
  header = ("run", "models", *(column.heading for column in columns))
  return Table("Means of models", header, _cells(rows), _NOTE)


def choices(runs: Sequence[RunFiles]) -> Table | None:
  """Returns a row for each model for which something was chosen; None where there is none."""
  rows = []
  for run in runs:
    if run.choices is None:
      continue
    models = {f"seed {seed}": choice for seed, choice in run.choices.seeds.items()}
    if run.choices.ensemble is not None:
      models["mean"] = run.choices.ensemble
    rows += [(run.name, model, *_of_choice(choice)) for model, choice in models.items()]
  if not rows:
    return None
  header = (
    "run", "model", "threshold", "components, %", "holes, %", "validation cases", "Dice without",
    "Dice with",
  )  # fmt: skip
  return Table("Chosen on validation", header, _cells(rows), _CHOICES_NOTE)


def _of_choice(choice: Choice) -> tuple[str, ...]:
  threshold, *shares = choice.decision
  return (
    "–" if threshold is None else f"{threshold:g}",
    *(f"{100 * share:g}" for share in shares),
    str(choice.num_cases),
    *(f"{100 * score:.2f}" for score in (choice.without, choice.score)),
  )


def _cells(rows: Sequence[Sequence[str]]) -> tuple[tuple[TableCell, ...], ...]:
  return tuple(tuple(map(TableCell, row)) for row in rows)


def _text(estimate: Estimate | None, factor: float) -> str:
  """Returns a metric with its interval; a dash where it is not known.

  Example:
    >>> _text(Estimate(0.831, 0.8, 0.86), 100.0), _text(Estimate(12.5, None, None), 1.0)
    ('83.10 [80.00, 86.00]', '12.50')
  """
  if estimate is None or estimate.value is None:
    return "–"
  value = f"{factor * estimate.value:.2f}"
  if estimate.low is None or estimate.high is None:
    return value
  return f"{value} [{factor * estimate.low:.2f}, {factor * estimate.high:.2f}]"
