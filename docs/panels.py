"""Draws lines over the epochs in several panels, from rows with a mean and a range."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlseg.report import drawing

COLUMNS = 3


def draw(
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
      _lines(one, [row for row in rows if row[panel[0]] == name], line)
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


def _lines(axes: Axes, rows: Sequence[Mapping[str, str]], line: tuple[str, Sequence[str]]) -> None:
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
