"""Figures that compare several runs over training: losses, weights and validation scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import curves
from mlseg.report.curves import Band
from mlseg.report.drawing import COLOURS, ReportFigure, legend_of, report_figure
from mlseg.report.names import file_name, listed
from mlseg.workdir.run_files import RunFiles

_SIZE = (3.6, 2.5)  # inches, of one axis of a small figure
_WORDS = {"dice": "Dice", "accuracy": "accuracy", "auc": "AUC"}  # for validation scores


def terms(runs: Sequence[RunFiles], field: str, label: str) -> list[ReportFigure]:
  """Returns a small figure per run, all with the same colours of losses.

  Each figure has its own axes, so that the weights of one run do not flatten those of another.

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
  figures = []
  known = [run for run in runs if run.records]
  for number, run in enumerate(known, start=1):
    one, name = bands[run.name], run.name
    share = share_of(run.config, run.records or ()) if field == "weights" else None
    figure = curves.curves(one, label, name, size=_SIZE, styles=styles, share=share)
    alt = f"{field.capitalize()} over training of {name}: {_in_words(one)}."
    caption = f"{name}. At the end: {_at_end(one)}"
    caption += f"; {curves.SHARE} {share.mean[-1]:.0f} %." if share is not None else "."
    figures.append(report_figure(file_name(field, number, name), figure, alt, caption))
  return figures


def share_of(config: Mapping[str, Any], records: Sequence[curves.Record]) -> Band | None:
  """Returns the auxiliary loss' share of all weights; None where a run has no auxiliary loss.

  Args:
    config: of the run.
    records: of its `metrics.jsonl`.
  """
  name = (config.get("auxiliary") or {}).get("name", "none")
  if not any(name in record["weights"] for record in records):
    return None
  return curves.share_of_weight(records, name)


def learning(runs: Sequence[RunFiles]) -> list[ReportFigure]:
  """Returns each validation score of all runs by epoch.

  A figure has at most as many runs in colour as there are colours; the others are grey.
  """
  logged = [score for run in runs for r in run.records or () for score in r.get("validation", ())]
  return [
    made
    for score in dict.fromkeys([*_WORDS, *logged])
    for made in _learning_of(runs, score, _WORDS.get(score, score.replace("_", " ")))
  ]


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
  figure = Figure(figsize=(4.0, 2.8), layout="constrained")
  axes = figure.subplots()
  for name, one in bands.items():
    if name not in chosen:
      axes.plot(one.epochs, one.mean, color="0.75", linewidth=1)
  for n, name in enumerate(chosen):
    curves.draw(axes, bands[name], n, name)
  axes.set(ylabel=f"{word}, validation", ylim=curves.limits_of(list(bands.values())))
  curves.epoch_axis(axes, list(bands.values()))
  axes.grid(alpha=0.3)
  legend_of(figure, [axes])
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
