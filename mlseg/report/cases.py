"""The best, the median and the worst test case, under every run that was tested on it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import Picture, picture
from mlseg.report.names import wrapped
from mlseg.workdir.run_files import Examples, Run

_COLUMNS = 5  # of a figure


class Prediction(NamedTuple):
  """What a run made of a case."""

  run: str
  dice: float
  mask: np.ndarray  # [H, W], classes


class CasePanels(NamedTuple):
  """One case, to be looked at side by side."""

  rank: str  # best, median, worst
  id: str
  dice: float  # mean over the runs
  image: np.ndarray  # [H, W, 1 or 3] uint8
  truth: np.ndarray  # [H, W], classes
  predictions: tuple[Prediction, ...]


class CaseGroup(NamedTuple):
  """Runs that were tested on the same cases, and what is shown of them."""

  runs: tuple[str, ...]
  num_cases: int
  panels: tuple[CasePanels, ...]


def case_groups(runs: Sequence[Run]) -> list[CaseGroup]:
  """Returns the chosen cases of each group of runs that were tested on the same.

  Args:
    runs: those without `examples.npz` are left out.
  """
  groups: dict[tuple[object, ...], list[tuple[str, Examples]]] = {}
  for run in runs:
    if (shown := run.examples) is not None and shown.ids:
      key = (shown.ids, shown.masks.shape, shown.masks.tobytes())
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
      id=first.ids[n],
      dice=float(means[n]),
      image=first.images[n],
      truth=first.masks[n],
      predictions=tuple(Prediction(r, float(e.dice[n]), e.predictions[n]) for r, e in group),
    )
    for rank, n in _ranks(means, (first.masks > 0).any((1, 2)) & known.any(0)).items()
  )
  return CaseGroup(tuple(name for name, _ in group), len(first.ids), panels)


def _ranks(dice: np.ndarray, wanted: np.ndarray) -> dict[str, int]:
  """Returns the places of the best, the median and the worst case, as many as there are.

  Args:
    dice: [N].
    wanted: [N], cases to choose from where there are any: those with something to find.
  """
  places = np.flatnonzero(wanted) if wanted.any() else np.arange(len(dice))
  order = places[np.argsort(-dice[places], kind="stable")]
  ranks = {"best": int(order[0])}
  if len(order) > 2:
    ranks["median"] = int(order[len(order) // 2])
  if len(order) > 1:
    ranks["worst"] = int(order[-1])
  return ranks


def pictures(sets: Sequence[CaseGroup]) -> list[Picture]:
  """Returns a figure per case."""
  return [
    picture(f"case-{place}-{panels.rank}", _figure(panels), alt_text(panels), panels.id)
    for place, one in enumerate(sets, start=1)
    for panels in one.panels
  ]


def alt_text(panels: CasePanels) -> str:
  """Returns what the panels of a case show."""
  scores = ", ".join(f"{p.run} {p.dice:.2f}" for p in panels.predictions)
  return f"Outlines on the {panels.rank} case, {panels.id}; Dice: {scores}."


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
