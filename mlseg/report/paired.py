"""The comparison of runs with a reference, case by case."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import leader
from mlseg.report.drawing import COLOURS, ReportFigure, fitted, legend_of, report_figure
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.case_table import CaseScore
from mlseg.workdir.run_files import RunFiles

_MARKERS = "os^DvPX"


class Pairs(NamedTuple):
  """The Dice of the same cases under two runs."""

  labels: tuple[str, ...]  # [N]
  ids: tuple[str, ...]  # [N]; an id comes several times where several seeds tested it
  reference: np.ndarray  # [N], Dice
  other: np.ndarray  # [N], Dice


class Difference(NamedTuple):
  """The mean difference, with its 95 % interval of Student's t."""

  mean: float
  low: float  # nan for fewer than two units
  high: float
  num_units: int


class Compared(NamedTuple):
  """The comparisons of all runs with a reference."""

  tables: tuple[Table, ...]
  figures: tuple[ReportFigure, ...]


def compare(runs: Sequence[RunFiles], references: Sequence[str]) -> Compared:
  """Returns a table and a scatter plot for each reference that shares test cases with other runs.

  The table has all those runs. The plot has the one with the best validation score, since the best
  test score would choose among them by what is to be compared.

  Args:
    runs: those without `cases.csv` are left out.
    references: names of runs.
  """
  known = [run for run in runs if run.cases]
  tables: list[Table] = []
  figures: list[ReportFigure] = []
  for reference in (run for run in known if run.name in references):
    others = [run for run in known if run.name not in references]
    found = [(run, both) for run in others if (both := pairs(reference.cases, run.cases))]
    if not found:
      continue
    tables.append(_table(reference, found))
    run, both = max(found, key=lambda pair: _validation(pair[0]))
    name = "paired" if len(references) == 1 else f"paired-{len(figures) + 1}"
    figures.append(_scatter(name, reference, run, both))
  return Compared(tuple(tables), tuple(figures))


def _table(reference: RunFiles, found: Sequence[tuple[RunFiles, Pairs]]) -> Table:
  """Returns a row for each run that is compared with the reference."""
  group_of = groups_of(reference)
  rows = []
  for run, both in found:
    change = difference(both, group_of)
    interval = "" if np.isnan(change.low) else f" [{change.low:+.4f}, {change.high:+.4f}]"
    texts = run.name, str(change.num_units), f"{change.mean:+.4f}{interval}"
    rows.append(tuple(map(TableCell, texts)))
  return Table(
    f"Dice against {reference.name}",
    ("run", "groups of cases", "difference [95 %]"),
    tuple(rows),
    "The mean difference of the Dice on the same test cases. A group is the cases that a split"
    " keeps together: those of a patient, and near-duplicates. Each group counts once, with the"
    " mean of its cases over the seeds that test them. The interval is over groups: it does not"
    " cover what other seeds or another split would change.",
  )


def groups_of(run: RunFiles) -> Mapping[str, object]:
  """Returns the group of each case; a case whose group is not known is not in it."""
  if run.data is None or run.data.groups is None:
    return {}
  return dict(zip(run.data.ids, run.data.groups, strict=True))


def _scatter(name: str, reference: RunFiles, run: RunFiles, both: Pairs) -> ReportFigure:
  change = difference(both, groups_of(reference))
  above = np.mean(both.other > both.reference)
  caption = (
    f"Dice of {run.name}, of all compared runs the best in validation, against {reference.name}:"
    f" mean difference {change.mean:+.4f} over {change.num_units} groups of cases."
  )
  alt = f"Scatter plot of {len(both.ids)} cases, {100 * above:.0f} % above the identity line."
  return report_figure(name, _figure(both, reference.name, run.name), alt, caption)


def pairs(
  reference: Mapping[tuple[int, str], CaseScore] | None,
  other: Mapping[tuple[int, str], CaseScore] | None,
) -> Pairs | None:
  """Returns the cases under both runs; None where the seeds they share have different test cases.

  Args:
    reference: cases by seed and id.
    other: cases by seed and id.
  """
  reference, other = reference or {}, other or {}
  seeds = {seed for seed, _ in reference} & {seed for seed, _ in other}
  keys = [key for key in reference if key[0] in seeds]
  if not seeds or set(keys) != {key for key in other if key[0] in seeds}:
    return None
  keys = [k for k in keys if np.isfinite(reference[k].dice) and np.isfinite(other[k].dice)]
  if not keys:
    return None
  return Pairs(
    labels=tuple(reference[key].label for key in keys),
    ids=tuple(key[1] for key in keys),
    reference=np.array([reference[key].dice for key in keys]),
    other=np.array([other[key].dice for key in keys]),
  )


def difference(found: Pairs, group_of: Mapping[str, object] | None = None) -> Difference:
  """Returns the mean of other minus reference, each group of cases counted once.

  Args:
    found: the cases.
    group_of: the group of each case; a case without one is a group of its own.
  """
  units: dict[object, list[float]] = {}
  for case, value in zip(found.ids, found.other - found.reference, strict=True):
    units.setdefault((group_of or {}).get(case, case), []).append(float(value))
  values = [float(np.mean(changes)) for changes in units.values()]
  interval = leader.t_interval(values)
  if interval is None:
    return Difference(values[0], np.nan, np.nan, len(values))
  return Difference(*interval, len(values))


def _validation(run: RunFiles) -> float:
  """Returns the best Dice in validation, mean over seeds; -inf where it is not known."""
  best: dict[int, float] = {}
  for record in run.records or ():
    dice = record.get("validation", {}).get("dice")
    if dice is not None:
      best[record["seed"]] = max(dice, best.get(record["seed"], dice))
  return float(np.mean(list(best.values()))) if best else -np.inf


def _figure(found: Pairs, reference: str, other: str) -> Figure:
  figure = Figure(figsize=(4.0, 4.0), layout="constrained")
  axes = figure.subplots()
  axes.plot((0, 1), (0, 1), color="0.4", linewidth=1)
  labels = np.array(found.labels)
  for n, label in enumerate(dict.fromkeys(found.labels)):
    chosen = labels == label
    marker, colour = _MARKERS[n % len(_MARKERS)], COLOURS[n % len(COLOURS)]
    look: Any = {"s": 12, "c": colour, "marker": marker, "alpha": 0.5, "lw": 0, "label": label}
    axes.scatter(found.reference[chosen], found.other[chosen], **look)
  names = [fitted(f"Dice, {name}", 2.2) for name in (reference, other)]
  axes.set(xlabel=names[0], ylabel=names[1], aspect="equal")
  axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
  axes.grid(alpha=0.3)
  legend_of(figure, [axes])
  return figure
