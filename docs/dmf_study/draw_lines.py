"""Draws weights and losses over training, figures 4 and 5 of the paper, from the committed rows.

python docs/dmf_study/draw_lines.py     # writes converged/weights.png and converged/losses.png
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlseg import files
from mlseg.report import drawing

FOLDER = pathlib.Path(__file__).resolve().parent / "converged"
COLUMNS = 3
# Whose losses are drawn; with more, the lines could not be told apart.
SHOWN = (
  "fixed",
  "variance+none",
  "bayesian+none",
  "variance+class_balanced_dice",
  "uncertainty",
  "upgrad",
)


def main() -> None:
  """Draws both figures."""
  rows = files.read_csv(FOLDER / "weights.csv")
  methods = [name for name in dict.fromkeys(row["method"] for row in rows) if name != "fixed"]
  losses = list(dict.fromkeys(row["loss"] for row in rows))
  figure = panels(rows, ("method", methods), ("loss", losses), "share of the weights", (0, 1))
  files.write_file(FOLDER / "weights.png", drawing.to_png(figure))

  rows = files.read_csv(FOLDER / "losses.csv")
  known = {row["method"] for row in rows}
  methods = [name for name in SHOWN if name in known]
  common = [
    name
    for name in dict.fromkeys(row["loss"] for row in rows)
    if all(any(row["loss"] == name and row["method"] == one for row in rows) for one in methods)
  ]
  figure = panels(rows, ("loss", common), ("method", methods), "loss of training batches", None)
  files.write_file(FOLDER / "losses.png", drawing.to_png(figure))


def panels(
  rows: Sequence[Mapping[str, str]],
  panel: tuple[str, Sequence[str]],
  line: tuple[str, Sequence[str]],
  title: str,
  limits: tuple[float, float] | None,
) -> Figure:
  """Returns a figure with a panel for each value of one column, and a line for each of another.

  Args:
    rows: with the columns `epoch`, `mean`, `low` and `high` beside these two.
    panel: a column and its values, a panel each.
    line: a column and its values, a line each.
    title: of the vertical axes.
    limits: of the vertical axes; None: those of the lines.
  """
  with drawing.style(8):
    height = -(-len(panel[1]) // COLUMNS)
    figure = Figure(figsize=(8, 1.7 * height + 0.6), layout="constrained")
    axes = np.ravel(
      figure.subplots(height, COLUMNS, sharex=True, sharey=limits is not None, squeeze=False)
    )
    for one, name in zip(axes, panel[1], strict=False):
      draw(one, [row for row in rows if row[panel[0]] == name], line)
      one.set_title(name.replace("_", " "), fontsize=8)
      if limits:
        one.set_ylim(*limits)
    for one in axes[len(panel[1]) :]:
      one.set_axis_off()
    for one in axes[::COLUMNS]:
      one.set_ylabel(title)
    for one in axes[max(0, len(panel[1]) - COLUMNS) : len(panel[1])]:
      one.set_xlabel("epoch")
      one.tick_params(labelbottom=True)
    drawing.legend_of(figure, list(axes))
  return figure


def draw(axes: Axes, rows: Sequence[Mapping[str, str]], line: tuple[str, Sequence[str]]) -> None:
  """Draws a line for each value of a column, with the range of the seeds around it."""
  for n, name in enumerate(line[1]):
    own = [row for row in rows if row[line[0]] == name]
    if own:
      epochs, mean, low, high = (
        [float(row[key]) for row in own] for key in ("epoch", "mean", "low", "high")
      )
      style = drawing.line_style(n)
      axes.plot(epochs, mean, label=name.replace("_", " "), **style)
      axes.fill_between(epochs, low, high, alpha=0.2, color=style["color"])


if __name__ == "__main__":
  main()
