"""Draws what the uncertainties learn, and the sweeps of two weights, from the committed rows.

python docs/uncertainty_study/figures.py
"""

import pathlib
import statistics
import sys

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from findings import BY_ADAM, LEARNED, SCORES, WORDS, sweeps  # beside this file

from mlseg import files
from mlseg.report.drawing import line_style


def draw(folder: pathlib.Path) -> None:
  """Writes `sigma.png` and `sweeps.png` into a folder's `figures`."""
  (folder / "figures").mkdir(exist_ok=True)
  weights = files.read_csv(folder / "weights.csv")
  _save(_sigma(weights), folder / "figures" / "sigma.png")
  _save(_sweeps(files.read_csv(folder / "sweep.csv")), folder / "figures" / "sweeps.png")


def _sigma(rows: list[dict[str, str]]) -> Figure:
  """Returns σ of each loss by epoch, of the published division; a thin line per seed."""
  own = [row for row in rows if row["split"] == "published"]
  methods = [
    method for method in (*LEARNED, BY_ADAM) if any(row["method"] == method for row in own)
  ]
  figure = Figure((3.4 * len(methods), 3.2), layout="constrained")
  panels = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
  for axes, method in zip(panels, methods, strict=True):
    of_method = [row for row in own if row["method"] == method]
    for number, loss in enumerate(dict.fromkeys(row["loss"] for row in of_method)):
      lines: dict[str, list[tuple[int, float]]] = {}
      for row in of_method:
        if row["loss"] == loss:
          # The weight is 1/σ².
          place = (int(row["epoch"]) + 1, float(row["weight"]) ** -0.5)
          lines.setdefault(row["seed"], []).append(place)
      for seed, line in lines.items():
        label = WORDS[loss] if seed == min(lines) else None
        axes.plot(*zip(*line, strict=True), **line_style(number), linewidth=1.2, label=label)
    axes.set(title=method, xlabel="epoch")
  panels[0].set_ylabel("σ")
  panels[0].set_ylim(bottom=0)
  _legend(figure)
  return figure


def _sweeps(rows: list[dict[str, str]]) -> Figure:
  """Returns scores over λ, one panel per sweep: means over seeds, with their range."""
  found = sweeps(rows)
  figure = Figure((4.4 * len(found), 3.2), layout="constrained")
  panels = figure.subplots(1, len(found), squeeze=False)[0]
  for axes, (title, points) in zip(panels, found.items(), strict=True):
    for number, (word, name, factor) in enumerate(SCORES):
      if factor == 100:  # not the distance
        _line(axes, number, word, {share: own[name] for share, own in points.items()})
    axes.set(title=title, xlabel="λ", ylabel="%")
  _legend(figure)
  return figure


def _legend(figure: Figure) -> None:
  """Adds one legend for all panels."""
  lines = {}
  for axes in figure.axes:
    lines |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
  options = {"loc": "outside lower center", "ncols": len(lines), "frameon": False}
  figure.legend([*lines.values()], [*lines], **options)


def _line(axes: Axes, number: int, word: str, points: dict[float, list[float]]) -> None:
  known = {share: [100 * value for value in values] for share, values in points.items() if values}
  if known:
    style = line_style(number)
    axes.plot(
      [*known], [statistics.fmean(values) for values in known.values()], **style, label=word
    )
    ends = [[pick(values) for values in known.values()] for pick in (min, max)]
    axes.fill_between([*known], *ends, alpha=0.15, color=style["color"], linewidth=0)


def _save(figure: Figure, path: pathlib.Path) -> None:
  FigureCanvasAgg(figure)
  figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
  draw(HERE)
