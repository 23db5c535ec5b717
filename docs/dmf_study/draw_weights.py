"""Draws the weights of the losses over training, figure 4 of the paper, from the committed rows.

python docs/dmf_study/draw_weights.py     # writes docs/dmf_study/converged/weights.png
"""

import pathlib

import numpy as np
from matplotlib.figure import Figure

from mlseg import files
from mlseg.report import drawing

FOLDER = pathlib.Path(__file__).resolve().parent / "converged"
COLUMNS = 3


def main() -> None:
  """Draws a panel for each method whose weights change."""
  rows = files.read_csv(FOLDER / "weights.csv")
  methods = [name for name in dict.fromkeys(row["method"] for row in rows) if name != "fixed"]
  losses = list(dict.fromkeys(row["loss"] for row in rows))
  with drawing.style(8):
    height = -(-len(methods) // COLUMNS)
    figure = Figure(figsize=(8, 1.7 * height), layout="constrained")
    panels = np.ravel(figure.subplots(height, COLUMNS, sharex=True, sharey=True, squeeze=False))
    for axes, method in zip(panels, methods, strict=False):
      for n, loss in enumerate(losses):
        own = [row for row in rows if row["method"] == method and row["loss"] == loss]
        if own:
          epochs, mean, low, high = (
            [float(row[name]) for row in own] for name in ("epoch", "mean", "low", "high")
          )
          axes.plot(epochs, mean, label=loss.replace("_", " "), **drawing.line_style(n))
          axes.fill_between(epochs, low, high, alpha=0.2, color=drawing.line_style(n)["color"])
      axes.set_title(method, fontsize=8)
      axes.set_ylim(0, 1)
    for axes in panels[len(methods) :]:
      axes.set_axis_off()
    for axes in panels[::COLUMNS]:
      axes.set_ylabel("share of the weights")
    for axes in panels[max(0, len(methods) - COLUMNS) : len(methods)]:
      axes.set_xlabel("epoch")
      axes.tick_params(labelbottom=True)
    drawing.legend_of(figure, list(panels))
    files.write_file(FOLDER / "weights.png", drawing.to_png(figure))


if __name__ == "__main__":
  main()
