"""The text of `docs/multitask_study.md`, every number of it from the rows."""

import statistics
import textwrap
from collections.abc import Sequence

from findings import Study

from mlseg.report.tables import Cell, Table, to_markdown

_DICE, _ACCURACY = "dice", "classification_accuracy"
_COLUMNS = (("Dice", _DICE), ("accuracy", _ACCURACY), ("AUC", "roc_auc"))
_PARTS = ("segmentation alone", "classification alone")
_RATIOS = ("1:1", "2:1", "10:1", "1:2", "1:5", "1:10")
_ADAPTIVE = ("uncertainty", "DMF", "DWA")
TITLES = {
  "busi": "Breast ultrasound (BUSI): the lesion, and whether it is malignant",
  "lgg": "Brain MRI (TCGA-LGG, 10 of 110 patients): the tumour, and whether a slice shows one",
}
# The paper's on brain MRI, from its text, under a split that it does not describe.
PUBLISHED = {"lgg": "The paper has 98 % Dice and 89 to 90 % accuracy on the whole data set."}
_NOTE = """\
In percent, mean ± standard deviation over {seeds}. Δ: points of difference to {reference}, over
groups of pictures that belong together (near-duplicates, or a patient's), with its 95 % interval
and p by Wilcoxon's test over these groups after Holm. The best of a column is bold.
"""


def text(head: str, studies: dict[str, Study]) -> str:
  """Returns the page.

  Args:
    head: its first paragraph.
    studies: by the name of the data set.
  """
  parts = [_section(name, study) for name, study in studies.items()]
  return f"# The multi-task study\n\n{_wrapped(head)}\n\n" + "\n".join(parts)


def _section(name: str, study: Study) -> str:
  findings = [finding(study) for finding in (_parts, _pretraining, _networks, _ratios, _adaptive)]
  findings.append(PUBLISHED.get(name, ""))
  bullets = "\n".join(_wrapped(one, "- ", "  ") for one in findings if one)
  seeds = f"{study.num_seeds()} {'folds' if name == 'lgg' else 'seeds, each with its own split'}"
  note = _wrapped(_NOTE.format(seeds=seeds, reference=study.reference))
  return f"## {TITLES[name]}\n\n{bullets}\n\n{to_markdown(_table(study))}\n{note}\n"


def _wrapped(paragraph: str, first: str = "", rest: str = "") -> str:
  words = " ".join(paragraph.split())
  return textwrap.fill(
    words, 100, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
  )


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
    means = {method: 100 * statistics.fmean(study.values(method, name)) for method in several}
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
    cells = [Cell(method)]
    for _, name in _COLUMNS:
      cells.append(Cell(study.score(method, name), method == study.best(name)))
      if name != "roc_auc":
        cells.append(Cell(study.difference(method, name)))
    rows.append(tuple(cells))
  return Table("", tuple(header), tuple(rows))
