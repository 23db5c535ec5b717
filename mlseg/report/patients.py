"""What a run says of volumes: the slices that count, and what in them spoke for the answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import Picture, picture
from mlseg.report.names import file_name, wrapped
from mlseg.workdir.patients import Patients
from mlseg.workdir.run_files import Run

MOST_PATIENTS = 6  # of a run on the page
_MOST_SLICES = 4  # of a patient


def pictures(runs: Sequence[Run], most: int = MOST_PATIENTS) -> list[Picture]:
  """Returns a figure per patient: the slices that count most, as they are and under Grad-CAM.

  Args:
    runs: those without `patients.npz` are left out.
    most: patients of a run, wrong answers among them.
  """
  made = []
  for number, run in enumerate(runs, start=1):
    if (shown := run.patients) is None:
      continue
    for place in chosen(shown, most):
      words = in_words(shown, place)
      name = file_name(f"patient-{place + 1}", number, run.name)
      alt = f"{run.name}: {words} Slices with the outline of the lesion, and maps of what spoke"
      made.append(
        picture(
          name, figure(run.name, shown, place), f"{alt} for the answer.", f"{run.name}; {words}"
        )
      )
  return made


def chosen(shown: Patients, most: int) -> list[int]:
  """Returns the places of so many patients: half of them wrongly called, where there are any."""
  wrong = np.flatnonzero(shown.labels != shown.predicted)
  right = np.flatnonzero(shown.labels == shown.predicted)
  half = max(most // 2, most - len(right))
  both = [*wrong[:half], *right[: max(most - len(wrong), most - most // 2)]]
  return sorted(map(int, both[:most]))


def in_words(shown: Patients, place: int) -> str:
  """Returns who a patient is, what it is called, and which slices count."""
  order = top(shown.attention[place])
  shares = ", ".join(f"{n + 1} ({100 * shown.attention[place, n]:.0f} %)" for n in order)
  return (
    f"{shown.ids[place]}, seed {shown.seeds[place]}: {shown.labels[place]}, called"
    f" {shown.predicted[place]} ({100 * shown.probability[place]:.0f} %). Slices that count most,"
    f" from the feet: {shares}."
  )


def top(attention: np.ndarray) -> list[int]:
  """Returns the slices that count most, in their order in the body.

  Example:
    >>> top(np.array([0.1, 0.4, 0.0, 0.3, 0.2, 0.0]))
    [0, 1, 3, 4]
  """
  there = np.flatnonzero(attention > 0)
  most = there[np.argsort(-attention[there], kind="stable")][:_MOST_SLICES]
  return sorted(map(int, most))


def figure(title: str, shown: Patients, place: int) -> Figure:
  """Returns the slices of a patient that count most; below them a bar for each slice."""
  order = top(shown.attention[place])
  drawn = Figure(figsize=(1.7 * _MOST_SLICES, 4.6), layout="constrained")
  words = f"{title}\n{shown.ids[place]}: {shown.labels[place]}, called {shown.predicted[place]}"
  drawn.suptitle("\n".join(wrapped(line, 64) for line in words.split("\n")), fontsize=9)
  parts: Any = drawn.subfigures(2, 1, height_ratios=(3.4, 1.0))
  images, bars = parts
  grid = images.subplots(2, _MOST_SLICES, squeeze=False)
  for column, axes in enumerate(grid.T):
    for one in axes:
      one.set_axis_off()
    if column < len(order):
      _slice(axes, shown, place, order[column])
  _bars(bars.subplots(), shown.attention[place], order)
  return drawn


def _slice(axes: np.ndarray, shown: Patients, place: int, number: int) -> None:
  """Draws a slice with its outlines, and below it under what spoke for the answer."""
  for one, warm in zip(axes, (False, True), strict=True):
    one.set_axis_on()
    one.spines[:].set_visible(False)
    outlines.show(one, shown.images[place, number][..., None])
    outlines.outline(one, shown.masks[place, number], predicted=False)
    if warm:
      spoke = np.asarray(shown.saliency[place, number], float) / 255
      one.imshow(spoke, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.5 * spoke)
    else:
      outlines.outline(one, shown.predictions[place, number], predicted=True)
      one.set_title(f"slice {number + 1}", fontsize=7)


def _bars(axes: Axes, attention: np.ndarray, order: Sequence[int]) -> None:
  places = np.arange(len(attention))
  colours = np.where(np.isin(places, order), "#0072B2", "0.7")
  axes.bar(places + 1, 100 * attention, color=colours)
  axes.set(xticks=places + 1)
  axes.set_xlabel("slice, from the feet", fontsize=7)
  axes.set_ylabel("attention, %", fontsize=7)
  axes.tick_params(labelsize=7)
  axes.grid(alpha=0.3, axis="y")
