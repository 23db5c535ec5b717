"""Draws each method's score relative to the tuned sum, from the committed rows.

python docs/which_weighting/draw.py    # writes docs/which_weighting/ratios.png
"""

import pathlib
import sys

from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import methods
from ranking import Comparison, Study

from mlseg import files
from mlseg.report import drawing

TITLES = {
  "regression_2": "regression, 2 tasks",
  "regression_10": "regression, 10 tasks",
  "toy": "toy of two losses",
  "pinn": "Poisson's equation",
}
TICKS = {  # of the axis of ratios
  "regression_2": (1, 2, 5, 10),
  "regression_10": (1, 1.5, 2, 3),
  "toy": (0.5, 1, 2, 5, 10),
  "pinn": (0.1, 1, 10, 100, 1000),
}
LIMITS = {  # a dot beyond them is an arrow at the edge, with its number
  "regression_2": (0.85, 13.0),
  "regression_10": (0.87, 3.8),
  "toy": (0.3, 25.0),
  "pinn": (0.1, 2e4),
}
BETTER, EQUAL, WORSE = "#0072B2", "#888888", "#D55E00"  # that stay apart for the colour-blind


def draw(study: Study, path: pathlib.Path) -> None:
  """Writes the figure: a panel per problem, a line per method, ordered by the mean rank.

  Args:
    study: the committed rows.
    path: of the figure.
  """
  common = [name for name in study.common() if name != methods.TUNED]
  ranks = study.mean_ranks(common)
  common.sort(key=lambda name: ranks[name].estimate)
  names = common + [name for name in study.methods("pinn") if name not in (*common, methods.TUNED)]
  with drawing.style(size=9):
    figure = Figure((10.5, 0.21 * len(names) + 1.0), layout="constrained")
    panels = figure.subplots(1, len(methods.PROBLEMS), sharey=True)
    for axes, problem in zip(panels, methods.PROBLEMS, strict=True):
      for line, name in enumerate(names):
        if name in study.methods(problem):
          _line(axes, line, study.compare(problem, name), LIMITS[problem])
      axes.axvline(1, color="black", linewidth=0.8)
      axes.set(xscale="log", title=TITLES[problem], xlim=LIMITS[problem])
      axes.set_xticks(TICKS[problem], [f"{tick:g}" for tick in TICKS[problem]])
      axes.set_xticks([], minor=True)
      axes.grid(alpha=0.25)
      axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel("score / score of the tuned sum: left of the black line is better", fontsize=9)
    files.write_file(path, drawing.to_png(figure))


def _line(axes: Axes, line: int, found: Comparison, limits: tuple[float, float]) -> None:
  """Draws the ratio of a method with its interval."""
  colour = BETTER if found.is_better else WORSE if found.is_worse else EQUAL
  if found.ratio.estimate > limits[1]:
    axes.plot(limits[1] / 1.03, line, ">", color=colour, markersize=5, clip_on=False)
    text = f"{found.ratio.estimate:.0f} "
    axes.text(limits[1] / 1.06, line, text, ha="right", va="center", fontsize=8, color=colour)
  else:
    axes.plot([found.ratio.low, found.ratio.high], [line, line], color=colour, linewidth=1.6)
    axes.plot(found.ratio.estimate, line, "o", color=colour, markersize=4.5)


def read() -> Study:
  """Returns the committed rows."""
  tables = (HERE / f"{name}.csv" for name in ("rows", "grid", "cost"))
  return Study(*(files.read_csv(path) if path.exists() else [] for path in tables))


def read_short() -> Study:
  """Returns the rows of shorter trainings, whose tuned sum has the same grid."""
  return Study(files.read_csv(HERE / "short.csv"), [], [])


if __name__ == "__main__":
  draw(read(), HERE / "ratios.png")
