"""Figures of volumes: the slices with the most attention, and their saliency maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import ReportFigure, report_figure
from mlseg.report.names import file_name, wrapped
from mlseg.workdir.patients_file import Patients
from mlseg.workdir.run_files import RunFiles

MOST_PATIENTS = 6  # of a run on the page
_MOST_SLICES = 4  # of a patient


def figures(runs: Sequence[RunFiles], most: int = MOST_PATIENTS) -> list[ReportFigure]:
  """Returns a figure per patient: the slices with the most attention, with and without Grad-CAM.

  Args:
    runs: those without `patients.npz` are left out.
    most: patients of a run, half of them wrongly predicted, if there are any.
  """
  made = []
  for number, run in enumerate(runs, start=1):
    if (shown := run.patients) is None:
      continue
    for index in chosen(shown, most):
      words = in_words(shown, index)
      name = file_name(f"patient-{index + 1}", number, run.name)
      alt = f"{run.name}: {words} Slices with the outline of the lesion, and saliency maps."
      drawn = figure(run.name, shown, index)
      made.append(report_figure(name, drawn, alt, f"{run.name}; {words}"))
  return made


def chosen(shown: Patients, most: int) -> list[int]:
  """Returns the indices of patients to show: half of them wrongly predicted, if there are any."""
  wrong = np.flatnonzero(shown.labels != shown.predicted)
  right = np.flatnonzero(shown.labels == shown.predicted)
  half = max(most // 2, most - len(right))
  both = [*wrong[:half], *right[: max(most - len(wrong), most - most // 2)]]
  return sorted(map(int, both[:most]))


def in_words(shown: Patients, index: int) -> str:
  """Returns in words a patient, its label, the prediction, and the slices with most attention."""
  order = top(shown.attention[index])
  shares = ", ".join(f"{n + 1} ({100 * shown.attention[index, n]:.0f} %)" for n in order)
  return (
    f"{shown.ids[index]}, seed {shown.seeds[index]}: {shown.labels[index]}, predicted"
    f" {shown.predicted[index]} ({100 * shown.probability[index]:.0f} %). Slices with the most"
    f" attention, numbered from the feet: {shares}."
  )


def top(attention: np.ndarray) -> list[int]:
  """Returns the indices of the slices with the most attention, in their order in the body.

  Example:
    >>> top(np.array([0.1, 0.4, 0.0, 0.3, 0.2, 0.0]))
    [0, 1, 3, 4]
  """
  there = np.flatnonzero(attention > 0)
  most = there[np.argsort(-attention[there], kind="stable")][:_MOST_SLICES]
  return sorted(map(int, most))


def figure(title: str, shown: Patients, index: int) -> Figure:
  """Returns the slices of a patient with the most attention, and the attention of all as bars."""
  order = top(shown.attention[index])
  drawn = Figure(figsize=(1.7 * _MOST_SLICES, 4.6), layout="constrained")
  words = f"{title}\n{shown.ids[index]}: {shown.labels[index]}, predicted {shown.predicted[index]}"
  drawn.suptitle("\n".join(wrapped(line, 64) for line in words.split("\n")), fontsize=9)
  parts: Any = drawn.subfigures(2, 1, height_ratios=(3.4, 1.0))
  images, bars = parts
  grid = images.subplots(2, _MOST_SLICES, squeeze=False)
  for column, axes in enumerate(grid.T):
    for one in axes:
      one.set_axis_off()
    if column < len(order):
      _slice(axes, shown, index, order[column])
  _bars(bars.subplots(), shown.attention[index], order)
  return drawn


def _slice(axes: np.ndarray, shown: Patients, index: int, number: int) -> None:
  """Draws a slice with its outlines, and below it the slice under its saliency map."""
  for one, with_map in zip(axes, (False, True), strict=True):
    one.set_axis_on()
    one.spines[:].set_visible(False)
    outlines.show(one, shown.images[index, number][..., None])
    outlines.outline(one, shown.masks[index, number], predicted=False)
    if with_map:
      heat = np.asarray(shown.saliency[index, number], float) / 255
      one.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.5 * heat)
    else:
      outlines.outline(one, shown.predictions[index, number], predicted=True)
      one.set_title(f"slice {number + 1}", fontsize=7)


def _bars(axes: Axes, attention: np.ndarray, order: Sequence[int]) -> None:
  slices = np.arange(len(attention))
  colours = np.where(np.isin(slices, order), "#0072B2", "0.7")
  axes.bar(slices + 1, 100 * attention, color=colours)
  axes.set(xticks=slices + 1)
  axes.set_xlabel("slice, numbered from the feet", fontsize=7)
  axes.set_ylabel("attention, %", fontsize=7)
  axes.tick_params(labelsize=7)
  axes.grid(alpha=0.3, axis="y")
