"""Draws what the uncertainties learn, weights, losses and sweeps, from the committed rows.

python docs/uncertainty_study/figures.py
"""

import pathlib
import statistics
import sys
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from findings import BY_ADAM, LEARNED, SCORES, WORDS, sweeps  # beside this file

from mlseg import files
from mlseg.report import curves, drawing
from mlseg.report.drawing import legend_of, line_style


def draw(folder: pathlib.Path) -> None:
  """Writes `sigma.png`, `weights.png`, `losses.png` and `sweeps.png` into a folder's `figures`."""
  (folder / "figures").mkdir(exist_ok=True)
  weights = files.read_csv(folder / "weights.csv")
  with drawing.style(size=10):
    made = {
      "sigma": _sigma(weights),
      "weights": _over_training(weights, "weights", "weight"),
      "losses": _over_training(weights, "losses", "loss"),
      "sweeps": _sweeps(files.read_csv(folder / "sweep.csv")),
    }
    for name, figure in made.items():
      files.write_file(folder / "figures" / f"{name}.png", drawing.to_png(figure))


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
    axes.set(title=drawing.fitted(method, 3.0), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
  panels[0].set_ylabel("σ")
  panels[0].set_ylim(bottom=0)
  legend_of(figure, figure.axes)
  return figure


def _over_training(rows: list[dict[str, str]], field: str, label: str) -> Figure:
  """Returns weights or losses of all four losses by epoch, as means over the seeds.

  Args:
    rows: of `weights.csv`.
    field: 'weights' or 'losses'.
    label: of the axes.
  """
  own = [row for row in rows if (row["split"], row["method"]) == ("published", LEARNED[-1])]
  records: dict[tuple[str, str], dict[str, Any]] = {}
  for row in own:
    record = records.setdefault(
      (row["seed"], row["epoch"]),
      {"epoch": float(row["epoch"]) + 1, "weights": {}, "losses": {}},
    )
    record["weights"][WORDS[row["loss"]]] = float(row["weight"])
    record["losses"][WORDS[row["loss"]]] = float(row["value"])
  bands = curves.term_bands(list(records.values()), field)
  seeds = len({row["seed"] for row in own})
  title = f"{LEARNED[-1]}: {field} over training, mean and range of {seeds} seeds"
  return curves.curves(bands, label, title, size=(6.4, 2.8))


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
  legend_of(figure, figure.axes)
  return figure


def _line(axes: Axes, number: int, word: str, points: dict[float, list[float]]) -> None:
  known = {share: [100 * value for value in values] for share, values in points.items() if values}
  if known:
    style = line_style(number)
    axes.plot(
      [*known], [statistics.fmean(values) for values in known.values()], **style, label=word
    )
    ends = [[pick(values) for values in known.values()] for pick in (min, max)]
    axes.fill_between([*known], *ends, alpha=0.15, color=style["color"], linewidth=0)


if __name__ == "__main__":
  draw(HERE)
