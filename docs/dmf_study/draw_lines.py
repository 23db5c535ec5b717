"""Draws weights and losses over training, figures 4 and 5 of the paper, from the committed rows.

python docs/dmf_study/draw_lines.py     # writes converged/weights.png and converged/losses.png
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import panels  # in the folder above

from mlseg import files
from mlseg.report import drawing

FOLDER = HERE / "converged"
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
  figure = panels.draw(rows, ("method", methods), ("loss", losses), "share of the weights", (0, 1))
  files.write_file(FOLDER / "weights.png", drawing.to_png(figure))

  rows = files.read_csv(FOLDER / "losses.csv")
  known = {row["method"] for row in rows}
  methods = [name for name in SHOWN if name in known]
  common = [
    name
    for name in dict.fromkeys(row["loss"] for row in rows)
    if all(any(row["loss"] == name and row["method"] == one for row in rows) for one in methods)
  ]
  figure = panels.draw(
    rows, ("loss", common), ("method", methods), "loss of training batches", None
  )
  files.write_file(FOLDER / "losses.png", drawing.to_png(figure))


if __name__ == "__main__":
  main()
