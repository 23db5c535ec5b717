"""Draws test cases with the outlines of truth and of what several methods predict."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import drawing, outlines
from mlseg.workdir.examples_file import Examples

QUANTILES = (0.9, 0.7, 0.5, 0.3, 0.1)  # of the test cases by their mean Dice over the methods


def draw(examples: Mapping[str, Examples], cases: Sequence[str] = ()) -> Figure:
  """Returns a figure with a row for each case and a column for each method, the first model's.

  Args:
    examples: test cases by method; cases that a method lacks are not drawn.
    cases: which are drawn; (): those at `QUANTILES`.
  """
  chosen = cases or by_quantile(examples, QUANTILES)
  with drawing.style(8):
    height, width = next(iter(examples.values())).images.shape[1:3]
    row = 8 / len(examples) * height / width + 0.3  # inches, with the title
    figure = Figure(figsize=(8, row * len(chosen)), layout="constrained")
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


def by_quantile(
  examples: Mapping[str, Examples], quantiles: Sequence[float], empty: bool | None = None
) -> list[str]:
  """Returns the cases at quantiles of their mean Dice over the methods.

  Args:
    examples: test cases by method.
    quantiles: in [0, 1].
    empty: whether the true masks of the cases are empty; None: of all cases.
  """
  kept = [set(own.ids.tolist()) for own in examples.values()]
  ids = sorted(set.intersection(*kept))
  first = next(iter(examples.values()))
  if empty is not None:
    is_empty = dict(zip(first.ids.tolist(), ~first.masks.any((1, 2)), strict=True))
    ids = [case for case in ids if is_empty[case] == empty]
  if not ids:
    return []
  dice = np.mean([[own.dice[list(own.ids).index(n)] for n in ids] for own in examples.values()], 0)
  order = np.argsort(dice, kind="stable")
  return [ids[order[round(quantile * (len(ids) - 1))]] for quantile in quantiles]
