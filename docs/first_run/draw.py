"""Draws the figure at the top of the README from a run of the main command.

python docs/first_run/draw.py RUN     # writes docs/first_run/first_run.png
"""

import json
import pathlib
import sys

import matplotlib.figure
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
# Colours that stay apart for the colour-blind (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
QUANTILES = (0.9, 0.6, 0.3)  # of the test cases by Dice
LEARNED = ("cross_entropy", "soft_iou", "soft_dice")


def draw(run: pathlib.Path, to: pathlib.Path) -> None:
  """Draws losses, weights, and test cases with their predictions.

  Args:
    run: the folder of the run.
    to: the file that is written.
  """
  lines = (run / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  with np.load(run / "examples.npz", allow_pickle=False) as file:
    examples = dict(file)
  settings = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
  with matplotlib.rc_context(settings):
    figure = matplotlib.figure.Figure(figsize=(9.6, 5.0), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.05))
    left, right = above.subplots(1, 2)
    epochs = [record["epoch"] for record in records]
    for name, colour in zip(records[0]["losses"], COLOURS, strict=True):
      label = name.replace("_", " ")
      left.plot(epochs, [r["losses"][name] for r in records], color=colour, label=label)
      if name in LEARNED:
        right.plot(epochs, [r["weights"][name] for r in records], color=colour, label=label)
    left.set(title="losses", xlabel="epoch", ylabel="loss", ylim=(0, None))
    right.set(title="weights that Dynamic Memory Fusion gives", xlabel="epoch", ylabel="weight")
    right.set(ylim=(0, None))
    for axes in (left, right):
      axes.legend(frameon=False, fontsize=8)
      axes.grid(alpha=0.3)
    _cases(below, examples)
    figure.savefig(to, dpi=125, metadata={"Software": None})


def _cases(figure: matplotlib.figure.SubFigure, examples: dict[str, np.ndarray]) -> None:
  """Draws test cases at `QUANTILES` with the outlines of truth and prediction."""
  figure.suptitle("test images; truth: solid line, prediction: dashed line", fontsize=9)
  order = np.argsort(examples["dice"])
  for axes, quantile in zip(figure.subplots(1, len(QUANTILES)), QUANTILES, strict=True):
    index = order[round(quantile * (len(order) - 1))]
    axes.imshow(examples["images"][index, ..., 0], cmap="gray", vmin=0, vmax=255)
    for name, style, colour in (("masks", "solid", "#56B4E9"), ("predictions", "dashed", "orange")):
      mask = examples[name][index]
      axes.contour(mask, levels=[0.5], colors=[colour], linestyles=style, linewidths=1.4)
    axes.set_title(f"Dice {examples['dice'][index]:.2f}", fontsize=9)
    axes.set(xticks=[], yticks=[])


if __name__ == "__main__":
  draw(pathlib.Path(sys.argv[1]), HERE / "first_run.png")
