"""The text of `docs/multitask_study.md`, every number of it from the rows."""

from collections.abc import Sequence

from findings import Study
from pages import recipe, sweep_command, wrapped

from mlseg.report.tables import Table, TableCell, to_markdown

_DICE, _ACCURACY = "dice", "classification_accuracy"
_COLUMNS = (("Dice", _DICE), ("accuracy", _ACCURACY), ("AUC", "roc_auc"))
_PARTS = ("segmentation alone", "classification alone")
_RATIOS = ("1:1", "2:1", "10:1", "1:2", "1:5", "1:10")
_ADAPTIVE = ("uncertainty", "DMF", "DWA")
TITLES = {
  "busi": "Breast ultrasound (BUSI): the lesion, and whether it is malignant",
  "lgg": "Brain MRI (TCGA-LGG, 10 of 110 patients): the tumour, and whether a slice shows one",
}
NEED_ROOT = ("lgg",)
# The paper's on brain MRI, from its text, under a split that it does not describe.
PUBLISHED = {
  "lgg": "The paper has 98 % Dice and 89 to 90 % accuracy on the whole data set. A slice without a"
  " tumour counts 100 % here where none is found, else 0."
}
_HEAD = """\
One network for masks and diagnoses, with the losses 5:1 as in the published multi-task U-Net:
against its parts, without ImageNet's weights, and under weightings that find the ratio by
themselves.
`python docs/multitask_study/make.py` computes this page from the [rows](multitask_study).
"""
_NOTE = """\
In percent, mean ± standard deviation over {seeds}. Δ: points of difference to {reference}, over
groups of pictures that belong together (near-duplicates, or a patient's), with its 95 % interval
and p by Wilcoxon's test over these groups after Holm. The best of a column is bold.
"""


def text(studies: dict[str, Study]) -> str:
  """Returns the page of the studies, which are by the name of the data set."""
  parts = [_section(name, study) for name, study in studies.items()]
  return f"# The multi-task study\n\n{wrapped(_HEAD)}\n\n" + "\n".join(parts)


def _section(name: str, study: Study) -> str:
  findings = [finding(study) for finding in (_parts, _pretraining, _networks, _ratios, _adaptive)]
  findings.append(PUBLISHED.get(name, ""))
  bullets = "\n".join(wrapped(one, "- ", "  ") for one in findings if one)
  bullets = f"{_setting(name, study)}\n{bullets}"
  seeds = f"{study.num_seeds()} {'folds' if name == 'lgg' else 'seeds, each with its own split'}"
  note = wrapped(_NOTE.format(seeds=seeds, reference=study.reference))
  return f"## {TITLES[name]}\n\n{bullets}\n\n{to_markdown(_table(study))}\n{note}\n"


def _setting(name: str, study: Study) -> str:
  setting = study.setting
  size, filters = setting["data.image_size"], setting["model.decoder_filters"]
  whole = recipe(f"multitask_{name}")
  side, levels = whole.data.image_size, whole.model.decoder_filters
  words = f"""\
    {study.num_models()} models. Without a GPU, on {setting["device"].replace("cpu", "CPU cores")},
    they are smaller than the recipe: pictures of {size}×{size} instead of {side}×{side}; a
    MobileNetV2 of width {setting["model.width"]}, with ImageNet's weights where nothing else is
    said, and {filters[0]} to {filters[-1]} filters in the decoder instead of width
    {whole.model.width} and {levels[0]} to {levels[-1]}; at most {setting["num_epochs"]} epochs in
    batches of {setting["batch_size"]} instead of {whole.num_epochs} and {whole.batch_size}."""
  command = sweep_command(f"multitask_{name}", setting, "DIR" if name in NEED_ROOT else "")
  return f"{wrapped(words)}\n\n{command}"


def _known(study: Study, methods: Sequence[str]) -> list[str]:
  return [method for method in methods if method in study.methods()]


def _against(study: Study, method: str) -> str:
  """Returns how a method differs from the reference in both scores, as far as it has them."""
  scores = (("Dice", _DICE), ("accuracy", _ACCURACY))
  found = [f"{word} {text}" for word, name in scores if (text := study.difference(method, name))]
  return f"{method}: {', '.join(found)}"


def _parts(study: Study) -> str:
  known = _known(study, _PARTS)
  return known and (
    f"**One network or two.** Joint training has {study.score(study.reference, _DICE)} % Dice and"
    f" {study.score(study.reference, _ACCURACY)} % accuracy. Against it,"
    f" {'; '.join(_against(study, method) for method in known)}."
  )


def _pretraining(study: Study) -> str:
  known = [m for m in study.methods() if m.endswith("from scratch")]
  return known and (
    "**Without ImageNet's weights**, against joint training with them,"
    f" {'; '.join(_against(study, method) for method in known)}."
  )


def _networks(study: Study) -> str:
  known = _known(study, ("joint, without skips", "attention U-Net", "Mask R-CNN"))
  return known and f"**Other networks.** {'; '.join(_against(study, m) for m in known)}."


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


def _adaptive(study: Study) -> str:
  known = _known(study, [f"joint, {name}" for name in _ADAPTIVE])
  if not known:
    return ""
  ends = [
    f"{method.removeprefix('joint, ')} ends at"
    f" {' / '.join(f'{ratio:.2g}' for ratio in study.ratios(method))} to 1"
    for method in known
  ]
  return (
    "**What weightings find by themselves**, where the paper chose 5:1 by hand: by seed,"
    f" {'; '.join(ends)}. Against 5:1, {'; '.join(_against(study, method) for method in known)}."
  )


def _table(study: Study) -> Table:
  """Returns a row per method: scores, and differences to the reference."""
  header = ["method"]
  for word, name in _COLUMNS:
    header += [word, f"Δ {word}"] if name != "roc_auc" else [word]
  rows = []
  for method in study.methods():
    cells = [TableCell(method)]
    for _, name in _COLUMNS:
      cells.append(TableCell(study.score(method, name), method == study.best(name)))
      if name != "roc_auc":
        cells.append(TableCell(study.difference(method, name)))
    rows.append(tuple(cells))
  return Table("", tuple(header), tuple(rows))
