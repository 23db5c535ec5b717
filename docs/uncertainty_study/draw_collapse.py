"""Draws how models come to predict gland everywhere, from the committed rows.

python docs/uncertainty_study/draw_collapse.py     # writes collapse/progress.png
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import panels  # in the folder above

from mlseg import files
from mlseg.report import drawing

FOLDER = HERE / "collapse"


def main() -> None:
  """Draws the figure: a panel for each change, a line for each quantity."""
  rows = files.read_csv(FOLDER / "progress.csv")
  changes = list(dict.fromkeys(row["change"] for row in rows))
  quantities = [
    name for name in ("share of the geometry", "validation Dice")
    if any(row["quantity"] == name for row in rows)
  ]  # fmt: skip
  figure = panels.draw(rows, ("change", changes), ("quantity", quantities), "share, Dice", (0, 1))
  files.write_file(FOLDER / "progress.png", drawing.to_png(figure))


if __name__ == "__main__":
  main()
