"""The section about conflicts: the cosines between the gradients of losses over training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import curves
from mlseg.report.curves import Band, Record
from mlseg.report.drawing import ReportFigure, add_title, legend_of, report_figure
from mlseg.report.names import file_name
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.metrics_log import losses_of_pair
from mlseg.workdir.run_files import RunFiles

READING = (
  "The cosine between the gradients of two losses, unweighted and with respect to all parameters of"
  " the network, on the training batch of the first step of an epoch, before it is taken: at epoch"
  " 0 nothing is trained yet. Where a cosine is negative, the two losses are in conflict: a small"
  " step down the gradient of the one raises the other. A gradient of 0 has the cosine 0 to all"
  " others."
)
_NOTE = (
  "Over all measurements of all seeds, the least cosine first. In conflict: the share of the"
  " measurements with a negative cosine. Measured: batches that have both losses."
)
_SIZE = (3.6, 2.5)  # inches, of a figure beside others
_MOST_LINES = 10  # of a figure


class Pair(NamedTuple):
  """How the gradients of two losses agree, over all measurements of a run."""

  name: str  # as in `metrics.jsonl`
  mean: float  # cosine, nan where none was measured
  share: float  # of the measurements, those with a negative cosine
  measured: int  # batches that have both losses


def pairs(records: Sequence[Record]) -> list[Pair]:
  """Returns the pairs of losses whose cosines a run has, the least mean cosine first.

  Args:
    records: of one run, with or without cosines.
  """
  measured = [record["cosines"] for record in records if "cosines" in record]
  if not measured:
    return []
  from mlseg.metrics import conflict_statistics  # loads jax, which most reports do not need

  names = list(dict.fromkeys(name for one in measured for name in one))
  losses = list(dict.fromkeys(loss for name in names for loss in losses_of_pair(name)))
  series = np.full((len(measured), len(losses), len(losses)), np.nan)
  places = {name: tuple(map(losses.index, losses_of_pair(name))) for name in names}
  for n, one in enumerate(measured):
    for name, value in one.items():
      series[n][places[name]] = np.nan if value is None else value
  found = conflict_statistics(series)
  made = [
    Pair(
      name,
      float(found.mean_cosine[place]),
      float(found.conflict_share[place]),
      int(found.num_measured[place]),
    )
    for name, place in places.items()
  ]
  return sorted(made, key=lambda pair: (math.isnan(pair.mean), pair.mean))


def bands(records: Sequence[Record]) -> dict[str, Band]:
  """Returns a band for each pair of losses, by its name, over the epochs that begin with a measure.

  Args:
    records: of one run; the first line of an epoch has its cosines, whichever step that line is of.
  """
  begun = [
    {**record, "epoch": math.ceil(record["epoch"]) - 1.0}
    for record in records
    if "cosines" in record
  ]
  return curves.term_bands(begun, "cosines")


def tables(runs: Sequence[RunFiles]) -> list[Table]:
  """Returns a table of the pairs of losses for each run that measured cosines."""
  return [
    Table(
      f"Conflicts, {run.name}",
      ("losses", "mean cosine", "in conflict, %", "measured"),
      tuple(tuple(map(TableCell, _cells(pair))) for pair in found),
      _NOTE,
    )
    for run in runs
    if (found := pairs(run.records or ()))
  ]


def _cells(pair: Pair) -> tuple[str, str, str, str]:
  """Returns the texts of a row.

  Example:
    >>> _cells(Pair("soft_dice/focal", -0.123, 0.25, 8))
    ('soft dice, focal', '-0.12', '25', '8')
  """
  if not pair.measured:
    return label(pair.name), "–", "–", "0"
  return label(pair.name), f"{pair.mean:.2f}", f"{100 * pair.share:.0f}", str(pair.measured)


def label(name: str) -> str:
  """Returns the name of a pair as figures and tables show it."""
  return ", ".join(loss.replace("_", " ") for loss in losses_of_pair(name))


def figures(runs: Sequence[RunFiles]) -> list[ReportFigure]:
  """Returns a figure for each run that measured cosines; a pair has one colour in all of them."""
  every = {run.name: bands(run.records or ()) for run in runs}
  styles: dict[str, int] = {}
  for own in every.values():
    for name in own:
      styles.setdefault(name, len(styles))
  made = []
  for number, run in enumerate((run for run in runs if every[run.name]), start=1):
    chosen, rest = _chosen(run.records or (), every[run.name])
    words = "; ".join(f"{label(name)} {_course(one)}" for name, one in chosen.items())
    alt = f"Cosines between gradients over training of {run.name}: {words}."
    drawn = figure(chosen, run.name, styles, _SIZE)
    made.append(report_figure(file_name("cosines", number, run.name), drawn, alt, run.name + rest))
  return made


def _course(values: Band) -> str:
  """Returns in words where a line starts and ends."""
  known = values.mean[np.isfinite(values.mean)]
  return f"from {known[0]:.2f} to {known[-1]:.2f}" if len(known) else "never measured"


def _chosen(records: Sequence[Record], every: dict[str, Band]) -> tuple[dict[str, Band], str]:
  """Returns the bands of a figure, and the end of its caption, which says what is not drawn."""
  if len(every) <= _MOST_LINES:
    return every, "."
  least = {pair.name for pair in pairs(records)[:_MOST_LINES]}
  rest = f". The {_MOST_LINES} of {len(every)} pairs with the least mean cosine."
  return {name: one for name, one in every.items() if name in least}, rest


def plot(records: Sequence[Record], title: str) -> Figure | None:
  """Returns the figure of a run alone; None where it has no cosines.

  Args:
    records: of the run.
    title: of the figure.
  """
  if not (every := bands(records)):
    return None
  return figure(_chosen(records, every)[0], title, None, (7.0, 4.0))


def figure(
  drawn: Mapping[str, Band],
  title: str,
  styles: Mapping[str, int] | None,
  size: tuple[float, float],
) -> Figure:
  """Returns a line per pair of losses over the epochs, the mean over seeds with their range.

  Args:
    drawn: by name of the pair.
    title: of the figure.
    styles: the index of each pair in the order of colours; None: as they come.
    size: width and height in inches, without the legend.
  """
  made = Figure(figsize=size, layout="constrained")
  axes: Any = made.subplots()
  shade = 0.2 if len(drawn) < 4 else 0.1  # bands of several pairs lie over one another
  axes.axhline(0, color="0.35", linewidth=1)
  for n, (name, one) in enumerate(drawn.items()):
    curves.draw(axes, one, n if styles is None else styles[name], label(name), shade)
  low, high = curves.limits_of(list(drawn.values()))
  axes.set(ylabel="cosine", ylim=(max(min(low, -0.1), -1.05), min(max(high, 0.1), 1.05)))
  axes.grid(alpha=0.3)
  add_title(made, title)
  curves.epoch_axis(axes, list(drawn.values()))
  legend_of(made, [axes])
  return made
