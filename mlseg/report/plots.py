"""Figures of one run, from the files in its folder alone."""

import json
import pathlib

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import curves, diagnosis, drawing, outlines, patients
from mlseg.report.names import file_name
from mlseg.workdir import patients as patient_files
from mlseg.workdir import run_files

_NUM_PANELS = 6  # of examples of a run
_NUM_PATIENTS = 12  # of a run on volumes


def plot_run(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Draws losses, weights, predictions and what spoke for a diagnosis into `figures/`.

  Args:
    workdir: a run's folder with `metrics.jsonl`, and `examples.npz` or `saliency.npz`.

  Returns:
    The files that were written.
  """
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  folder = workdir / "figures"
  folder.mkdir(exist_ok=True)
  num_seeds = len({record["seed"] for record in records})
  of = f", mean and range of {num_seeds} seeds" if num_seeds > 1 else ""
  with drawing.style(size=10):
    figures = {
      f"{field}.png": curves.curves(
        curves.term_bands(records, field), label, f"{label} of each term{of}"
      )
      for field, label in (("losses", "loss"), ("weights", "weight"))
    }
    if (path := workdir / "examples.npz").exists():  # a pure classifier has none
      with np.load(path, allow_pickle=False) as file:
        figures["predictions.png"] = predictions(_best_to_worst(dict(file)))
    if (shown := run_files.read_saliency(workdir)) is not None:
      figures["saliency.png"] = diagnosis.figure(workdir.name, shown)
    made = [_save(figure, folder / name) for name, figure in figures.items()]
  if (path := workdir / "patients.npz").exists():
    found = patient_files.read(path)
    some = patients.chosen(found, _NUM_PATIENTS)
    plot_patients(folder / "patients", workdir.name, patient_files.part(found, some))
  return made


def plot_patients(
  folder: pathlib.Path, title: str, shown: patient_files.Patients, first: int = 1
) -> None:
  """Draws each of some patients into a file of its own; see `patients.figure`.

  Args:
    folder: made if it is missing.
    title: of the figures.
    shown: the patients.
    first: the number of the first of them, which is part of the names of the files.
  """
  folder.mkdir(exist_ok=True)
  with drawing.style():
    for place, name in enumerate(shown.ids.tolist()):
      path = folder / f"{file_name('patient', first + place, name)}.png"
      _save(patients.figure(title, shown, place), path)


def predictions(examples: dict[str, np.ndarray]) -> Figure:
  """Returns a row per example, best first: image, ground truth, prediction, and both outlines.

  Args:
    examples: of `examples.npz`: images [N, H, W, 1 or 3], masks and predictions [N, H, W], ids,
      dice.
  """
  count = len(examples["images"])
  figure = Figure(figsize=(8, 2.05 * count), layout="constrained")
  axes = figure.subplots(count, 4, squeeze=False)
  titles = ("image", "ground truth", "prediction", outlines.LEGEND.replace(", ", "\n"))
  classes = max(1, int(examples["masks"].max()), int(examples["predictions"].max()))
  for row in range(count):
    image = examples["images"][row]
    truth, predicted = examples["masks"][row], examples["predictions"][row]
    outlines.show(axes[row, 0], image)
    for column, mask in ((1, truth), (2, predicted)):
      axes[row, column].imshow(mask, cmap="gray", vmin=0, vmax=classes)
      axes[row, column].set(xticks=[], yticks=[])
    outlines.show(axes[row, 3], image)
    outlines.outline(axes[row, 3], truth, predicted=False)
    outlines.outline(axes[row, 3], predicted, predicted=True)
    axes[row, 0].set_ylabel(f"{examples['ids'][row]}\nDice {examples['dice'][row]:.3f}", fontsize=8)
  for axis, title in zip(axes[0], titles, strict=True):
    axis.set_title(title, fontsize=8)
  return figure


def _best_to_worst(examples: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns a few of the examples, evenly spaced in the order of their Dice."""
  order = np.argsort(-examples["dice"], kind="stable")
  count = min(_NUM_PANELS, len(order))
  chosen = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
  return {name: values[chosen] for name, values in examples.items()}


def _save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
  temporary = path.with_name(f".{path.name}")
  temporary.write_bytes(drawing.to_png(figure))
  temporary.replace(path)
  return path
