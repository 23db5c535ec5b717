"""The text of `docs/uncertainty_study.md`, every number of it from the rows."""

import itertools
import statistics

import collapse
import converged
from findings import ALL, BY_ADAM, LEARNED, SCORES, SPLITS, WORDS, Study
from pages import LATE_DWA, cores, is_of_first_version, recipe, sweep_command, wrapped

from mlseg.report.tables import Table, TableCell, to_markdown

_TESTED = (("class accuracy", "classification_accuracy"), ("Dice", "dice"))
_UNCERTAINTY = f"{ALL}, uncertainty"
_OTHERS = tuple(f"{ALL}, {name}" for name in ("DMF", "DWA", "UPGrad"))
_HITS = ("recall", "precision")
_FIGURES = """\
![Learned σ of each loss over training, a line per seed](uncertainty_study/figures/sigma.png)

![Weights of the losses over training](uncertainty_study/figures/weights.png)

![Values of the losses over training](uncertainty_study/figures/losses.png)

![Scores over the share of a loss](uncertainty_study/figures/sweeps.png)
"""
_NOTE = """\
Mean ± standard deviation over seeds; accuracies and Dice in percent, distances in pixels of the
reduced images; the paper's numbers in brackets. Published: the challenge's division, in which
patients of the training part come again in the test part; patients: a division in which none does.
Bold: the best of a column, where the 95 % interval of its difference to the next best, by Student's
t over the seeds, does not contain 0.
"""


def text(
  study: Study, of_collapse: collapse.Collapse | None, of_table: converged.Converged | None
) -> str:
  """Returns the page.

  Args:
    study: the rows of table 1 and of figure 2 at the smaller size.
    of_collapse: the rows on why models predict gland everywhere, if any.
    of_table: the rows of table 1 until training has converged, if any.
  """
  found = (
    _faults, _leak, _terms, _smoothness, _uncertainty, _diverged, _others, _learned, _sweeps,
  )  # fmt: skip
  texts = filter(None, (finding(study) for finding in found))
  bullets = "\n".join(wrapped(one, "- ", "  ") for one in texts)
  title = "# Uncertainty-driven multi-loss learning for glands\n\n"
  first = f"{converged.text(of_table)}\n" if of_table else ""
  if of_collapse:
    first += f"{collapse.text(of_collapse)}\n"
  if first:
    first += "## Table 1 and figure 2 at a smaller size\n\n"
  return (
    f"{title}{first}{_head(study)}\n{bullets}\n\n{_FIGURES}\n{to_markdown(_table(study))}\n"
    f"{wrapped(_NOTE)}\n"
  )


def _head(study: Study) -> str:
  setting = study.setting
  reduction, patch = setting["data.glas.reduction"], setting["data.patch_size"]
  rows, whole = study.methods(), recipe("glands")
  theirs = sum(row in study.published for row in rows)
  shares = max(map(len, study.sweeps.values()))
  side, filters, epochs = whole.data.patch_size, whole.model.filters, whole.num_epochs
  words = f"""\
    {study.num_models()} models on Warwick-QU: {theirs} of the {len(study.published)} rows of table
    1 of BenTaieb & Hamarneh 2017 and {len(rows) - theirs} other weightings, with
    {study.num_seeds()} seeds each, on the challenge's division and on one by patients. A row is
    named by its losses: c is the classification of the image, s the segmentation, t the topology
    and g the geometry. {study.num_sweep_models} more models are the sweeps of the paper's figure
    2, at {shares} values of λ, by `configs/studies/glands_sweep.py` under the same options. There
    was no GPU, only {cores(setting)}, so the models are smaller
    than those of the recipe: images at 1/{reduction} of the magnification, patches of
    {patch}×{patch} instead of {side}×{side}, {setting["model.filters"]} filters instead of
    {filters}, and {setting["num_epochs"]} epochs in batches of {setting["batch_size"]} instead of
    {epochs} and {whole.batch_size}. The masks are those of JPEG copies of the images, in which
    glands are numbered by connected region. `python docs/uncertainty_study/make.py` computes this
    page from its [rows](uncertainty_study)."""
  command = sweep_command("glands", setting, "DIR")
  return f"{wrapped(words)}\n\n{command}"


def _faults(study: Study) -> str:
  """Returns what is wrong with the rows."""
  if not is_of_first_version(study.setting):
    return ""
  method = study.learned()[-1]
  total = sum(weight for weight, _ in study.last_weights(method).values())
  return f"""\
    **Faults of these rows.** They are of version 0.1.0. There SGD had a Nesterov momentum of 0.9,
    where the paper has plain SGD. The segmentation loss was a mean over the two labels, where the
    topology and the geometry were sums, as all three are in the paper: in all rows with fixed
    weights it has half the paper's weight. {LATE_DWA[0].upper()}{LATE_DWA[1:]}. And under SGD the
    sum of the weights acts as a factor of the learning rate: it is 4 for equal weights of four
    losses, 1 under DMF, and {total:.0f} in the last epoch of `{method}`. So differences between
    weightings are differences of the learning rate too."""


def _leak(study: Study) -> str:
  changes = [(word, study.leak(name), factor) for word, name, factor in SCORES]
  parts = ", ".join(f"{word} {factor * change:+.1f}" for word, (change, _), factor in changes)
  return f"""\
    **Leak.** Scores on the published division minus scores on the split by patients, mean over the
    rows that have them: {parts} (points, and pixels of Hausdorff distance). The two divisions test
    on different images, so that this is not the effect of known patients alone."""


def _scores(study: Study, method: str) -> str:
  own = [
    f"{word} {study.score(method, name, factor, split='published')}"
    for word, name, factor in SCORES
    if study.values(method, name, split="published")
  ]
  return f"`{method}`: {', '.join(own)}"


def _terms(study: Study) -> str:
  rows = [row for row in ("c", "s", "t", "s+t+g", ALL) if row in study.methods(split="published")]
  return f"""\
    **More losses**, with equal weights, on the published division:
    {"; ".join(_scores(study, row) for row in rows)}."""


def _smoothness(study: Study) -> str:
  """Returns what the geometry does to rows in which it is."""
  with_geometry = ("s+t+g", ALL, _UNCERTAINTY, study.reference)
  rows = [row for row in with_geometry if row in study.methods(split="published")]
  parts = []
  for row in rows:
    hits = ", ".join(f"{name} {study.score(row, name, split='published')}" for name in _HITS)
    parts.append(f"`{row}`: {hits}")
  return f"""\
    **Smoothness.** The geometry loss punishes differences between neighbours. It is 0 for a network
    that predicts gland everywhere, whose recall is 100 % and whose precision is the share of gland.
    Of the rows with this loss, on the published division: {"; ".join(parts)}."""


def _against(study: Study, method: str, split: str) -> str:
  found = [
    f"{word} {change}"
    for word, name in _TESTED
    if (change := study.difference(method, name, split=split))
  ]
  return ", ".join(found)


def _uncertainty(study: Study) -> str:
  theirs = study.published
  gains = [
    f"{word} {theirs[_UNCERTAINTY][key]['mean'] - theirs[study.reference][key]['mean']:+.1f}"
    for word, key in (("class accuracy", "class_accuracy"), ("object Dice", "object_dice"))
  ]
  ours = "; ".join(
    f"`{method}` on {split}: {_against(study, method, split) or 'diverged'}"
    for method in (*LEARNED, BY_ADAM)
    for split in SPLITS
    if _against(study, method, split) or study.diverged(method, split)
  )
  return f"""\
    **Learned or chosen weights**, against `{study.reference}`, whose weights were chosen by hand.
    In points, with 95 % intervals, and p after Holm's correction for all methods. Interval and p
    are over the {study.num_groups("dice", split="published")} groups of test images of one patient
    on the published division, and the {study.num_groups("dice", split="patients")} on the division
    by patients; they do not tell what other seeds would change. {ours}. The paper has
    {", ".join(gains)} for `{_UNCERTAINTY}`."""


def _diverged(study: Study) -> str:
  """Returns what became of the cells that diverged, or ''."""
  parts = []
  for method, split in itertools.product((*LEARNED, BY_ADAM), SPLITS):
    if rows := study.diverged(method, split):
      top = max(rows, key=lambda row: float(row["weight"]))["loss"]
      own = [row for row in rows if row["loss"] == top]
      epochs, weights, values = (
        _range([float(row[name]) for row in own]) for name in ("epoch", "weight", "value")
      )
      parts.append(
        f"`{method}` on {split} stopped in epoch {epochs}; by then the weight of {WORDS[top]} had"
        f" reached {weights}, and its loss had fallen to {values}"
      )
  if not parts:
    return ""
  return f"""\
    **Divergence.** {"; ".join(parts)} (the least and the greatest of the seeds). The geometry loss
    is 0 where the network predicts the same everywhere. The best weight of a loss that stays 0 is
    infinite, so the weight grows until a step is too long."""


def _range(values: list[float]) -> str:
  low, high = f"{min(values):.3g}", f"{max(values):.3g}"
  return low if low == high else f"{low} to {high}"


def _others(study: Study) -> str:
  known = [row for row in _OTHERS if row in study.methods(split="published")]
  found = "; ".join(f"{row.split(', ')[1]}: {_against(study, row, 'published')}" for row in known)
  return (
    f"**Other weightings** of the four losses against `{study.reference}`, on the published"
    f" division: {found}."
  )


def _learned(study: Study) -> str:
  method = study.learned()[-1]
  ends = study.last_weights(method)
  weights = ", ".join(f"{loss} {weight:.3g}" for loss, (weight, _) in ends.items())
  products = ", ".join(f"{loss} {product:.2f}" for loss, (_, product) in ends.items())
  return f"""\
    **What the uncertainties learn.** For a loss L, the least value of L/σ² + log σ² is at σ² = L,
    where the weight 1/σ² is 1/L and weight times loss is 1. In the last epoch the weights of
    `{method}` are {weights}; times their losses they are {products}. The paper's rows learn σ by
    SGD at the rate of the network; `{BY_ADAM}` learns it by Adam, which is the default of this
    package. The figure of σ is below."""


def _sweeps(study: Study) -> str:
  parts = []
  for formula, points in study.sweeps.items():
    for word, name, factor in SCORES[:3]:
      known = {share: [factor * v for v in own[name]] for share, own in points.items() if own[name]}
      if known:
        means = {share: statistics.fmean(values) for share, values in known.items()}
        low, high = min(means, key=lambda x: means[x]), max(means, key=lambda x: means[x])
        widest = max(statistics.stdev(values) for values in known.values() if len(values) > 1)
        parts.append(
          f"{word} under {formula} is {means[low]:.1f} (λ = {low}) to {means[high]:.1f} (λ ="
          f" {high}), with standard deviations of up to {widest:.1f} over the seeds"
        )
  return f"**Sweeps of λ.** {'; '.join(parts)}."


def _table(study: Study) -> Table:
  """Returns a row per method: each score on both splits, and the paper's."""
  keys = ("class_accuracy", "pixel_accuracy", "object_dice", "object_hausdorff")
  header = ["losses and weights"]
  for word, _, _ in SCORES:
    header += [f"{word}, published", "patients"]
  best = {
    (name, split): study.best(name, less=factor == 1, split=split)
    for _, name, factor in SCORES
    for split in SPLITS
  }
  rows = []
  for method in study.methods():
    cells = [TableCell(method)]
    for (_, name, factor), key in zip(SCORES, keys, strict=True):
      for split in SPLITS:
        words = study.score(method, name, factor, split=split)
        theirs = study.published.get(method, {}).get(key)
        if split == "published" and theirs:
          words += f" ({theirs['mean']:g})"
        cells.append(TableCell(words, best[name, split] == method))
    rows.append(tuple(cells))
  return Table("", tuple(header), tuple(rows))
