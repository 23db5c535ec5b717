"""Predictions of the runs on the best, the median and the worst of all test cases."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import ReportFigure, add_title, fitted, report_figure
from mlseg.workdir.run_files import RunFiles

_COLUMNS = 5  # of a figure
_SIDE = 1.9  # of a panel, inches


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
  note: str = ""  # what is not shown


class CaseGroup(NamedTuple):
  """Runs that were tested on the same cases, with the cases that are shown."""

  runs: tuple[str, ...]
  num_cases: int  # of the first seed's test part
  class_names: tuple[str, ...]  # of the masks, the background first
  panels: tuple[CasePanels, ...]


class _Shown(NamedTuple):
  """A run with the scores of all test cases of its first seed, and the pictures that it kept."""

  run: RunFiles
  scores: Mapping[str, float]  # by id, Dice
  kept: Mapping[str, int]  # by id, the index in the examples


def case_groups(runs: Sequence[RunFiles]) -> list[CaseGroup]:
  """Returns the cases to show for each group of runs that were tested on the same cases.

  Args:
    runs: those without `examples.npz` are left out.
  """
  groups: list[list[_Shown]] = []
  for run in runs:
    if run.examples is None or not len(run.examples.ids):
      continue
    one = _shown(run)
    group = next((own for own in groups if _same_cases(own[0], one)), None)
    if group is None:
      groups.append(group := [])
    group.append(one)
  return [_case_group(group) for group in groups]


def _shown(run: RunFiles) -> _Shown:
  assert run.examples is not None
  ids = run.examples.ids.tolist()
  scores = {
    case: score.dice for (seed, case), score in (run.cases or {}).items() if seed == run.seeds[0]
  }
  if not scores:  # without cases.csv, only the kept cases are known
    scores = dict(zip(ids, run.examples.dice.tolist(), strict=True))
  return _Shown(run, scores, {case: n for n, case in enumerate(ids) if case in scores})


def _same_cases(one: _Shown, other: _Shown) -> bool:
  """Returns whether two runs were tested on the same cases, with the same masks."""
  first, second = one.run.examples, other.run.examples
  assert first is not None
  assert second is not None
  if one.scores.keys() != other.scores.keys() or first.masks.shape[1:] != second.masks.shape[1:]:
    return False
  both = [(n, other.kept[case]) for case, n in one.kept.items() if case in other.kept]
  return all(np.array_equal(first.masks[a], second.masks[b]) for a, b in both)


def _case_group(group: Sequence[_Shown]) -> CaseGroup:
  means = _means([one.scores for one in group])
  kept = {case for one in group for case in one.kept}
  data = group[0].run.data
  highest = max(int(one.run.examples.masks.max(initial=0)) for one in group if one.run.examples)
  names = outlines.class_names([] if data is None else list(data.pixels), highest)
  order = _order(group, means)
  chosen = _ranks(order, kept)
  panels = tuple(_panels(group, rank, case, means[case], note) for rank, case, note in chosen)
  return CaseGroup(tuple(one.run.name for one in group), len(means), tuple(names), panels)


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Returns by case the mean of the Dice that are defined; nan where none is."""
  means = {}
  for case in scores[0]:
    known = [own[case] for own in scores if np.isfinite(own[case])]
    means[case] = float(np.mean(known)) if known else float("nan")
  return means


def _order(group: Sequence[_Shown], means: Mapping[str, float]) -> list[str]:
  """Returns the cases from the best to the worst: those with a foreground, or if none has, all."""
  known = [case for case, dice in means.items() if np.isfinite(dice)] or list(means)
  wanted = [case for case in known if _has_foreground(group, case)] or known
  return sorted(wanted, key=lambda case: -means[case])


def _has_foreground(group: Sequence[_Shown], case: str) -> bool:
  """Returns whether a mask has a foreground, as far as that is known."""
  for one in group:
    if case in one.kept and one.run.examples is not None:
      return bool((one.run.examples.masks[one.kept[case]] > 0).any())
  data = group[0].run.data
  if data is None or case not in data.ids:
    return True
  n = data.ids.index(case)
  return any(counts[n] for counts in list(data.pixels.values())[1:])


def _ranks(order: Sequence[str], kept: set[str]) -> list[tuple[str, str, str]]:
  """Returns rank, id and a note of the best, the median and the worst case, as many as there are.

  Args:
    order: all cases, from the best to the worst.
    kept: the cases with a picture. Where the wanted one is not among them, the nearest is shown,
      and the note says so.
  """
  wanted = {"best": 0}
  if len(order) > 2:
    wanted["median"] = len(order) // 2
  if len(order) > 1:
    wanted["worst"] = len(order) - 1
  there = [n for n, case in enumerate(order) if case in kept]
  chosen = []
  for rank, place in wanted.items():
    if there:
      n = min(there, key=lambda n: abs(n - place))
      note = "" if n == place else (
        f"The picture of the {rank} case was not kept: this one is number {n + 1} of {len(order)}"
        " from the best."
      )  # fmt: skip
      chosen.append((rank, order[n], note))
  return chosen


def _panels(group: Sequence[_Shown], rank: str, case: str, dice: float, note: str) -> CasePanels:
  """Returns the picture of a case, and the predictions of the runs that kept it."""
  having = [one for one in group if case in one.kept]
  first, n = having[0].run.examples, having[0].kept[case]
  assert first is not None
  predictions = tuple(
    CasePrediction(one.run.name, one.scores[case], one.run.examples.predictions[one.kept[case]])
    for one in having
    if one.run.examples is not None
  )
  if len(having) < len(group):
    note += f" {len(group) - len(having)} of {len(group)} runs kept no prediction of it."
  return CasePanels(rank, case, dice, first.images[n], first.masks[n], predictions, note.strip())


def figures(groups: Sequence[CaseGroup]) -> list[ReportFigure]:
  """Returns a figure per case."""
  return [
    report_figure(
      f"case-{number}-{panels.rank}", _figure(panels, group), alt_text(panels), panels.id
    )
    for number, group in enumerate(groups, start=1)
    for panels in group.panels
  ]


def alt_text(panels: CasePanels) -> str:
  """Returns in words what the panels of a case show."""
  scores = ", ".join(f"{p.run} {p.dice:.2f}" for p in panels.predictions)
  return f"Outlines of truth and prediction on the {panels.rank} case, {panels.id}; Dice: {scores}."


def _figure(panels: CasePanels, group: CaseGroup) -> Figure:
  count, width = 2 + len(panels.predictions), _SIDE * _COLUMNS
  rows, classes = -(-count // _COLUMNS), len(group.class_names)
  figure = Figure(figsize=(width, 2.3 * rows + 0.3), layout="constrained")
  all_axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
  title = (
    f"{panels.rank} of {group.num_cases} cases: {panels.id}, mean Dice {panels.dice:.3f}."
    f" {panels.note}"
  )
  add_title(figure, title.strip(), 9)
  for axes in all_axes[count:]:
    axes.set_axis_off()
  titles = ["image", "truth", *(f"{p.run}\n{p.dice:.3f}" for p in panels.predictions)]
  for axes, text in zip(all_axes, titles, strict=False):
    outlines.show(axes, panels.image)
    axes.set_title(fitted(text, _SIDE - 0.15, 7), fontsize=7)
  for axes in all_axes[1:count]:
    outlines.outline(axes, panels.truth, predicted=False, num_classes=classes)
  for axes, prediction in zip(all_axes[2:], panels.predictions, strict=False):
    outlines.outline(axes, prediction.mask, predicted=True, num_classes=classes)
  outlines.add_class_legend(figure, group.class_names)
  return figure
