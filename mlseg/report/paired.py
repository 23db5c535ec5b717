"""The comparison of two runs case by case: a reference against the best other run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from mlseg.report.drawing import COLOURS, ReportFigure, report_figure
from mlseg.report.names import wrapped
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
  """The mean difference over images, with its 95 % interval of Student's t."""

  mean: float
  low: float  # nan for fewer than two images
  high: float
  num_images: int


def compare(runs: Sequence[RunFiles]) -> list[ReportFigure]:
  """Returns a scatter plot of the reference and the best run with the same test cases, if any.

  The reference is the first run with 'fixed' in its name, else the first run.

  Args:
    runs: those without `cases.csv` are left out.
  """
  known = [(run, run.cases) for run in runs if run.cases]
  known.sort(key=lambda pair: "fixed" not in pair[0].name.lower())
  others = [
    (run, found) for run, own in known[1:] if (found := pairs(known[0][1], own)) is not None
  ]
  if not others:
    return []
  other, found = max(others, key=lambda pair: _score(pair[0]))
  reference = known[0][0].name
  change = difference(found)
  between = (
    "" if np.isnan(change.low) else f" (95 % interval {change.low:+.4f} to {change.high:+.4f})"
  )
  caption = (
    f"Dice of {other.name} against {reference}: mean difference {change.mean:+.4f}{between}"
    f" over {change.num_images} images. Where several seeds test an image, their differences are"
    " averaged first. The interval is over images: it does not cover what another split would"
    " change."
  )
  above = np.mean(found.other > found.reference)
  alt = f"Scatter plot of {len(found.ids)} cases, {100 * above:.0f} % above the identity line."
  return [report_figure("paired", _figure(found, reference, other.name), alt, caption)]


def pairs(
  reference: dict[tuple[int, str], CaseScore], other: dict[tuple[int, str], CaseScore]
) -> Pairs | None:
  """Returns the cases under both runs; None where the seeds they share have different test cases.

  Args:
    reference: cases by seed and id.
    other: cases by seed and id.
  """
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


def difference(found: Pairs) -> Difference:
  """Returns the mean of other minus reference, each image counted once."""
  by_image: dict[str, list[float]] = {}
  for image, value in zip(found.ids, found.other - found.reference, strict=True):
    by_image.setdefault(image, []).append(value)
  values = np.array([np.mean(changes) for changes in by_image.values()])
  mean, count = float(values.mean()), len(values)
  if count < 2:
    return Difference(mean, np.nan, np.nan, count)
  margin = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
  return Difference(mean, mean - margin, mean + margin, count)


def _score(run: RunFiles) -> float:
  metric = run.metrics.get("dice")
  return -np.inf if metric is None or metric.mean is None else metric.mean


def _figure(found: Pairs, reference: str, other: str) -> Figure:
  figure = Figure(figsize=(4.0, 4.2), layout="constrained")
  axes = figure.subplots()
  axes.plot((0, 1), (0, 1), color="0.4", linewidth=1)
  labels = np.array(found.labels)
  for n, label in enumerate(dict.fromkeys(found.labels)):
    chosen = labels == label
    marker, colour = _MARKERS[n % len(_MARKERS)], COLOURS[n % len(COLOURS)]
    look: Any = {"s": 12, "c": colour, "marker": marker, "alpha": 0.5, "lw": 0, "label": label}
    axes.scatter(found.reference[chosen], found.other[chosen], **look)
  axes.set(
    xlabel=f"Dice, {wrapped(reference, 48)}", ylabel=f"Dice, {wrapped(other, 48)}", aspect="equal"
  )
  axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
  axes.grid(alpha=0.3)
  figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
  return figure
