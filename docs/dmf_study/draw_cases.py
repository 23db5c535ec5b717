"""Draws predictions of several methods on the same test images, as figure 1 of the paper.

python docs/dmf_study/draw_cases.py STUDY     # writes converged/cases.png
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import case_panels  # in the folder above
import pages

from mlseg import files
from mlseg.report import drawing
from mlseg.workdir import examples_file

TO = HERE / "converged" / "cases.png"
METHODS = ("fixed", "variance+none", "variance+class_balanced_dice", "uncertainty", "upgrad")


def main(folder: pathlib.Path) -> None:
  """Draws the cases of a study's folder."""
  runs = {labels["method"]: run for labels, run in pages.complete(folder)}
  examples = {name: examples_file.read(runs[name]) for name in METHODS if name in runs}
  if examples:
    files.write_file(TO, drawing.to_png(case_panels.draw(examples)))


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
