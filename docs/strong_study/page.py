"""The text of `docs/strong_study.md`, every number of it from the rows."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collect import BY_PATIENT, MEAN
from pages import wrapped
from rows import Study

from mlseg.metrics import paired_tests
from mlseg.report.tables import Table, TableCell, to_markdown

TRIALS = "trial"  # first part of the labels of trainings that were not tested
CHOICE = "busi"  # the data set on whose validation images the recipe was chosen
EQUAL = "equal"  # the recipe's weighting, the third part of a label
REFERENCE = "busi/efficientnet_lite0/equal"  # its row is compared with
TITLES = {  # of the data sets, the first part of a label, in the order of the page
  "busi": "BUSI, 128×128, the images of the package",
  "busi_256": "BUSI, 256×256, the original files",
  "stu": "STU, 42 images of another hospital",
  "glas": "Glands (Warwick-QU)",
  "lgg": "Brain MRI (TCGA-LGG), 10 of its 110 patients",
}
PARTS = {"glas": {"testA": "test A, 60 images", "testB": "test B, 20 images"}}  # by first word
Column = tuple[str, str, float]  # metric, heading, factor
COLUMNS: tuple[Column, ...] = (
  ("dice", "Dice", 100.0),
  ("iou", "IoU", 100.0),
  ("hausdorff95", "HD95, pixels", 1.0),
  ("normalized_surface_dice", "NSD", 100.0),
)
OF_OBJECTS: tuple[Column, ...] = (  # of data sets that are scored by objects
  ("dice", "Dice", 100.0),
  ("object_dice", "object Dice", 100.0),
  ("object_f1", "object F1", 100.0),
  ("object_hausdorff", "object Hausdorff, pixels", 1.0),
)
VIEWS = {"one": "one view", "horizontal": "two views", "flips": "four views"}
OF_PATIENTS: tuple[Column, ...] = (  # of data sets whose images are slices
  ("dice", "Dice", 100.0),
  ("iou", "IoU", 100.0),
)
AUTHORS_DICE = 83.6  # percent, of LGG's authors; 22-fold, all patients
CALIBRATION = {  # heading and factor by column
  "temperature": ("temperature", 1.0),
  "ece_without": ("ECE without", 100.0),
  "ece": ("ECE with", 100.0),
  "error_detection_auc": ("AUC of errors", 100.0),
}
CONVERGED = 0.005  # largest gain of the last third of a training


def text(study: Study) -> str:
  """Returns the page."""
  parts = [_HEAD, _trials(study), _weightings(study)]
  parts += [_results(study, data) for data in TITLES if study.runs(data)]
  parts += [_calibration(study)]
  parts += [_peers(study)] if study.peers else []
  parts += [_partly(study)] if study.partly else []
  return "\n".join(filter(None, parts))


_HEAD = """\
# The strong recipe

`configs/strong.py` trains a U-Net on an encoder with ImageNet's weights, under cross-entropy and
soft Dice. This page shows what it was chosen by, and how good its models are. Every model has its
own split where nothing else is said; near-duplicate images are never both in training and test.
MobileNetV2's weights are torchvision's, from a file whose batch normalisations were reconstructed
and equal the original's outputs to 2.4e-5. A row is made again by

```sh
python -m mlseg.main --config=configs/strong.py:busi+mobilenet_v2 --config.num_seeds=3
```

`python docs/strong_study/make.py` computes this page from the [rows](strong_study).
"""


def _trials(study: Study) -> str:
  """Returns the validation scores of trainings that decided about the recipe."""
  rows = []
  for run in dict.fromkeys(row["run"] for row in study.curves if row["run"].startswith(TRIALS)):
    for curve in study.curves_of(run):
      best = max(curve)
      cells = (*run.split("/")[1:], str(len(curve)), f"{100 * best:.1f}",
               str(curve.index(best) + 1), f"{100 * curve[-1]:.1f}")  # fmt: skip
      rows.append(tuple(map(TableCell, cells)))
  if not rows:
    return ""
  header = ("encoder", "what was tried", "epochs", "best Dice", "at epoch", "Dice at the end")
  words = f"""\
    One model of each, seed 0, 128×128: Dice in percent on the 98 *validation* images of BUSI; no
    test image was looked at. With so few images, differences of a point or two may be chance. Light
    augmentation has a scale of 0.2 instead of 0.3, and neither elastic maps nor gamma, noise, blur
    and low resolution. Trainings whose best epoch was long ago were stopped. The recipe took the
    stronger augmentation, with which the best epoch is {_gained(study)} points better, and 40
    epochs, since no training got better after that."""
  table = to_markdown(Table("", header, tuple(rows)))
  return f"## What the recipe was chosen by\n\n{table}\n{wrapped(words)}\n"


def _gained(study: Study) -> str:
  """Returns the difference of the best validation Dice by the recipe's augmentation, by encoder."""
  found = []
  for encoder in ("efficientnet_lite0", "mobilenet_v2"):
    light, strong = (
      max(map(max, study.curves_of(f"{TRIALS}/{encoder}/{what}")))
      for what in ("light augmentation", "the recipe's augmentation, of 60 epochs")
    )
    found.append(f"{100 * (strong - light):.1f}")
  return " and ".join(found)


def _weightings(study: Study) -> str:
  """Returns the comparison of weightings and encoders on validation images."""
  rows = []
  for run in study.runs(CHOICE):
    _, encoder, weighting, *_ = run.split("/")
    values = study.values(run, "validation_dice")
    if not values:
      continue
    gap = "" if run == REFERENCE else _gap(values, study.values(REFERENCE, "validation_dice"))
    gain = study.last_gain(run)
    mark = "" if gain <= CONVERGED else " (not converged)"
    cells = (encoder, weighting, mean(values), gap, f"{100 * gain:.1f}{mark}")
    rows.append(tuple(TableCell(cell) for cell in cells))
  if not rows:
    return ""
  header = ("encoder", "weighting", "validation Dice", "difference", "gain of the last third")
  words = f"""\
    Dice in percent on the *validation* images of BUSI at 128×128, of the best epoch: mean ±
    standard deviation over {len(study.values(REFERENCE, "validation_dice"))} seeds. Difference: to
    the first row, in points, with its 95 % interval by the paired t-test over the seeds. Gain of
    the last third: the largest improvement of a model's best validation Dice in the last third of
    its epochs; more than {100 * CONVERGED:.1f} points count as not converged."""
  table = to_markdown(Table("", header, tuple(rows)))
  return f"## Encoders and weightings on validation images\n\n{table}\n{wrapped(words)}\n"


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
  rows, columns = [], _columns(study, data)
  for run in study.runs(data):
    rows.append(_line(study, run, columns))
    rows += [_part_line(study, run, columns, start) for start in PARTS.get(data, ())]
    if study.mean(run) is not None and len(study.values(run, "dice")) > 1:
      rows.append(_mean_line(study, run, columns))
  scored = "object Dice" if columns == OF_OBJECTS else "Dice"
  header = (
    "models", *(heading for _, heading, _ in columns), f"{scored}, 95 % interval", "minutes"
  )  # fmt: skip
  table = to_markdown(Table("", header, tuple(rows)))
  if columns == OF_OBJECTS:
    words = _words_of_objects(study, data)
  elif columns == OF_PATIENTS:
    words = _words_of_patients(study, data)
  else:
    words = """\
    Of the lesion in each test image, then the mean over images; mean ± standard deviation over
    models, whose number is in brackets. The interval is a bootstrap over the images, with the mean
    over the models that were tested on an image. HD95: the 95th percentile of the Hausdorff
    distance; NSD: the normalised surface Dice with a tolerance of two pixels. Minutes: of the
    training steps of a model on one CPU core, while another core trained another model, the median
    of the models; rows of weightings other than equal weights had the convolutions of oneDNN."""
  return f"## {TITLES[data]}\n\n{table}\n{wrapped(words)}\n"


def _words_of_objects(study: Study, data: str) -> str:
  gain = max(study.last_gain(run) for run in study.runs(data))
  return f"""\
    `strong.py:glas+mobilenet_v2` with `--config.model.matmul_precision=bfloat16`, at half the
    magnification, in patches of 224×224; the published test images, whole. Means over images of
    the challenge's metrics; the paper's table has an object Dice of 87. Touching glands have one
    number in the copies of the data that were at hand. In the last third of the epochs the best
    validation Dice rose by {100 * gain:.1f} points. Minutes: of the training steps on one CPU core
    with oneDNN, while another core trained another model."""


def _words_of_patients(study: Study, data: str) -> str:
  gains = [100 * study.last_gain(run) for run in study.runs(data)]
  return f"""\
    `strong.py:lgg+mobilenet_v2` with `--config.model.matmul_precision=bfloat16` and
    `--config.data.lgg.complete=False`, since ten patients were at hand: five folds, each with two
    patients to test. Of the tumour of a patient, over the pixels of all its slices, then the mean
    over patients; mean ± standard deviation over the folds. {_worst(study, data)}
    The data set's authors report a mean Dice of {AUTHORS_DICE} % over all 110 patients, so that the
    two numbers are of different patients and training sets. In the last third of the epochs the
    best validation Dice rose by at most {max(gains):.1f} points. Minutes: of the training steps of
    a fold on one CPU core with oneDNN, while another core trained another model; the median of the
    folds."""


def _worst(study: Study, data: str) -> str:
  """Returns a sentence on the two patients with the lowest Dice, and the others."""
  found = sorted(
    100 * float(row["dice"]) for row in study.cases if row["run"] in study.runs(data)
  )  # fmt: skip
  return (
    f"Two patients have {found[0]:.0f} and {found[1]:.0f} %, the other {len(found) - 2} a mean of"
    f" {statistics.fmean(found[2:]):.1f} %."
  )


def _columns(study: Study, data: str) -> tuple[Column, ...]:
  """Returns the columns of a data set's table."""
  if data in BY_PATIENT:
    return OF_PATIENTS
  has_objects = any(study.values(run, "object_dice") for run in study.runs(data))
  return OF_OBJECTS if has_objects else COLUMNS


def _line(study: Study, run: str, columns: tuple[Column, ...] = COLUMNS) -> tuple[TableCell, ...]:
  name = ", ".join(run.split("/")[1:3])  # a fourth part tells apart runs with other views
  count, views = len(study.values(run, "dice")), _views(study, run)
  scores = (mean(study.values(run, metric), factor) for metric, _, factor in columns)
  minutes = study.values(run, "minutes")
  interval = _interval(study.interval(run, metric=_scored(columns)))
  cells = (
    f"{name}, {views} ({count})", *scores, interval,
    f"{statistics.median(minutes):.0f}" if minutes else "",
  )  # fmt: skip
  return tuple(TableCell(cell) for cell in cells)


def _scored(columns: tuple[Column, ...]) -> str:
  """Returns the metric that has an interval."""
  return "object_dice" if columns == OF_OBJECTS else "dice"


def _part_line(
  study: Study, run: str, columns: tuple[Column, ...], start: str
) -> tuple[TableCell, ...]:
  """Returns the line of a published part of the test images."""
  scores = (mean(study.of_part(run, metric, start), factor) for metric, _, factor in columns)
  interval = _interval(study.interval(run, metric=_scored(columns), start=start))
  title = PARTS[run.split("/")[0]][start]
  return tuple(TableCell(cell) for cell in (title, *scores, interval, ""))


def _mean_line(
  study: Study, run: str, columns: tuple[Column, ...] = COLUMNS
) -> tuple[TableCell, ...]:
  own = study.mean(run)
  assert own is not None
  count = len(study.values(run, "dice"))
  scores = (f"{factor * float(own[metric]):.1f}" for metric, _, factor in columns)
  interval = _interval(study.interval(run, mean=True, metric=_scored(columns)))
  return tuple(TableCell(cell) for cell in (f"mean of these {count}", *scores, interval, ""))


def _views(study: Study, run: str) -> str:
  return VIEWS[next(row["views"] for row in study.models if row["run"] == run)]


def _interval(ends: tuple[float, float]) -> str:
  return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def _calibration(study: Study) -> str:
  """Returns how far the probabilities of pixels can be trusted."""
  rows = []
  for data in TITLES:
    for run in study.runs(data):
      own = [row for row in study.calibration if row["run"] == run and row["seed"] != MEAN]
      if own:
        values = {name: [float(row[name]) for row in own] for name in CALIBRATION}
        scores = (_digits(values[name], factor) for name, (_, factor) in CALIBRATION.items())
        name = ", ".join(run.split("/")[1:3])
        cells = (f"{TITLES[data]}: {name}, {_views(study, run)} ({len(own)})", *scores)
        rows.append(tuple(TableCell(cell) for cell in cells))
  if not rows:
    return ""
  header = ("models", *(heading for heading, _ in CALIBRATION.values()))
  table = to_markdown(Table("", header, tuple(rows)))
  words = """\
    Of the test pixels of a model; mean ± standard deviation over the models, whose number is in
    brackets. ECE: the expected calibration error in percent, the mean difference of a pixel's
    probability from the share of pixels of that probability that are right. The temperature was
    fitted on the validation images. Not all models were measured. AUC of errors: how often a wrong
    pixel has a lower confidence than a right one, in percent; 50 is chance."""
  return f"## Probabilities that can be trusted\n\n{table}\n{wrapped(words)}\n"


def _digits(values: Sequence[float], factor: float) -> str:
  """Returns mean ± standard deviation with two digits."""
  scaled = [factor * value for value in values]
  found = f"{statistics.fmean(scaled):.2f}"
  return f"{found} ± {statistics.stdev(scaled):.2f}" if len(scaled) > 1 else found


def _peers(study: Study) -> str:
  """Returns the comparison with segmentation-models-pytorch."""
  rows = []
  for name, entry in study.peers.items():
    found = entry["all"]["dice"]
    gap = f"{_points(found['difference'])} [{_points(found['low'])}, {_points(found['high'])}]"
    cells = (name, entry["peer"], str(len(entry["seeds"])), f"{100 * found['mlseg']:.1f}",
             f"{100 * found['peer']:.1f}", gap, *_minutes(entry))  # fmt: skip
    rows.append(tuple(TableCell(cell) for cell in cells))
  header = ("setting", "peer", "models", "Dice, mlseg", "Dice, peer", "difference",
            "minutes, mlseg", "minutes, peer")  # fmt: skip
  table = to_markdown(Table("", header, tuple(rows)))
  words = """\
    The same training, validation and test images, weights of the encoder, image size, batch size
    and number of epochs, and one view of an image. The peer is trained as is usual, by Adam under
    Dice and cross-entropy, with mirroring, rotation, shear, scale, brightness and contrast; the
    other changes of images, the average of the variables and the removal of small components are
    the recipe's own. The interval is a bootstrap over the test images. Minutes: of one model on
    one CPU core, from start to end, mlseg with oneDNN, one after the other, while another core
    trained another model; empty where they were not measured in this way. The benchmarks have
    [all metrics](../benchmarks/results/quality.md)."""
  return f"## Beside segmentation-models-pytorch\n\n{table}\n{wrapped(words)}\n"


def _minutes(entry: Mapping[str, Any]) -> tuple[str, str]:
  """Returns the time of a model of both, where both were measured in one run."""
  if entry["seconds_a_model"] is None:
    return "", ""
  of_peer = statistics.fmean(row["peer_seconds"] for row in entry["seeds"])
  return f"{entry['seconds_a_model'] / 60:.0f}", f"{of_peer / 60:.0f}"


def _partly(study: Study) -> str:
  """Returns what cases are worth that lack a mask or a diagnosis."""
  lines = []
  of_masks, of_diagnoses = (
    {row["labels"]: row for row in study.partly[name]}
    for name in ("comparisons", "accuracy_comparisons")
  )
  names = dict.fromkeys(row["labels"] for row in study.partly["rows"])
  for name in sorted(names, key=lambda name: name in of_masks):  # the reference first
    own = [row for row in study.partly["rows"] if row["labels"] == name]
    scores = (
      mean([float(row[metric]) for row in own], 1.0 if metric == "hausdorff95" else 100.0)
      for metric in ("validation", "dice", "hausdorff95", "balanced_accuracy", "roc_auc")
    )
    gaps = (_difference(rows.get(name)) for rows in (of_masks, of_diagnoses))
    lines.append(tuple(map(TableCell, (f"{name} ({len(own)})", *scores, *gaps))))
  header = ("trained on", "validation", "Dice", "HD95, pixels", "balanced accuracy", "AUC",
            "Dice, difference", "accuracy, difference")  # fmt: skip
  table = to_markdown(Table("", header, tuple(lines)))
  words = """\
    `configs/strong.py:busi+efficientnet_lite0+joint`, masks and diagnoses together at 128×128. Of
    the training images 30 % have lost their mask, and another 30 % their diagnosis; validation and
    test images have both. The rows take 1,122, 1,120 and 1,120 steps; in the last one all
    training images have both. Test scores, mean ± standard deviation over seeds with a split each,
    whose number is in brackets; validation: the mean of Dice and accuracy by which epochs are
    kept. Differences are to the first row, in points, with a 95 %
    interval over the test images. The study is `configs/studies/partly_labelled.py`."""
  return f"## Images that lack a mask or a diagnosis\n\n{table}\n{wrapped(words)}\n"


def _difference(row: Mapping[str, str] | None) -> str:
  if row is None:
    return ""
  gap, low, high = (_points(float(row[name])) for name in ("difference", "low", "high"))
  return f"{gap} [{low}, {high}]"


def readme_table(study: Study) -> str:
  """Returns the README's table: the recipe's own rows, of data with the same metrics."""
  rows = []
  for data in TITLES:
    if _columns(study, data) != COLUMNS:
      continue
    for run in study.runs(data):
      if run.split("/")[2] != EQUAL:  # a weighting that the recipe did not take
        continue
      name, *cells = _line(study, run)
      rows.append((TableCell(f"{TITLES[data]}: {name.text}"), *cells))
      if study.mean(run) is not None and len(study.values(run, "dice")) > 1:
        rows.append(_mean_line(study, run))
  header = ("data", *(heading for _, heading, _ in COLUMNS), "Dice, 95 % interval", "minutes")
  return to_markdown(Table("", header, tuple(rows)))
