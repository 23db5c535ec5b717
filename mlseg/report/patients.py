"""Figures of volumes: the slices with the most attention, and their saliency maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlseg.report import diagnosis, outlines
from mlseg.report.drawing import ReportFigure, add_title, report_figure
from mlseg.report.names import file_name
from mlseg.workdir.patients_file import Patients
from mlseg.workdir.run_files import RunFiles

MOST_PATIENTS = 6  # of a run on the page
_MOST_SLICES = 4  # of a patient
_SIDE = 1.7  # of a slice, inches


def figures(runs: Sequence[RunFiles], most: int = MOST_PATIENTS) -> list[ReportFigure]:
  """Returns a figure per patient: the slices with the most attention.

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
      alt = f"{run.name}: {words} Slices with outlines, and the attention of all slices."
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
  """Returns the slices of a patient with the most attention, and the attention of all as bars.

  Saliency maps are below the slices, where their grid is fine enough; see `diagnosis.is_fine`.

  Args:
    title: of the figure.
    shown: the patients.
    index: of the patient.
  """
  order = top(shown.attention[index])
  with_maps = diagnosis.is_fine(diagnosis.grid_of(shown.saliency))
  width = _SIDE * _MOST_SLICES + 0.8 * with_maps
  drawn = Figure(figsize=(width, 2.9 + 1.7 * with_maps), layout="constrained")
  words = f"{title}\n{shown.ids[index]}: {shown.labels[index]}, predicted {shown.predicted[index]}"
  add_title(drawn, words, 9)
  heights = (3.4 if with_maps else 1.7, 1.0)
  parts: Any = drawn.subfigures(2, 1, height_ratios=heights)
  images, bars = parts
  grid = images.subplots(1 + with_maps, _MOST_SLICES, squeeze=False)
  for column, axes in enumerate(grid.T):
    for one in axes:
      one.set_axis_off()
    if column < len(order):
      _slice(axes, shown, index, order[column])
  if with_maps:
    diagnosis.add_colour_bar(images, grid)
  _bars(bars.subplots(), shown.attention[index], order)
  names = outlines.class_names((), max(int(shown.masks.max()), int(shown.predictions.max()), 1))
  outlines.add_class_legend(drawn, names)
  return drawn


def _slice(axes: np.ndarray, shown: Patients, index: int, number: int) -> None:
  """Draws a slice with its outlines, and below it the slice under its saliency map, if asked for.

  Args:
    axes: [1 or 2]; the second is for the map.
    shown: the patients.
    index: of the patient.
    number: of the slice.
  """
  classes = 1 + max(int(shown.masks.max()), int(shown.predictions.max()), 1)
  for one, with_map in zip(axes, (False, True), strict=False):
    one.set_axis_on()
    one.spines[:].set_visible(False)
    outlines.show(one, shown.images[index, number][..., None])
    if with_map:
      diagnosis.show_map(one, shown.saliency[index, number])
    outlines.outline(one, shown.masks[index, number], predicted=False, num_classes=classes)
    if not with_map:
      predicted = shown.predictions[index, number]
      outlines.outline(one, predicted, predicted=True, num_classes=classes)
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
