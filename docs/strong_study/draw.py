"""Draws the README's picture of predictions from a run of the strong recipe.

python docs/strong_study/draw.py RUN     # writes docs/strong_study/predictions.png
"""

import pathlib
import sys

import matplotlib.figure
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
QUANTILES = (0.9, 0.7, 0.5, 0.3, 0.1)  # of the test cases by Dice
TRUTH, PREDICTION = "#56B4E9", "#E69F00"  # that stay apart for the colour-blind (Okabe and Ito)


def draw(run: pathlib.Path, to: pathlib.Path) -> None:
  """Draws test cases of the first model at `QUANTILES`, with the outlines of truth and prediction.

  Args:
    run: the folder of the run.
    to: the file that is written.
  """
  with np.load(run / "examples.npz", allow_pickle=False) as file:
    examples = dict(file)
  order = np.argsort(examples["dice"])
  with matplotlib.rc_context({"font.size": 9}):
    figure = matplotlib.figure.Figure(figsize=(9.6, 2.3), layout="constrained")
    figure.suptitle("test images; truth: solid line, prediction: dashed line", fontsize=9)
    for axes, quantile in zip(figure.subplots(1, len(QUANTILES)), QUANTILES, strict=True):
      index = order[round(quantile * (len(order) - 1))]
      axes.imshow(examples["images"][index, ..., 0], cmap="gray", vmin=0, vmax=255)
      for name, style, colour in (("masks", "solid", TRUTH), ("predictions", "dashed", PREDICTION)):
        mask = examples[name][index]
        if mask.any():
          axes.contour(mask, levels=[0.5], colors=[colour], linestyles=style, linewidths=1.4)
      axes.set_title(f"Dice {examples['dice'][index]:.2f}", fontsize=9)
      axes.set(xticks=[], yticks=[])
    figure.savefig(to, dpi=125, metadata={"Software": None})


if __name__ == "__main__":
  draw(pathlib.Path(sys.argv[1]), HERE / "predictions.png")
