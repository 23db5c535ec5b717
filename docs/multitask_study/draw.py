"""Draws figures 9 and 10 of the multi-task paper: where networks look, and what they predict.

python docs/multitask_study/draw.py NAME STUDY     # writes NAME/saliency.png and NAME/cases.png
"""

import pathlib
import sys
from collections.abc import Collection, Mapping

from matplotlib.figure import Figure

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import case_panels  # in the folder above
import pages

from mlseg import files
from mlseg.report import drawing, outlines
from mlseg.workdir import examples_file, saliency_file
from mlseg.workdir.saliency_file import Saliency

PREDICTING = ("joint, 5:1", "segmentation alone", "attention U-Net", "joint, from scratch")
EXPLAINING = ("joint, 5:1", "classification alone")
QUANTILES = (0.8, 0.5, 0.2)  # of the cases with a lesion by their mean Dice
OF_EMPTY = (0.0,)  # and of those without: the one with the lowest
METHOD = "gradcam"
MAPS = 4  # cases of the figure of saliency maps


def main(name: str, folder: pathlib.Path, elsewhere: Collection[str] = ()) -> None:
  """Draws both figures of a study's folder, where it has the rows, beside this file.

  Args:
    name: of the folder of the figures.
    folder: of the study.
    elsewhere: methods that were collected from another folder; a figure with one of them stays.
  """
  runs = {labels["method"]: run for labels, run in pages.complete(folder)}
  examples = {one: examples_file.read(runs[one]) for one in PREDICTING if one in runs}
  if examples and not set(PREDICTING) & set(elsewhere):
    chosen = case_panels.by_quantile(examples, QUANTILES, empty=False)
    chosen += case_panels.by_quantile(examples, OF_EMPTY, empty=True)
    figure = case_panels.draw(examples, chosen)
    files.write_file(HERE / name / "cases.png", drawing.to_png(figure))
  known = {one: run for one, run in runs.items() if (run / saliency_file.NAME).exists()}
  maps = {one: saliency_file.read(known[one]) for one in EXPLAINING if one in known}
  if maps and not set(EXPLAINING) & set(elsewhere):
    files.write_file(HERE / name / "saliency.png", drawing.to_png(saliency(maps)))


def saliency(maps: Mapping[str, Saliency]) -> Figure:
  """Returns a figure with a row for each case: its image and mask, and a map for each method.

  Args:
    maps: by method; the first cases that all have are drawn.
  """
  first = next(iter(maps.values()))
  kept = set.intersection(*(set(own.ids.tolist()) for own in maps.values()))
  ids = [case for case in first.ids.tolist() if case in kept]
  chosen = ids[:: max(1, len(ids) // MAPS)][:MAPS]
  with drawing.style(8):
    columns = len(maps) + 1
    figure = Figure(figsize=(2.2 * columns, 2.4 * len(chosen)), layout="constrained")
    panels = figure.subplots(len(chosen), columns, squeeze=False)
    for row, case in zip(panels, chosen, strict=True):
      index = list(first.ids).index(case)
      outlines.show(row[0], first.images[index])
      outlines.outline(row[0], first.masks[index], predicted=False)
      row[0].set_title(f"{case}\n{first.labels[index]}", fontsize=8)
      for axes, (method, own) in zip(row[1:], maps.items(), strict=True):
        index = list(own.ids).index(case)
        outlines.show(axes, own.images[index])
        axes.imshow(own.maps[METHOD][index], cmap="inferno", alpha=0.5, vmin=0, vmax=255)
        axes.set_title(f"{method}\nsays {own.predicted[index]}", fontsize=8)
  return figure


if __name__ == "__main__":
  main(sys.argv[1], pathlib.Path(sys.argv[2]))
