"""The text of `docs/multitask_study.md`, every number of it from the rows."""

import pathlib
import statistics
from collections.abc import Sequence

from findings import ATTENTION, Study
from pages import LATE_DWA, cores, is_of_first_version, recipe, sweep_command, wrapped

from mlseg.report.names import listed
from mlseg.report.tables import Table, TableCell, to_markdown

_HERE = pathlib.Path(__file__).resolve().parent
FIGURES = {
  "cases.png": "Test images with the outlines of truth (solid) and prediction (dashed)",
  "saliency.png": "Where networks look for their diagnosis (Grad-CAM), in test images",
}
_DICE, _ACCURACY = "dice", "classification_accuracy"
_COLUMNS = (("Dice", _DICE), ("accuracy", _ACCURACY), ("AUC", "roc_auc"))
_PARTS = ("segmentation alone", "classification alone")
_NETWORKS = (
  "joint, without skips", "joint, VGG16", "segmentation, VGG16", "classification, VGG16",
  "attention U-Net", "segmentation alone, attention gates", "Mask R-CNN",
)  # fmt: skip
_RATIOS = ("1:1", "2:1", "10:1", "1:2", "1:5", "1:10")
_ADAPTIVE = ("uncertainty", "DMF", "DWA", "UPGrad")
TITLES = {
  "busi": "Breast ultrasound (BUSI): the lesion, and whether it is malignant",
  "lgg": "Brain MRI (TCGA-LGG, 10 of 110 patients): the tumour, and whether a slice shows one",
}
NEED_ROOT = ("lgg",)
# The paper's on brain MRI, from its text, under a split that it does not describe.
PUBLISHED = {
  "lgg": "The paper has 98 % Dice and 89 to 90 % accuracy on the whole data set. A slice without a"
  " tumour has a Dice of 100 % here where the network finds none, else of 0."
}
# Over what the differences of a data set are tested: 'cases' are patients on brain MRI. The images
# of BUSI have no patients, and intervals over its images would not tell what another seed changes.
UNITS = {"busi": "seeds", "lgg": "cases"}
_UNIT_WORDS = {
  "seeds": "the {seeds} seeds, each with its own split: the paired t-test",
  "cases": "the {groups} patients: Wilcoxon's signed-rank test, with the interval of Student's t",
}
_HEAD = """\
One network predicts masks and diagnoses. Its two losses have the weights 5:1, as in the published
multi-task U-Net. It is compared with networks for one of the two tasks, with a network that does
not start from ImageNet's weights, and with weightings that adapt the ratio of the two losses.
`python docs/multitask_study/make.py` computes this page from the [rows](multitask_study).
"""
_NOTE = """\
In percent, mean ± standard deviation over {folds}. Δ: points of difference to {reference}, with its
95 % interval, and p after Holm's correction for the number of methods. Interval and p are over
{unit}. Bold: the best of a column, where the 95 % interval of its difference to the next best, by
Student's t over the {kind}, does not contain 0.
"""


def text(studies: dict[str, Study]) -> str:
  """Returns the page of the studies, which are by the name of the data set."""
  parts = [_section(name, study) for name, study in studies.items()]
  return f"# The multi-task study\n\n{wrapped(_HEAD)}\n\n" + "\n".join(parts)


def _section(name: str, study: Study) -> str:
  findings = [finding(name, study) for finding in (_parts, _pretraining, _networks)]
  findings += [_attention(study), _ratios(study), _adaptive(name, study), study.convergence()]
  findings += [_not_run(study), _faults(study), PUBLISHED.get(name, "")]
  bullets = "\n".join(wrapped(one, "- ", "  ") for one in findings if one)
  bullets = f"{_setting(name, study)}\n{bullets}"
  kind = "folds" if name == "lgg" else "seeds"
  unit = _UNIT_WORDS[UNITS[name]].format(seeds=study.num_seeds(), groups=study.num_groups(_DICE))
  note = _NOTE.format(
    folds=f"{study.num_seeds()} {kind}", reference=study.reference, unit=unit, kind=kind
  )
  table = to_markdown(_table(name, study))
  return f"## {TITLES[name]}\n\n{bullets}\n\n{_figures(name)}{table}\n{wrapped(note)}\n"


def _figures(name: str) -> str:
  """Returns the figures of a data set that are there."""
  return "".join(
    f"![{words}](multitask_study/{name}/{file})\n\n"
    for file, words in FIGURES.items()
    if (_HERE / name / file).exists()
  )


def _setting(name: str, study: Study) -> str:
  setting = study.setting
  size, width = setting["data.image_size"], setting["model.width"]
  filters = setting["model.decoder_filters"]
  whole = recipe(f"multitask_{name}")
  whole_filters = whole.model.decoder_filters
  if (size, width) == (whole.data.image_size, whole.model.width):
    sizes = f"of the recipe's size: images of {size}×{size}, a MobileNetV2 of width {width}"
  else:
    side = whole.data.image_size
    sizes = f"""\
      smaller than the recipe: images of {size}×{size} instead of {side}×{side}; a MobileNetV2 of
      width {width} instead of {whole.model.width}"""
  words = f"""\
    {study.num_models()} models. Without a GPU, on {cores(setting)},
    they are {sizes}, with ImageNet's weights where nothing else is said;
    {_span(filters)} filters in the decoder{_instead(_span(filters), _span(whole_filters))}; at most
    {setting["num_epochs"]} epochs{_instead(setting["num_epochs"], whole.num_epochs)} in batches of
    {setting["batch_size"]}{_instead(setting["batch_size"], whole.batch_size)}."""
  if study.models:
    minutes = [float(row["minutes"]) for row in study.models]
    words += f"""\
      A model took {statistics.median(minutes):.0f} minutes (the median), all of them
      {sum(minutes) / 60:.1f} hours."""
  command = sweep_command(f"multitask_{name}", setting, "DIR" if name in NEED_ROOT else "")
  return f"{wrapped(words)}\n\n{command}"


def _span(filters: Sequence[int]) -> str:
  return f"{filters[0]} to {filters[-1]}"


def _instead(own: object, whole: object) -> str:
  """Returns in words what the recipe has, where a study has something else."""
  return "" if own == whole else f" instead of {whole}"


def _known(study: Study, methods: Sequence[str]) -> list[str]:
  return [method for method in methods if method in study.methods()]


def _against(name: str, study: Study, method: str) -> str:
  """Returns how a method differs from the reference in both scores, as far as it has them."""
  scores = (("Dice", _DICE), ("accuracy", _ACCURACY))
  found = [
    f"{word} {text}"
    for word, metric in scores
    if (text := study.difference(method, metric, UNITS[name]))
  ]
  return f"{method}: {', '.join(found)}"


def _verdict(name: str, study: Study, methods: Sequence[str]) -> str:
  """Returns in words which of the differences are significant at 5 %."""
  words = {_DICE: "Dice", _ACCURACY: "accuracy"}
  found = [
    f"the {words[metric]} of {method}"
    for method in methods
    for metric in words
    if study.differs(method, metric, UNITS[name])
  ]
  if not found:
    return "None of these differences is significant at 5 %."
  return f"At 5 %, {listed(found)} differ{'s' * (len(found) == 1)}; the others do not."


def _parts(name: str, study: Study) -> str:
  known = _known(study, _PARTS)
  return known and (
    f"**One network or two.** Joint training has {study.score(study.reference, _DICE)} % Dice and"
    f" {study.score(study.reference, _ACCURACY)} % accuracy. Against it,"
    f" {'; '.join(_against(name, study, method) for method in known)}."
    f" {_verdict(name, study, known)}"
  )


def _pretraining(name: str, study: Study) -> str:
  known = [m for m in study.methods() if m.endswith("from scratch")]
  return known and (
    "**Without ImageNet's weights**, against joint training with them:"
    f" {'; '.join(_against(name, study, method) for method in known)}."
    f" {_verdict(name, study, known)}"
  )


def _networks(name: str, study: Study) -> str:
  known = _known(study, _NETWORKS)
  return known and (
    f"**Other networks.** {'; '.join(_against(name, study, m) for m in known)}."
    f" {_verdict(name, study, known)}"
  )


def _attention(study: Study) -> str:
  """Returns the paper's test: the paired t-test against Attention U-Net, over folds or seeds."""
  found = study.against_attention()
  if study.reference not in found:
    return ""
  row = found[study.reference]
  change, low, high = (100 * float(row[f"{n}_seeds"]) for n in ("difference", "low", "high"))
  return f"""\
    **Against {ATTENTION}**, from scratch as the paper has it. The Dice of {study.reference} minus
    its Dice is {change:+.1f} points [{low:+.1f}, {high:+.1f}], p {float(row["p_seeds"]):.2g} by the
    paired t-test of the paper, over {row["num_seeds"]} trainings, before any correction."""


def _ratios(study: Study) -> str:
  known = _known(study, [f"joint, {ratio}" for ratio in _RATIOS])
  if not known:
    return ""
  several = [*known, study.reference]
  spans = []
  for word, name in (("Dice", _DICE), ("accuracy", _ACCURACY)):
    means = {method: 100 * study.mean(method, name) for method in several}
    low, high = min(means, key=lambda m: means[m]), max(means, key=lambda m: means[m])
    spans.append(f"{word} {means[low]:.1f} ({low}) to {means[high]:.1f} ({high})")
  return f"**The ratio** of masks to diagnosis moves {' and '.join(spans)}."


def _adaptive(name: str, study: Study) -> str:
  known = _known(study, [f"joint, {method}" for method in _ADAPTIVE])
  if not known:
    return ""
  ends = [
    f"{method.removeprefix('joint, ')}"
    f" {', '.join(f'{ratio:.2g}' for ratio in study.ratios(method))}"
    for method in known
  ]
  return (
    "**Weightings that adapt.** The paper chose 5:1 by hand. The weight of masks over that of the"
    f" diagnosis in the last epoch, for each seed: {'; '.join(ends)}. Against 5:1,"
    f" {'; '.join(_against(name, study, method) for method in known)}."
    f" {_verdict(name, study, known)}"
  )


def _not_run(study: Study) -> str:
  """Returns which rows of the study have no models."""
  names = study.not_run()
  return f"**Not run**, though the study has them: {'; '.join(names)}." if names else ""


def _faults(study: Study) -> str:
  """Returns what is wrong with the rows."""
  if not is_of_first_version(study.setting):
    return ""
  return (
    f"**Faults of these rows.** They are of version 0.1.0, in which {LATE_DWA}. The sums of the"
    " weights differ between weightings (6 for 5:1, 1 for DMF, 2 for DWA); Adam, with which all"
    " were trained, divides a constant factor of the gradient out."
  )


def _table(name: str, study: Study) -> Table:
  """Returns a row per method: scores, and differences to the reference; last those not run."""
  header = ["method"]
  for word, metric in _COLUMNS:
    header += [word, f"Δ {word}"] if metric != "roc_auc" else [word]
  rows = []
  for method in study.methods():
    cells = [TableCell(f"{method}*" if method in study.unfinished() else method)]
    for _, metric in _COLUMNS:
      cells.append(TableCell(study.score(method, metric), method == study.best(metric)))
      if metric != "roc_auc":
        cells.append(TableCell(study.difference(method, metric, UNITS[name])))
    rows.append(tuple(cells))
  gaps = ("not run", *[""] * (len(header) - 2))
  rows += [tuple(map(TableCell, (method, *gaps))) for method in study.not_run()]
  return Table("", tuple(header), tuple(rows))
