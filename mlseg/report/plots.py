"""Writes the figures of one run into its folder, from the run's files alone."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlseg.files import write_file
from mlseg.report import (
  conflicts,
  curves,
  diagnosis,
  drawing,
  outlines,
  patients,
  recipes,
  training,
)
from mlseg.report.drawing import fitted
from mlseg.report.names import file_name
from mlseg.workdir import (
  data_table,
  examples_file,
  metrics_log,
  patients_file,
  run_folder,
  saliency_file,
)
from mlseg.workdir.examples_file import Examples
from mlseg.workdir.patients_file import Patients

_NUM_PANELS = 6  # of examples of a run
_NUM_PATIENTS = 12  # of a run on volumes


def plot_run(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Draws into `figures/` what a run has: curves, predictions, saliency maps and patients.

  Args:
    workdir: the folder of a run or of an evaluation; what is drawn depends on its files.

  Returns:
    The files that were written, without those of patients.
  """
  records = metrics_log.read(workdir) if (workdir / metrics_log.NAME).exists() else []
  folder = workdir / "figures"
  folder.mkdir(exist_ok=True)
  num_seeds = len({record["seed"] for record in records})
  of = f", mean and range of {num_seeds} seeds" if num_seeds > 1 else ""
  config = run_folder.read(workdir).config if (workdir / run_folder.NAME).exists() else {}
  share = training.share_of(config, records)
  title = recipes.trains(config) or workdir.name
  names = data_table.class_names(workdir) if (workdir / data_table.NAME).exists() else ()
  with drawing.style(size=10):
    figures = {
      f"{field}.png": curves.curves(
        curves.term_bands(records, field), label, f"{label} of each term{of}", share=own
      )
      for field, label, own in (("losses", "loss", None), ("weights", "weight", share))
      if records
    }
    if drawn := conflicts.plot(records, f"cosine of the gradients of two losses{of}"):
      figures["cosines.png"] = drawn
    if (workdir / examples_file.NAME).exists():  # a network that only diagnoses has none
      shown = _best_to_worst(examples_file.read(workdir))
      figures["predictions.png"] = predictions(shown, names)
    if (workdir / saliency_file.NAME).exists():
      maps = saliency_file.read(workdir)
      if diagnosis.is_fine(diagnosis.grid_of(maps.maps.values())):
        figures["saliency.png"] = diagnosis.figure(title, maps, names)
    made = [_save(figure, folder / name) for name, figure in figures.items()]
  if (workdir / patients_file.NAME).exists():
    found = patients_file.read(workdir)
    some = patients_file.select(found, patients.chosen(found, _NUM_PATIENTS))
    plot_patients(folder / "patients", title, some)
  return made


def plot_patients(folder: pathlib.Path, title: str, shown: Patients, first: int = 1) -> None:
  """Draws each of some patients into a file of its own; see `patients.figure`.

  Args:
    folder: made if it is missing.
    title: of the figures.
    shown: the patients.
    first: number of the first of them in the names of the files.
  """
  folder.mkdir(exist_ok=True)
  with drawing.style():
    for n, name in enumerate(shown.ids.tolist()):
      path = folder / f"{file_name('patient', first + n, name)}.png"
      _save(patients.figure(title, shown, n), path)


def predictions(examples: Examples, names: Sequence[str] = ()) -> Figure:
  """Returns a row per example: image, ground truth, prediction, and both outlines.

  Args:
    examples: with at least one case.
    names: of the classes, the background first; empty: they are numbered.
  """
  count = len(examples.ids)
  figure = Figure(figsize=(8, 2.05 * count), layout="constrained")
  axes = figure.subplots(count, 4, squeeze=False)
  highest = max(int(examples.masks.max()), int(examples.predictions.max()), 1)
  names = outlines.class_names(names, highest)
  for row in range(count):
    image, truth, predicted, name, dice = (array[row] for array in examples)
    outlines.show(axes[row, 0], image)
    outlines.show_classes(axes[row, 1], truth, len(names))
    outlines.show_classes(axes[row, 2], predicted, len(names))
    outlines.show(axes[row, 3], image)
    outlines.outline(axes[row, 3], truth, predicted=False, num_classes=len(names))
    outlines.outline(axes[row, 3], predicted, predicted=True, num_classes=len(names))
    axes[row, 0].set_ylabel(fitted(f"{name}\nDice {dice:.3f}", 1.9, 8), fontsize=8)
  for axis, title in zip(
    axes[0], ("image", "ground truth", "prediction", "outlines of both"), strict=True
  ):
    axis.set_title(title, fontsize=8)
  outlines.add_class_legend(figure, names)
  return figure


def _best_to_worst(examples: Examples) -> Examples:
  """Returns a few of the examples, evenly spaced in the order of their Dice, the best first."""
  order = np.argsort(-examples.dice, kind="stable")
  count = min(_NUM_PANELS, len(order))
  chosen = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
  return examples_file.select(examples, chosen)


def _save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
  write_file(path, drawing.to_png(figure))
  return path
