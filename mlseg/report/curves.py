"""Curves over training: a line per loss, the mean over the seeds with a band for their range."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlseg.report.drawing import line_style

Record = Mapping[str, Any]  # a line of metrics.jsonl
_MOST_POINTS = 200  # of a line, since a figure has no pixels for more


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


def large_terms(runs: Sequence[Mapping[str, Band]]) -> frozenset[str]:
  """Returns the losses that need an axis of their own: those above three times the smallest peak.

  On a common axis the other losses would look flat: an auxiliary loss starts at five times the sum
  of the others.

  Args:
    runs: the bands of each run, by loss; the figures of these runs share their axes.
  """
  peaks: dict[str, float] = {}
  for bands in runs:
    for name, values in bands.items():
      finite = values.high[np.isfinite(values.high)]
      peaks[name] = max(peaks.get(name, 0.0), *finite.tolist(), 0.0)
  large = frozenset(n for n, peak in peaks.items() if peak > 3 * min(peaks.values()))
  return large if len(large) < len(peaks) else frozenset()


def curves(
  bands: Mapping[str, Band],
  label: str,
  title: str,
  *,
  size: tuple[float, float] = (7.0, 4.0),
  styles: Mapping[str, int] | None = None,
  large: frozenset[str] | None = None,
  limits: Mapping[bool, tuple[float, float]] | None = None,
) -> Figure:
  """Returns a figure with a line per loss over the epochs, the mean over seeds with their range.

  Args:
    bands: by name of the loss.
    label: of the axis.
    title: of the figure.
    size: width and height of one axis in inches.
    styles: the index of each loss in the order of colours, the same in figures side by side.
    large: losses drawn on an axis of their own, above; None: as `large_terms` gives them.
    limits: of the upper (True) and the lower axis, the same in figures side by side.
  """
  large = large_terms([bands]) if large is None else large
  rows = sorted({name in large for name in bands}, reverse=True) or [False]
  height = size[1] * (1 + 0.45 * (len(rows) - 1))
  figure = Figure(figsize=(size[0], height), layout="constrained")
  all_axes = figure.subplots(len(rows), sharex=True, squeeze=False)[:, 0].tolist()
  for n, (name, values) in enumerate(bands.items()):
    axes = all_axes[rows.index(name in large)]
    draw(axes, values, styles[name] if styles else n, name.replace("_", " "))
  for axes, is_large in zip(all_axes, rows, strict=True):
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if limits:
      axes.set_ylim(limits[is_large])
  all_axes[0].set_title(title)
  all_axes[-1].set_xlabel("epoch")
  legend_below(figure, all_axes)
  return figure


def draw(axes: Axes, values: Band, index: int, label: str) -> None:
  """Draws a band in the line style of this index."""
  look = line_style(index)
  single = {"marker": "o", "markersize": 4} if len(values.epochs) == 1 else {}
  axes.plot(values.epochs, values.mean, label=label, **look, **single)  # type: ignore[arg-type]
  axes.fill_between(values.epochs, values.low, values.high, color=look["color"], alpha=0.2, lw=0)


def legend_below(figure: Figure, all_axes: Sequence[Axes], columns: int = 2) -> None:
  """Puts one legend for all axes below them, where it hides no line."""
  handles = [line for axes in all_axes for line in axes.get_legend_handles_labels()[0]]
  if handles:
    labels = [str(line.get_label()) for line in handles]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


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
