"""Predictions of the runs on the best, the median and the worst test case."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import ReportFigure, report_figure
from mlseg.report.names import wrapped
from mlseg.workdir.examples_file import Examples
from mlseg.workdir.run_files import RunFiles

_COLUMNS = 5  # of a figure


class CasePrediction(NamedTuple):
  """What a run predicts for a case."""

  run: str
  dice: float
  mask: np.ndarray  # [H, W], classes


class CasePanels(NamedTuple):
  """One case with the predictions of several runs, to be shown side by side."""

  rank: str  # best, median, worst
  id: str
  dice: float  # mean over the runs
  image: np.ndarray  # [H, W, 1 or 3] uint8
  truth: np.ndarray  # [H, W], classes
  predictions: tuple[CasePrediction, ...]


class CaseGroup(NamedTuple):
  """Runs that were tested on the same cases, with the cases that are shown."""

  runs: tuple[str, ...]
  num_cases: int
  panels: tuple[CasePanels, ...]


def case_groups(runs: Sequence[RunFiles]) -> list[CaseGroup]:
  """Returns the cases to show for each group of runs that were tested on the same cases.

  Args:
    runs: those without `examples.npz` are left out.
  """
  groups: dict[tuple[object, ...], list[tuple[str, Examples]]] = {}
  for run in runs:
    if (shown := run.examples) is not None and len(shown.ids):
      key = (tuple(shown.ids.tolist()), shown.masks.shape, shown.masks.tobytes())
      groups.setdefault(key, []).append((run.name, shown))
  return [_case_group(group) for group in groups.values()]


def _case_group(group: Sequence[tuple[str, Examples]]) -> CaseGroup:
  first = group[0][1]
  dice = np.stack([examples.dice for _, examples in group])  # [runs, N]
  known = np.isfinite(dice)
  means = np.where(known, dice, 0).sum(0) / np.maximum(known.sum(0), 1)
  panels = tuple(
    CasePanels(
      rank=rank,
      id=str(first.ids[n]),
      dice=float(means[n]),
      image=first.images[n],
      truth=first.masks[n],
      predictions=tuple(CasePrediction(r, float(e.dice[n]), e.predictions[n]) for r, e in group),
    )
    for rank, n in _ranks(means, (first.masks > 0).any((1, 2)) & known.any(0)).items()
  )
  return CaseGroup(tuple(name for name, _ in group), len(first.ids), panels)


def _ranks(dice: np.ndarray, wanted: np.ndarray) -> dict[str, int]:
  """Returns the indices of the best, the median and the worst case, as many as there are.

  Args:
    dice: [N].
    wanted: [N], which cases to choose from: those with a foreground; if none, all.
  """
  indices = np.flatnonzero(wanted) if wanted.any() else np.arange(len(dice))
  order = indices[np.argsort(-dice[indices], kind="stable")]
  ranks = {"best": int(order[0])}
  if len(order) > 2:
    ranks["median"] = int(order[len(order) // 2])
  if len(order) > 1:
    ranks["worst"] = int(order[-1])
  return ranks


def figures(groups: Sequence[CaseGroup]) -> list[ReportFigure]:
  """Returns a figure per case."""
  return [
    report_figure(f"case-{number}-{panels.rank}", _figure(panels), alt_text(panels), panels.id)
    for number, group in enumerate(groups, start=1)
    for panels in group.panels
  ]


def alt_text(panels: CasePanels) -> str:
  """Returns in words what the panels of a case show."""
  scores = ", ".join(f"{p.run} {p.dice:.2f}" for p in panels.predictions)
  return f"Outlines of truth and prediction on the {panels.rank} case, {panels.id}; Dice: {scores}."


def _figure(panels: CasePanels) -> Figure:
  count = 2 + len(panels.predictions)
  rows = -(-count // _COLUMNS)
  figure = Figure(figsize=(1.9 * _COLUMNS, 2.3 * rows + 0.3), layout="constrained")
  all_axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
  figure.suptitle(
    f"{panels.rank} case, {panels.id}, mean Dice {panels.dice:.3f}; {outlines.LEGEND}", fontsize=9
  )
  for axes in all_axes[count:]:
    axes.set_axis_off()
  titles = ["image", "truth", *(f"{wrapped(p.run, 28)}\n{p.dice:.3f}" for p in panels.predictions)]
  for axes, title in zip(all_axes, titles, strict=False):
    outlines.show(axes, panels.image)
    axes.set_title(title, fontsize=7)
  for axes in all_axes[1:count]:
    outlines.outline(axes, panels.truth, predicted=False)
  for axes, prediction in zip(all_axes[2:], panels.predictions, strict=False):
    outlines.outline(axes, prediction.mask, predicted=True)
  return figure
