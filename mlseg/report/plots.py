"""Figures of one run, from the files in its folder alone."""

import io
import json
import pathlib
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: a run has no screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

_NUM_PANELS = 6  # of examples of a run
# Colours that stay apart for the colour-blind (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def plot_run(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Draws losses, weights and predictions into `figures/`.

  Args:
    workdir: a run's folder with `metrics.jsonl` and `examples.npz`.

  Returns:
    The files that were written.
  """
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  with np.load(workdir / "examples.npz", allow_pickle=False) as file:
    examples = dict(file)
  folder = workdir / "figures"
  folder.mkdir(exist_ok=True)
  figures = {
    "losses.png": curves(records, "losses", "loss"),
    "weights.png": curves(records, "weights", "weight"),
    "predictions.png": predictions(_best_to_worst(examples)),
  }
  return [_save(figure, folder / name) for name, figure in figures.items()]


def curves(records: list[dict[str, Any]], field: str, label: str) -> Figure:
  """Returns one line per loss over the epochs, the mean over seeds with their range.

  Args:
    records: of `metrics.jsonl`.
    field: 'losses' or 'weights'.
    label: of the axis.
  """
  names = list(records[0][field])
  peaks = {name: max((r[field][name] or 0.0 for r in records), default=0.0) for name in names}
  # An auxiliary loss starts at five times the sum of the others, which would lie flat below it.
  large = [name for name in names if peaks[name] > 3 * min(peaks.values())]
  panels = 2 if large and len(large) < len(names) else 1
  figure, all_axes = plt.subplots(
    panels, figsize=(7, 3 + panels), sharex=True, squeeze=False, layout="constrained"
  )
  for name, colour in zip(names, _cycle(), strict=False):
    axes = all_axes[0 if name in large else -1, 0]
    by_epoch: dict[float, list[float]] = {}
    for record in records:
      value = record[field][name]
      by_epoch.setdefault(record["epoch"], []).append(np.nan if value is None else value)
    epochs = sorted(by_epoch)
    values = [np.array(by_epoch[epoch]) for epoch in epochs]
    axes.plot(epochs, [v.mean() for v in values], color=colour, label=name.replace("_", " "))
    axes.fill_between(
      epochs, [v.min() for v in values], [v.max() for v in values], color=colour, alpha=0.2, lw=0
    )
  num_seeds = len({record["seed"] for record in records})
  all_axes[0, 0].set_title(
    f"{label} of each term" + (f", mean and range of {num_seeds} seeds" if num_seeds > 1 else "")
  )
  all_axes[-1, 0].set_xlabel("epoch")
  for axes in all_axes[:, 0]:
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend()
  return figure


def predictions(examples: dict[str, np.ndarray]) -> Figure:
  """Returns a row per example, best first: image, ground truth, prediction, and both outlines.

  Args:
    examples: of `examples.npz`: images [N, H, W, 1], masks and predictions [N, H, W], ids, dice.
  """
  count = len(examples["images"])
  figure, axes = plt.subplots(
    count, 4, figsize=(8, 2.05 * count), squeeze=False, layout="constrained"
  )
  titles = ("image", "ground truth", "prediction", "truth (green), prediction (orange)")
  for row in range(count):
    image = examples["images"][row, ..., 0]
    truth, predicted = examples["masks"][row], examples["predictions"][row]
    for column, panel in enumerate((image, truth, predicted, image)):
      limit = 255 if panel is image else max(1, int(truth.max()), int(predicted.max()))
      axes[row, column].imshow(panel, cmap="gray", vmin=0, vmax=limit)
      axes[row, column].set(xticks=[], yticks=[])
    for mask, colour in ((truth, _COLOURS[2]), (predicted, _COLOURS[1])):
      if 0 < (mask > 0).sum() < mask.size:  # an outline needs an inside and an outside
        axes[row, 3].contour(mask > 0, levels=[0.5], colors=colour, linewidths=1)
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


def _cycle() -> list[str]:
  return list(_COLOURS) * 10


def _save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
  buffer = io.BytesIO()
  figure.savefig(buffer, dpi=150, format="png")
  plt.close(figure)
  temporary = path.with_name(f".{path.name}")
  temporary.write_bytes(buffer.getvalue())
  temporary.replace(path)
  return path
