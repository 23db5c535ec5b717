"""Curves over training: a line per loss, the mean over the seeds with a band for their range."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlseg.report.drawing import add_title, legend_of, line_style

Record = Mapping[str, Any]  # a line of metrics.jsonl
SHARE = "share of the auxiliary loss in all weights"
_MOST_POINTS = 200  # of a line, since a figure has no pixels for more
_MOST_AXES = 4  # of a figure, one above the other


class Band(NamedTuple):
  """A line with the band around it."""

  epochs: np.ndarray  # [T]
  mean: np.ndarray  # [T], over seeds; nan where no seed has a value
  low: np.ndarray  # [T], the smallest of the seeds
  high: np.ndarray  # [T], the largest of the seeds


def band(records: Sequence[Record], value: Callable[[Record], float | None]) -> Band:
  """Returns mean and range over the seeds that have a finite value, epoch by epoch.

  Where there are more than 200 epochs, neighbours are averaged until 200 points are left.

  Args:
    records: of one run.
    value: gives the value of a record, or None.

  Example:
    >>> band([{"epoch": 1.0, "x": 2.0}, {"epoch": 1.0, "x": 4.0}], lambda r: r["x"]).mean
    array([3.])
  """
  by_epoch: dict[float, list[float]] = {}
  for record in records:
    values, number = by_epoch.setdefault(record["epoch"], []), value(record)
    if number is not None and np.isfinite(number):
      values.append(number)
  epochs = sorted(by_epoch)
  columns = [epochs, *([f(by_epoch[e] or [np.nan]) for e in epochs] for f in (np.mean, min, max))]
  return Band(*(_thinned(np.array(column, float)) for column in columns))


def term_bands(records: Sequence[Record], field: str) -> dict[str, Band]:
  """Returns a band per loss, by its name.

  Args:
    records: of one run.
    field: 'losses' or 'weights'.
  """
  names = dict.fromkeys(name for record in records for name in record[field])
  return {name: band(records, lambda r, n=name: r[field].get(n)) for name in names}  # type: ignore[misc]


def share_of_weight(records: Sequence[Record], term: str) -> Band:
  """Returns a loss' share of the sum of all weights, in percent.

  Args:
    records: of one run.
    term: name of the loss.
  """

  def share(record: Record) -> float | None:
    known = [abs(weight) for weight in record["weights"].values() if weight is not None]
    own = record["weights"].get(term)
    return 100 * abs(own) / sum(known) if own is not None and sum(known) > 0 else None

  return band(records, share)


def groups_of(bands: Mapping[str, Band]) -> list[list[str]]:
  """Returns the losses that can share an axis, the largest values first.

  Losses share an axis as long as the largest peak is at most three times the smallest: beside an
  auxiliary loss of weight 5, the changes of base losses whose weights add to 1 would look flat.
  Where that would take more than four axes, a wider range shares an axis.

  Args:
    bands: by name of the loss.
  """
  peaks = {name: _peak(values) for name, values in bands.items()}
  order = sorted(peaks, key=lambda name: peaks[name])
  ratio = 3.0
  while len(groups := _grouped(order, peaks, ratio)) > _MOST_AXES:
    ratio *= 3
  return [[name for name in bands if name in group] for group in reversed(groups)]


def _grouped(order: Sequence[str], peaks: Mapping[str, float], ratio: float) -> list[list[str]]:
  """Returns names in groups, within which peaks differ by this ratio at most."""
  groups: list[list[str]] = []
  least = 0.0  # of the current group, but zeros
  for name in order:
    if groups and (least == 0 or peaks[name] <= ratio * least):
      groups[-1].append(name)
      least = least or peaks[name]
    else:
      groups.append([name])
      least = peaks[name]
  return groups


def _peak(values: Band) -> float:
  finite = np.abs(np.concatenate([values.low, values.high]))
  return float(finite[np.isfinite(finite)].max(initial=0.0))


def curves(
  bands: Mapping[str, Band],
  label: str,
  title: str,
  *,
  size: tuple[float, float] = (7.0, 4.0),
  styles: Mapping[str, int] | None = None,
  share: Band | None = None,
) -> Figure:
  """Returns a figure with a line per loss over the epochs, the mean over seeds with their range.

  Losses of different size have axes of their own, one above the other; see `groups_of`.

  Args:
    bands: by name of the loss.
    label: of the axes.
    title: of the figure.
    size: width and height of one axis in inches.
    styles: the index of each loss in the order of colours, the same in figures side by side.
    share: a line of percent below, the auxiliary loss' share of all weights; None: no such line.
  """
  groups = groups_of(bands) or [[]]
  count = len(groups) + (share is not None)
  heights = [1.0] * len(groups) + [0.6] * (share is not None)
  figure = Figure(figsize=(size[0], size[1] * (0.55 + 0.45 * sum(heights))), layout="constrained")
  every = figure.subplots(count, sharex=True, squeeze=False, height_ratios=heights)[:, 0].tolist()
  order = {name: n for n, name in enumerate(bands)}
  for axes, group in zip(every, groups, strict=False):
    for name in group:
      draw(axes, bands[name], (styles or order)[name], name.replace("_", " "))
    axes.set(ylabel=label, ylim=limits_of([bands[name] for name in group]))
  if share is not None:
    axes = every[-1]
    axes.plot(share.epochs, share.mean, color="0.35", linestyle="-.", label=SHARE, **_single(share))
    axes.fill_between(share.epochs, share.low, share.high, color="0.35", alpha=0.2, lw=0)
    axes.set(ylabel="share, %", ylim=(0, 100))
  for axes in every:
    axes.grid(alpha=0.3)
  add_title(figure, title)
  epoch_axis(every[-1], [*bands.values()])
  legend_of(figure, every)
  return figure


def epoch_axis(axes: Axes, bands: Sequence[Band]) -> None:
  """Gives an axis whole epochs as ticks.

  Args:
    axes: whose horizontal axis is in epochs.
    bands: all that it shows.
  """
  epochs = np.concatenate([one.epochs for one in bands] or [np.zeros(0)])
  epochs = epochs[np.isfinite(epochs)]
  first, last = (float(epochs.min()), float(epochs.max())) if len(epochs) else (0.0, 1.0)
  left, right = math.floor(first), math.ceil(last)
  left -= left == right
  axes.set(xlabel="epoch", xlim=(left - 0.02 * (right - left), right + 0.02 * (right - left)))
  axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def draw(axes: Axes, values: Band, index: int, label: str, shade: float = 0.2) -> None:
  """Draws a band in the line style of this index, with this opacity around the line."""
  look = line_style(index)
  axes.plot(values.epochs, values.mean, label=label, **{**look, **_single(values)})
  axes.fill_between(values.epochs, values.low, values.high, color=look["color"], alpha=shade, lw=0)


def _single(values: Band) -> dict[str, Any]:
  """Returns the marker of a line that is a point."""
  return {"marker": "o", "markersize": 4} if len(values.epochs) == 1 else {}


def limits_of(bands: Sequence[Band]) -> tuple[float, float]:
  """Returns the limits of an axis that holds all of these bands."""
  values = np.concatenate([b for one in bands for b in (one.low, one.high)] or [np.zeros(1)])
  values = values[np.isfinite(values)]
  low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
  margin = 0.04 * (high - low) or 0.05
  return low - margin, high + margin


def _thinned(values: np.ndarray) -> np.ndarray:
  """Returns values, averaged over neighbours where there are more than a figure can show."""
  if len(values) <= _MOST_POINTS:
    return values
  return np.array([part.mean() for part in np.array_split(values, _MOST_POINTS)])
