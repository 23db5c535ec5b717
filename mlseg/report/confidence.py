"""The section about calibration: temperatures, calibration errors and reliability diagrams."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from mlseg.report.drawing import COLOURS, ReportFigure, add_title, legend_of, report_figure
from mlseg.report.names import file_name
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.calibration_file import Calibration, Confidence, Scaling
from mlseg.workdir.run_files import RunFiles

READING = (
  "How far a probability can be trusted, on the test cases. In a reliability diagram, points on the"
  " diagonal mean that of the pixels with a confidence of 80 %, 80 % are right; below it, the"
  " network is too sure. A temperature that was fitted on validation scales the probabilities;"
  " masks and diagnoses do not change by it."
)
_NOTE = (
  "Calibration error: expected, of 15 bins, in percent; lower is better. Log-likelihood: mean"
  " negative, in nats; lower is better. Error detection: the probability that a wrong pixel, or"
  " diagnosis, has a lower confidence than a right one, in percent; 50 is chance."
)


def table(runs: Sequence[RunFiles]) -> Table | None:
  """Returns a row for each model and each kind of probability; None where there is none."""
  rows = [
    (run.name, model, what, *_numbers(scaling))
    for run in runs
    for model, calibration in _models(run)
    for what, scaling in _scalings(calibration)
  ]
  if not rows:
    return None
  header = (
    "run", "model", "of", "temperature", "calibration error", "calibrated", "log-likelihood",
    "calibrated", "error detection",
  )  # fmt: skip
  cells = tuple(tuple(map(TableCell, row)) for row in rows)
  return Table("Calibration", header, cells, _NOTE)


def figures(runs: Sequence[RunFiles]) -> Iterator[ReportFigure]:
  """Yields a reliability diagram of each run, of its mean of models or its first model."""
  for number, run in enumerate(runs, start=1):
    models = _models(run)
    if not models:
      continue
    model, calibration = models[-1] if models[-1][0] == "mean" else models[0]
    for what, scaling in _scalings(calibration):
      gaps = f"{100 * scaling.before.ece:.1f} % without and {100 * scaling.after.ece:.1f} % with"
      alt = f"Reliability of {what} of {run.name}: a calibration error of {gaps} a temperature."
      caption = (
        f"{run.name}, {model}: accuracy of {what} by confidence, without and with a temperature;"
        " below, the share of each bin."
      )
      name = file_name(f"reliability-{what}", number, run.name)
      yield report_figure(name, diagram(run.name, what, scaling), alt, caption)


def diagram(name: str, what: str, scaling: Scaling) -> Figure:
  """Returns a reliability diagram, and a histogram of the confidences below it.

  Args:
    name: title of the figure.
    what: 'pixels' or 'diagnoses'.
    scaling: what is drawn.
  """
  figure = Figure(figsize=(4.0, 4.6), layout="constrained")
  above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
  above.plot((0, 1), (0, 1), color="0.6", linewidth=1)
  drawn = (("without", scaling.before, "--"), ("with temperature", scaling.after, "-"))
  for n, (label, own, line) in enumerate(drawn):
    x, y, shares = _points(own)
    above.plot(x, y, line, marker="o", markersize=4, color=COLOURS[n], label=label)
    edges = np.linspace(0, 1, len(own.counts) + 1)
    below.stairs(shares, edges, color=COLOURS[n], linestyle=line, linewidth=1.5)
  lowest = min(min(_points(own)[0], default=0.0) for _, own, _ in drawn)
  above.set(ylabel=f"accuracy of {what}", ylim=(-0.02, 1.02))
  below.set(xlabel="confidence", ylabel="share", xlim=(max(0.0, lowest - 0.1), 1.02))
  for axes in (above, below):
    axes.grid(alpha=0.3)
  add_title(figure, name)
  legend_of(figure, [above])
  return figure


def _points(own: Confidence) -> tuple[list[float], list[float], np.ndarray]:
  """Returns confidence and accuracy of the bins that have any, and the share of all bins."""
  pairs = [
    (x, y)
    for x, y in zip(own.confidence, own.accuracy, strict=True)
    if x is not None and y is not None
  ]
  counts = np.array(own.counts, float)
  return [x for x, _ in pairs], [y for _, y in pairs], counts / max(counts.sum(), 1.0)


def _models(run: RunFiles) -> list[tuple[str, Calibration]]:
  """Returns the calibrations of a run by the name of the model, that of the mean last."""
  if run.calibrations is None:
    return []
  found = [(f"seed {seed}", own) for seed, own in run.calibrations.seeds.items()]
  mean = run.calibrations.ensemble
  return found if mean is None else [*found, ("mean", mean)]


def _scalings(calibration: Calibration) -> list[tuple[str, Scaling]]:
  return [(what, own) for what, own in calibration._asdict().items() if own is not None]


def _numbers(scaling: Scaling) -> tuple[str, ...]:
  before, after = scaling.before, scaling.after
  auc = before.error_detection_auc
  return (
    f"{scaling.temperature:.2f}",
    f"{100 * before.ece:.2f}",
    f"{100 * after.ece:.2f}",
    f"{before.nll:.4f}",
    f"{after.nll:.4f}",
    "–" if auc is None else f"{100 * auc:.1f}",
  )
