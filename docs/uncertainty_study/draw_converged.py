"""Draws table 1 beside the paper's, and weights over training, from the committed rows.

python docs/uncertainty_study/draw_converged.py  # writes converged/published.png and progress.png
"""

import json
import pathlib
import sys

from matplotlib.figure import Figure

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import panels  # in the folder above
from converged import KEYS  # beside this file
from findings import SCORES, WORDS

from mlseg import files
from mlseg.report import drawing

FOLDER = HERE / "converged"


def main() -> None:
  """Draws both figures."""
  study = json.loads((FOLDER / "study.json").read_text())
  figure = published(files.read_csv(FOLDER / "rows.csv"), study["published"]["rows"])
  files.write_file(FOLDER / "published.png", drawing.to_png(figure))

  weights = files.read_csv(FOLDER / "weights.csv")
  shown = [{**row, "loss": f"share of {WORDS[row['loss']]}"} for row in weights]
  rows = shown + files.read_csv(FOLDER / "progress.csv")
  methods = [name for name in dict.fromkeys(row["method"] for row in rows) if "+" in name]
  lines = list(dict.fromkeys(row["loss"] for row in rows))
  figure = panels.draw(rows, ("method", methods), ("loss", lines), "share, Dice", (0, 1))
  files.write_file(FOLDER / "progress.png", drawing.to_png(figure))


def published(rows: list[dict[str, str]], theirs: dict[str, dict]) -> Figure:
  """Returns a panel for each score in percent: a point for each seed, and the paper's mean.

  Args:
    rows: of `rows.csv`.
    theirs: the paper's table, by row and score.
  """
  methods = list(dict.fromkeys(row["method"] for row in rows))
  shown = [(word, name) for word, name, factor in SCORES if factor == 100]
  with drawing.style(8):
    figure = Figure(figsize=(8, 0.24 * len(methods) + 1), layout="constrained")
    for axes, (word, name) in zip(figure.subplots(1, len(shown), sharey=True), shown, strict=True):
      own = [(100 * float(r[name]), methods.index(r["method"])) for r in rows if r.get(name)]
      paper = [
        (theirs[method][KEYS[word]]["mean"], place)
        for place, method in enumerate(methods)
        if KEYS[word] in theirs[method]
      ]
      for points, label, style in ((own, "seed", 0), (paper, "paper", 1)):
        marker = {"marker": "o", "alpha": 0.6} if label == "seed" else {"marker": "D"}
        axes.plot(
          *zip(*points, strict=True), linestyle="", markersize=4.5, label=label,
          color=drawing.line_style(style)["color"], **marker,
        )  # fmt: skip
      axes.set_title(word, fontsize=8)
      axes.set_xlabel("%")
      axes.grid(axis="y", alpha=0.3)
    first = figure.axes[0]
    first.set_yticks(range(len(methods)), methods)
    first.set_ylim(len(methods) - 0.5, -0.5)
    drawing.legend_of(figure, figure.axes)
  return figure


if __name__ == "__main__":
  main()
