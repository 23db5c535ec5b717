"""Figures that compare several runs over training: losses, weights and validation scores."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import curves
from mlseg.report.curves import Band
from mlseg.report.drawing import COLOURS, ReportFigure, report_figure
from mlseg.report.names import file_name, listed, wrapped
from mlseg.workdir.run_files import RunFiles

_SIZE = (3.6, 2.5)  # inches, of one small figure


def terms(runs: Sequence[RunFiles], field: str, label: str) -> list[ReportFigure]:
  """Returns a small figure per run, all with the same axes and the same colours of losses.

  Args:
    runs: those without `metrics.jsonl` are left out.
    field: 'losses' or 'weights'.
    label: of the axis.
  """
  bands = {run.name: curves.term_bands(run.records, field) for run in runs if run.records}
  styles: dict[str, int] = {}
  for one in bands.values():
    for term in one:
      styles.setdefault(term, len(styles))
  large = curves.large_terms(list(bands.values()))
  limits = {
    upper: curves.limits_of(
      [b for one in bands.values() for term, b in one.items() if (term in large) == upper]
    )
    for upper in (False, True)
  }
  figures = []
  for number, (name, one) in enumerate(bands.items(), start=1):
    figure = curves.curves(
      one, label, wrapped(name, 44), size=_SIZE, styles=styles, large=large, limits=limits
    )
    alt = f"{field.capitalize()} over training of {name}: {_in_words(one)}."
    caption = f"{name}. At the end: {_at_end(one)}."
    figures.append(report_figure(file_name(field, number, name), figure, alt, caption))
  return figures


def learning(runs: Sequence[RunFiles]) -> list[ReportFigure]:
  """Returns the validation Dice of all runs by epoch; of runs that diagnose accuracy and AUC too.

  A figure has at most as many runs in colour as there are colours; the others are grey.
  """
  words = {"dice": "Dice", "accuracy": "accuracy", "auc": "AUC"}
  return [made for score, word in words.items() for made in _learning_of(runs, score, word)]


def _learning_of(runs: Sequence[RunFiles], score: str, word: str) -> list[ReportFigure]:
  bands = {run.name: band for run in runs if len((band := _validation(run, score)).epochs)}
  names = list(bands)
  count = -(-len(names) // len(COLOURS))
  figures = []
  groups = np.array_split(np.arange(len(names)), count) if names else []
  for number, group in enumerate(groups, start=1):
    chosen = [names[i] for i in group]
    grey = "; the other runs in grey" if len(chosen) < len(names) else ""
    alt = f"Validation {word} over training: {_in_words({n: bands[n] for n in chosen})}{grey}."
    caption = f"Validation {word} of {listed(chosen, 3)}{grey}."
    name = f"learning-{number}" if score == "dice" else f"learning-{score}-{number}"
    figures.append(report_figure(name, _learning(bands, chosen, word), alt, caption))
  return figures


def _learning(bands: dict[str, Band], chosen: Sequence[str], word: str) -> Figure:
  figure = Figure(figsize=(4.0, 2.8 + 0.18 * len(chosen)), layout="constrained")
  axes = figure.subplots()
  for name, one in bands.items():
    if name not in chosen:
      axes.plot(one.epochs, one.mean, color="0.75", linewidth=1)
  for n, name in enumerate(chosen):
    curves.draw(axes, bands[name], n, wrapped(name, 48))
  limits = curves.limits_of(list(bands.values()))
  axes.set(xlabel="epoch", ylabel=f"{word}, validation", ylim=limits)
  axes.grid(alpha=0.3)
  curves.legend_below(figure, [axes], columns=1)
  return figure


def _validation(run: RunFiles, score: str) -> Band:
  records = [record for record in run.records or () if score in record.get("validation", ())]
  return curves.band(records, lambda record: record["validation"][score])


def _in_words(bands: dict[str, Band]) -> str:
  """Returns in words where each line starts and ends, for those who cannot see it."""
  return "; ".join(
    f"{name.replace('_', ' ')} from {one.mean[0]:.3g} to {one.mean[-1]:.3g}"
    for name, one in bands.items()
  )


def _at_end(bands: dict[str, Band]) -> str:
  return ", ".join(f"{name.replace('_', ' ')} {one.mean[-1]:.2f}" for name, one in bands.items())
