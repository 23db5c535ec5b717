"""Draws predictions of several methods on the same test images, as figure 1 of the paper.

python docs/dmf_study/draw_cases.py STUDY     # writes converged/cases.png
"""

import pathlib
import sys
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pages  # in the folder above

from mlseg import files
from mlseg.report import drawing, outlines
from mlseg.workdir import examples_file
from mlseg.workdir.examples_file import Examples

TO = HERE / "converged" / "cases.png"
METHODS = ("fixed", "variance+none", "variance+class_balanced_dice", "uncertainty", "upgrad")
QUANTILES = (0.9, 0.7, 0.5, 0.3, 0.1)  # of the test cases by their mean Dice over the methods


def main(folder: pathlib.Path) -> None:
  """Draws the cases of a study's folder."""
  runs = {labels["method"]: run for labels, run in pages.complete(folder)}
  examples = {name: examples_file.read(runs[name]) for name in METHODS if name in runs}
  if examples:
    files.write_file(TO, drawing.to_png(draw(examples)))


def draw(examples: Mapping[str, Examples]) -> Figure:
  """Returns a figure with a row for each case and a column for each method, the first model's.

  Args:
    examples: test cases by method; cases that a method lacks are not drawn.
  """
  kept = [set(own.ids.tolist()) for own in examples.values()]
  ids = sorted(set.intersection(*kept))
  dice = np.mean([[own.dice[list(own.ids).index(n)] for n in ids] for own in examples.values()], 0)
  order = np.argsort(dice, kind="stable")
  chosen = [ids[order[round(quantile * (len(ids) - 1))]] for quantile in QUANTILES]
  with drawing.style(8):
    figure = Figure(figsize=(8, 8 / len(examples) * len(chosen) * 1.1), layout="constrained")
    panels = figure.subplots(len(chosen), len(examples), squeeze=False)
    for number, case in enumerate(chosen):
      for axes, (method, own) in zip(panels[number], examples.items(), strict=True):
        index = list(own.ids).index(case)
        outlines.show(axes, own.images[index])
        outlines.outline(axes, own.masks[index], predicted=False)
        outlines.outline(axes, own.predictions[index], predicted=True)
        name = "" if number else f"{method}\n"
        axes.set_title(f"{name}Dice {own.dice[index]:.2f}", fontsize=8)
  return figure


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
