"""The text of `docs/strong_study.md`, every number of it from the rows."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from collect import ENSEMBLE
from pages import wrapped

from mlseg.metrics import bootstrap_interval, paired_tests
from mlseg.report.tables import Table, TableCell, to_markdown

Row = Mapping[str, str]
CHOICE = "busi"  # the data set on whose validation images the recipe was chosen
REFERENCE = "busi/efficientnet_lite0/equal"
TITLES = {  # of the data sets, in the order of the page
  "busi": "BUSI at 128×128, the images of the package",
  "busi_256": "BUSI at 256×256, the original files",
  "stu": "STU, another hospital's 42 images, by the models of BUSI at 256×256",
  "glas": "Glands (Warwick-QU)",
  "lgg": "Brain MRI (TCGA-LGG)",
}
COLUMNS = (  # metric, heading, factor
  ("dice", "Dice", 100.0),
  ("iou", "IoU", 100.0),
  ("hausdorff95", "HD95, pixels", 1.0),
  ("normalized_surface_dice", "NSD", 100.0),
)
CONVERGED = 0.005  # largest gain of the last third of a training


class Study(NamedTuple):
  """The committed rows."""

  models: Sequence[Row]
  curves: Sequence[Row]
  cases: Sequence[Row]
  minutes: Mapping[str, float]  # of a model on two cores, by run
  peers: Mapping[str, Mapping]

  def runs(self, data: str) -> list[str]:
    """Returns the names of the runs on a data set."""
    names = dict.fromkeys(row["run"] for row in self.models)
    return [name for name in names if name.split("/")[0] == data]

  def values(self, run: str, metric: str) -> list[float]:
    """Returns a metric of each single model of a run."""
    own = (row for row in self.models if row["run"] == run and row["seed"] != ENSEMBLE)
    return [float(row[metric]) for row in own if row[metric]]

  def ensemble(self, run: str) -> Row | None:
    """Returns the scores of the mean of a run's models, where it was tested."""
    own = (row for row in self.models if row["run"] == run and row["seed"] == ENSEMBLE)
    return next(own, None)

  def last_gain(self, run: str) -> float:
    """Returns by how much validation improved in the last third of a training, at most."""
    gains = []
    for seed in dict.fromkeys(row["seed"] for row in self.curves if row["run"] == run):
      own = [r for r in self.curves if r["run"] == run and r["seed"] == seed]
      curve = [float(row["validation_dice"]) for row in own]
      third = len(curve) - len(curve) // 3
      gains.append(max(curve) - max(curve[:third]))
    return max(gains)

  def interval(self, run: str, ensemble: bool = False) -> tuple[float, float]:
    """Returns the 95 % interval of the Dice, a bootstrap over the tested cases of all models."""
    own = [r for r in self.cases if r["run"] == run and (r["seed"] == ENSEMBLE) == ensemble]
    by_case: dict[str, list[float]] = {}
    for row in own:
      by_case.setdefault(row["id"], []).append(float(row["dice"]))
    found = bootstrap_interval(np.array([statistics.fmean(v) for v in by_case.values()]), seed=0)
    return found.low, found.high


def text(study: Study) -> str:
  """Returns the page."""
  parts = [_HEAD, _choice(study)]
  parts += [_results(study, data) for data in TITLES if study.runs(data)]
  parts += [_peers(study)] if study.peers else []
  return "\n".join(parts)


_HEAD = """\
# The strong recipe

`configs/strong.py` trains a U-Net on an encoder with ImageNet's weights, under cross-entropy and
soft Dice. This page shows what it was chosen by, and how good its models are. Every model has its
own split where nothing else is said; near-duplicate images are never both in training and test.
`python docs/strong_study/make.py` computes this page from the [rows](strong_study).
"""


def _choice(study: Study) -> str:
  """Returns the comparison of weightings and encoders on validation images."""
  rows = []
  for run in study.runs(CHOICE):
    _, encoder, weighting = run.split("/")
    values = study.values(run, "validation_dice")
    gap = "" if run == REFERENCE else _gap(values, study.values(REFERENCE, "validation_dice"))
    gain = study.last_gain(run)
    mark = "" if gain <= CONVERGED else " (not converged)"
    cells = (encoder, weighting, mean(values), gap, f"{100 * gain:.1f}{mark}")
    rows.append(tuple(TableCell(cell) for cell in cells))
  header = ("encoder", "weighting", "validation Dice", "difference", "gain of the last third")
  words = f"""\
    Dice in percent on the *validation* images of BUSI at 128×128, of the best epoch: mean ±
    standard deviation over {len(study.values(REFERENCE, "validation_dice"))} seeds. Difference: to
    the first row, in points, with its 95 % interval by the paired t-test over the seeds. The
    weights of a step sum to 2 in all rows. Gain of the last third: the largest improvement of a
    model's best validation Dice in the last third of its epochs; more than
    {100 * CONVERGED:.1f} points count as not converged."""
  table = to_markdown(Table("", header, tuple(rows)))
  return f"## What the recipe was chosen by\n\n{table}\n{wrapped(words)}\n"


def _gap(values: Sequence[float], reference: Sequence[float]) -> str:
  """Returns a difference in points with its interval over the seeds that both have."""
  count = min(len(values), len(reference))
  if count < 2:
    return "one seed"
  tests = paired_tests(values[:count], reference[:count])
  return f"{_points(tests.mean_difference)} [{_points(tests.low)}, {_points(tests.high)}]"


def _points(value: float) -> str:
  return f"{100 * value:+.1f}"


def mean(values: Iterable[float], factor: float = 100.0) -> str:
  """Returns mean ± standard deviation."""
  scaled = [factor * value for value in values]
  found = f"{statistics.fmean(scaled):.1f}"
  return f"{found} ± {statistics.stdev(scaled):.1f}" if len(scaled) > 1 else found


def _results(study: Study, data: str) -> str:
  """Returns the test scores of the runs on a data set."""
  rows = []
  for run in study.runs(data):
    rows.append(_line(study, run))
    if study.ensemble(run) is not None:
      rows.append(_ensemble_line(study, run))
  header = ("models", *(heading for _, heading, _ in COLUMNS), "Dice, 95 % interval", "minutes")
  table = to_markdown(Table("", header, tuple(rows)))
  words = """\
    Of the lesion in each test image, then the mean over images; mean ± standard deviation over
    models. The interval is a bootstrap over the images, with the mean over the models that were
    tested on an image. Minutes: of the training and testing of a model on two CPU cores."""
  return f"## {TITLES[data]}\n\n{table}\n{wrapped(words)}\n"


def _line(study: Study, run: str) -> tuple[TableCell, ...]:
  name = ", ".join(run.split("/")[1:])
  count = len(study.values(run, "dice"))
  scores = (mean(study.values(run, metric), factor) for metric, _, factor in COLUMNS)
  minutes = study.minutes.get(run)
  cells = (
    f"{name} ({count})", *scores, _interval(study.interval(run)),
    "" if minutes is None else f"{minutes:.0f}",
  )  # fmt: skip
  return tuple(TableCell(cell) for cell in cells)


def _ensemble_line(study: Study, run: str) -> tuple[TableCell, ...]:
  own = study.ensemble(run)
  assert own is not None
  count = len(study.values(run, "dice"))
  scores = (f"{factor * float(own[metric]):.1f}" for metric, _, factor in COLUMNS)
  interval = _interval(study.interval(run, ensemble=True))
  return tuple(TableCell(cell) for cell in (f"mean of these {count}", *scores, interval, ""))


def _interval(ends: tuple[float, float]) -> str:
  return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def _peers(study: Study) -> str:
  """Returns the comparison with segmentation-models-pytorch."""
  rows = []
  for name, entry in study.peers.items():
    found = entry["all"]["dice"]
    gap = f"{_points(found['difference'])} [{_points(found['low'])}, {_points(found['high'])}]"
    cells = (name, entry["peer"], f"{100 * found['mlseg']:.1f}", f"{100 * found['peer']:.1f}", gap)
    rows.append(tuple(TableCell(cell) for cell in cells))
  table = to_markdown(
    Table("", ("setting", "peer", "Dice, mlseg", "Dice, peer", "difference"), tuple(rows))
  )
  words = """\
    The same training, validation and test images, weights of the encoder, image size, batch size
    and number of epochs. The interval is a bootstrap over the test images.
    [All metrics and both times](../benchmarks/results/quality.md)
    are with the benchmarks."""
  return f"## Beside segmentation-models-pytorch\n\n{table}\n{wrapped(words)}\n"


def readme_table(study: Study) -> str:
  """Returns the README's table: the recipe's own row of every data set."""
  rows = []
  for data in TITLES:
    for run in study.runs(data):
      if data != CHOICE or run == REFERENCE:
        title = TITLES[data]
        rows.append((TableCell(title), *_line(study, run)[1:]))
        if study.ensemble(run) is not None:
          rows.append(_ensemble_line(study, run))
  header = ("data", *(heading for _, heading, _ in COLUMNS), "Dice, 95 % interval", "minutes")
  return to_markdown(Table("", header, tuple(rows)))
