"""A model card in Markdown, made from the files of a run."""

import math
import pathlib
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mlseg import __version__
from mlseg.metrics import bootstrap_interval
from mlseg.prediction.trained import Trained
from mlseg.workdir import results_file, run_files
from mlseg.workdir.run_files import RunFiles

_SCORES = {  # metric: words, what its values are multiplied by, unit
  "dice": ("Dice", 100.0, " %"),
  "iou": ("IoU", 100.0, " %"),
  "hausdorff95": ("95th percentile of the Hausdorff distance", 1.0, " pixels"),
  "normalized_surface_dice": ("normalised surface Dice", 100.0, " %"),
  "object_dice": ("object Dice", 100.0, " %"),
  "object_f1": ("object F1", 100.0, " %"),
  "classification_accuracy": ("accuracy of the diagnosis", 100.0, " %"),
  "roc_auc": ("area under the ROC curve", 100.0, " %"),
  "pixel_ece": ("calibration error of pixels, without temperature", 100.0, " %"),
  "pixel_ece_calibrated": ("calibration error of pixels", 100.0, " %"),
}


def text(run: Trained, workdir: pathlib.Path, metadata: Mapping[str, Any]) -> str:
  """Returns the card.

  Args:
    run: the run.
    workdir: its folder.
    metadata: from `export.metadata_of`.
  """
  files = run_files.read(run.name, workdir) if (workdir / results_file.NAME).exists() else None
  parts = [
    f"# {run.name}",
    _what(run, metadata),
    "## How to use it",
    _use(metadata),
    "## How it was trained",
    _training(run, files),
    "## How good it is",
    "\n".join(_scores(files)) if files else "The run has not been tested.",
    "## Limits",
    _limits(run, files),
    "## Source",
    f"Trained and exported by mlseg {__version__}, a code base for segmentation under several"
    f" losses (Apache License 2.0). SHA-256 of the run's model.npz: `{run.digest}`.",
  ]
  return "\n\n".join(parts) + "\n"


def _what(run: Trained, metadata: Mapping[str, Any]) -> str:
  size, count = metadata["input"]["shape"], len(run.seeds)
  what = [f"the class of each pixel ({', '.join(run.class_names)})"] if run.network.segments else []
  head = "any of several findings" if run.model.has_findings else "a diagnosis"
  what += [f"{head} ({', '.join(run.label_names)})"] if run.label_names else []
  models = "one model" if count == 1 else f"the mean of {count} models"
  on = ", each on" if count > 1 else ", on"
  views = {"one": "", "horizontal": f"{on} the image and its mirror image",
           "flips": f"{on} the image and its three mirror images"}[run.views]  # fmt: skip
  return (
    f"A network that predicts {' and '.join(what)} of images of {size[1]}×{size[2]}; {models}"
    f"{views}."
  )


def _use(metadata: Mapping[str, Any]) -> str:
  own, lines = metadata["input"], []
  colours = "grey" if own["shape"][3] == 1 else "RGB"
  lines.append(
    f"The input `{own['name']}` is [{', '.join(map(str, own['shape']))}] uint8, {colours} values of"
    f" 0 to 255. {own['preparation']} Scaling to the network's range is inside the model."
  )
  for name, output in metadata["outputs"].items():
    shape = ", ".join(map(str, output["shape"]))
    lines.append(f"The output `{name}` is [{shape}] float32: {output['meaning']}.")
  lines.append(f"Masks: {metadata['masks']['rule']}.")
  return "\n".join(f"- {line}" for line in lines)


def _training(run: Trained, files: RunFiles | None) -> str:
  if files is None:
    return f"On the data set {run.data.name}."
  config = files.config
  lines = [f"Data: {run.data.name}{_counts(files)}."]
  losses, weighting = ", ".join(config.get("losses") or ()), config["weighting"]["name"]
  optimizer = config["optimizer"]
  lines.append(f"Network: {run.network.name}, encoder {config['model'].get('encoder', 'its own')}.")
  lines.append(
    f"Losses: {losses}, weighted by {weighting}; {config['num_epochs']} epochs of"
    f" {optimizer['name']} at {optimizer['learning_rate']:g}."
  )
  return "\n".join(f"- {line}" for line in lines)


def _counts(files: RunFiles) -> str:
  """Returns how many cases there are, of each diagnosis, and in each part of the split."""
  if files.data is None:
    return ""
  labels = Counter(files.data.labels)
  by_label = ", ".join(f"{count} {name}" for name, count in sorted(labels.items()))
  found = f", {len(files.data.ids)} images ({by_label})"
  if files.split is not None:
    parts = next(iter(files.split.parts.values()))
    found += "; " + ", ".join(f"{len(ids)} for {name}" for name, ids in parts.items())
  return found


def _scores(files: RunFiles) -> Iterator[str]:
  count = len(files.seeds)
  models = "one model" if count == 1 else f"{count} models, each by itself"
  means = "; scores of findings are means over them" if files.findings else ""
  yield f"Of {models}, on test images that it has not been trained on{means}:"
  yield ""
  for name, (words, factor, unit) in _SCORES.items():
    metric = files.metrics.get(name)
    if metric is not None and metric.mean is not None:
      spread = "" if metric.std is None else f" ± {factor * metric.std:.1f}"
      ends = _interval(files) if name == "dice" else ""
      yield f"- {words}: {factor * metric.mean:.1f}{spread}{unit}{ends}"
  if files.ensemble is not None:
    yield ""
    yield "Their mean, with 95 % bootstrap intervals over the test images:"
    yield ""
    for name, (words, factor, unit) in _SCORES.items():
      own = files.ensemble.metrics.get(name)
      if own is not None and own.value is not None:
        low, high = own.low, own.high
        ends = "" if low is None or high is None else f" [{factor * low:.1f}, {factor * high:.1f}]"
        yield f"- {words}: {factor * own.value:.1f}{ends}{unit}"


def _interval(files: RunFiles) -> str:
  """Returns the 95 % bootstrap interval of the Dice over the test images; '' where it is not known.

  An image's value is the mean over the models that were tested on it. Images that a split keeps
  together are drawn together.
  """
  by_case: dict[str, list[float]] = {}
  for (_, case), score in (files.cases or {}).items():
    if not math.isnan(score.dice):
      by_case.setdefault(case, []).append(score.dice)
  if len(by_case) < 2:
    return ""
  data, known = files.data, dict[str, int]()
  if data is not None and data.groups is not None:
    known = dict(zip(data.ids, data.groups, strict=True))
  groups = [known.get(case, -n) for n, case in enumerate(by_case, start=1)]
  values = [statistics.fmean(own) for own in by_case.values()]
  found = bootstrap_interval(values, groups=groups, resample_within=False)
  return f", 95 % bootstrap interval over images {100 * found.low:.1f} to {100 * found.high:.1f} %"


def _limits(run: Trained, files: RunFiles | None) -> str:
  lines = [
    "Research software: not a medical device, and not tested for use on patients.",
    f"The scores are those of {run.data.name}. On images of another device, hospital or population"
    " they may be lower; `python -m mlseg.evaluate` measures them there.",
  ]
  if files is not None and files.ensemble is None and len(run.seeds) > 1:
    lines.append("The scores are those of single models. Their mean, which this file gives, was not"
                 " tested.")  # fmt: skip
  if files is not None and files.data is not None and files.data.patients is None:
    lines.append("The data do not tell which images are of one patient.")
  if files is not None and files.data is not None and run.network.segments:
    regions = list(files.data.pixels.values())[1:]
    empty = sum(not any(pixels) for pixels in zip(*regions, strict=True))
    lines.append(
      f"{empty} of the {len(files.data.ids)} images of the data show no region at all."
      if empty
      else "Every image of the data shows a region: images without one were neither trained nor"
      " tested on."
    )
  return "\n".join(f"- {line}" for line in lines)
