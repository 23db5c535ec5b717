"""Figures about outcomes: ROC curves and calibration plots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlseg.report.drawing import (
  COLOURS,
  ReportFigure,
  add_title,
  fitted,
  legend_of,
  line_style,
  report_figure,
)
from mlseg.report.names import file_name, listed
from mlseg.report.outcome.rows import Pooled

_NUM_BINS = 20  # of the histogram of probabilities

Numbers = Mapping[str, Any]  # of a run, from `mlseg.report.outcome.numbers.summarize_run`


def roc(runs: Mapping[str, Numbers]) -> list[ReportFigure]:
  """Returns the ROC curves of all runs that have one.

  A figure has at most as many runs in colour as there are colours; the others are grey.

  Args:
    runs: their numbers by name.
  """
  known = {name: one for name, one in runs.items() if one["auc_delong"]["estimate"] is not None}
  names = list(known)
  count = -(-len(names) // len(COLOURS))
  figures = []
  groups = np.array_split(np.arange(len(names)), count) if names else []
  for number, group in enumerate(groups, start=1):
    chosen = [names[i] for i in group]
    grey = "; the other runs in grey" if len(chosen) < len(names) else ""
    areas = ", ".join(f"{name} {known[name]['auc_delong']['estimate']:.3f}" for name in chosen)
    alt = (
      f"ROC curves, from the lower left to the upper right. Area under the curve: {areas}{grey}."
    )
    caption = (
      f"ROC curve of {listed(chosen, 3)}, with the area under the curve{grey}. The grey diagonal is"
      " chance."
    )
    figures.append(report_figure(f"roc-{number}", _roc(known, chosen), alt, caption))
  return figures


def _roc(runs: Mapping[str, Numbers], chosen: Sequence[str]) -> Figure:
  figure = Figure(figsize=(4.0, 4.0), layout="constrained")
  axes = figure.subplots()
  axes.plot((0, 1), (0, 1), color="0.6", linewidth=1)
  for name, one in runs.items():
    # One point per distinct score: steps, or slopes where cases of both labels share a score.
    points = one["roc"]["false_positive_rate"], one["roc"]["true_positive_rate"]
    if name not in chosen:
      axes.plot(*points, color="0.75", linewidth=1)
      continue
    label = f"{name} ({one['auc_delong']['estimate']:.3f})"
    axes.plot(*points, label=label, **line_style(chosen.index(name)))  # type: ignore[arg-type]
  axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
  axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
  axes.grid(alpha=0.3)
  legend_of(figure, [axes])
  return figure


def calibration(runs: Mapping[str, Numbers], pooled: Mapping[str, Pooled]) -> list[ReportFigure]:
  """Returns a figure per run: a calibration plot, and below it a histogram of the probabilities.

  Args:
    runs: their numbers by name.
    pooled: the cases of the same runs by name.
  """
  figures = []
  for number, (name, one) in enumerate(runs.items(), start=1):
    curve = one["calibration"]
    bins = [
      f"{predicted:.2f} and {observed:.2f} of {count}"
      for predicted, observed, count in zip(
        curve["predicted"], curve["observed"], curve["counts"], strict=True
      )
      if count
    ]
    alt = (
      f"Calibration of {name}, mean probability and observed share of {one['positive']} in each"
      f" bin: {'; '.join(bins)} cases."
    )
    caption = (
      f"{name}: observed share of {one['positive']} among cases of similar predicted probability,"
      " with Wilson's 95 % interval; below, a histogram of the predicted probabilities."
    )
    figure = _calibration(name, one, pooled[name])
    figures.append(report_figure(file_name("calibration", number, name), figure, alt, caption))
  return figures


def _calibration(name: str, one: Numbers, pooled: Pooled) -> Figure:
  figure = Figure(figsize=(4.0, 4.6), layout="constrained")
  above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
  curve = {field: np.array(values, float) for field, values in one["calibration"].items()}
  above.plot((0, 1), (0, 1), color="0.6", linewidth=1)
  there = curve["counts"] > 0
  x, y = curve["predicted"][there], curve["observed"][there]
  ends = np.maximum(
    [y - curve["low"][there], curve["high"][there] - y], 0
  )  # rounding may make them negative
  above.errorbar(x, y, ends, fmt="o", markersize=4, elinewidth=1.2, capsize=2, color=COLOURS[0])
  above.set(ylabel=fitted(f"share of {one['positive']}", 2.2), ylim=(-0.02, 1.02))
  add_title(figure, name)
  edges = np.linspace(0, 1, _NUM_BINS + 1)
  for value, label in enumerate(pooled.names):
    own, look = pooled.probabilities[pooled.labels == value], line_style(value)
    counts, _ = np.histogram(own, edges)
    below.stairs(counts, edges, fill=True, color=look["color"], alpha=0.2)
    below.stairs(counts, edges, color=look["color"], linestyle="-:"[value], lw=1.5, label=label)
  below.set(xlabel=fitted(f"probability of {one['positive']}", 2.2), ylabel="cases")
  below.set(xlim=(-0.02, 1.02))
  below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
  for axes in (above, below):
    axes.grid(alpha=0.3)
  legend_of(figure, [below])
  return figure
