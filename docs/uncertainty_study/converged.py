"""The part of `docs/uncertainty_study.md` on table 1, trained until it has converged."""

import pathlib
import statistics
from collections.abc import Mapping, Sequence

from findings import ALL, LEARNED, SCORES, WORDS
from pages import recipe, sweep_command, wrapped
from scores import Row, Scores

from mlseg.report import leader
from mlseg.report import study as study_tables
from mlseg.report.tables import Table, TableCell, to_markdown

FOLDER = pathlib.Path(__file__).resolve().parent / "converged"
STUDY = "glands_converged"
COLLAPSED = 0.05  # largest specificity of a model that counts as collapsed
IMAGES = 165  # of Warwick-QU
KEYS = {  # of the paper's table, by the words for a score
  "class accuracy": "class_accuracy",
  "pixel accuracy": "pixel_accuracy",
  "object Dice": "object_dice",
  "object Hausdorff": "object_hausdorff",
}
FIGURES = {
  "published.png": "Class accuracy, pixel accuracy and object Dice of each row, and the paper's",
  "progress.png": "Shares of the losses in the weights, and Dice of validation, over the epochs",
  "cases.png": "Test images with the outlines of truth (solid) and prediction (dashed)",
}
_NOTE = f"""\
Mean ± standard deviation over seeds on the published test set; accuracies, Dice and specificity in
percent, distances in pixels of the reduced images; the paper's numbers in brackets. Rise: of the
best validation score in the last third of the epochs, in points; a row with more than
{100 * study_tables.CONVERGED:g} is marked *, for its training had not converged. Bold: the best of
a column, where the 95 % interval of its difference to the next best, by Student's t over the seeds,
does not contain 0."""


class Converged(Scores):
  """The rows of the study, with the numbers that its part of the page needs."""

  def __init__(self, study: dict, tables: Mapping[str, Sequence[Row]], tests: dict, setting: dict):
    super().__init__(study, tables["rows"], tests, setting)
    self.published = study["published"]["rows"]
    self.weights, self.models, self.cells = tables["weights"], tables["models"], study["cells"]

  def change(self, method: str, other: str, metric: str) -> str:
    """Returns the difference of two rows in points with its 95 % interval over the seeds."""
    pairs = zip(self.values(method, metric), self.values(other, metric), strict=True)
    found = leader.t_interval([100 * (mine - theirs) for mine, theirs in pairs])
    return "" if found is None else f"{found[0]:+.1f} [{found[1]:+.1f}, {found[2]:+.1f}]"

  def collapsed(self, method: str) -> tuple[int, int]:
    """Returns how many models of a row have collapsed, and how many there are."""
    values = self.values(method, "specificity")
    return sum(value <= COLLAPSED for value in values), len(values)

  def last_shares(self, method: str) -> dict[str, float]:
    """Returns the share of each loss in the weights of the last epoch, in percent."""
    rows = [row for row in self.weights if row["method"] == method]
    last = max(int(row["epoch"]) for row in rows)
    return {
      WORDS[row["loss"]]: 100 * float(row["mean"]) for row in rows if int(row["epoch"]) == last
    }


def text(study: Converged) -> str:
  """Returns this part of the page."""
  findings = (_learned, _more, _tested, _collapsed, _paper, _diverged, _convergence)
  bullets = "\n".join(wrapped(one, "- ", "  ") for finding in findings if (one := finding(study)))
  figures = "".join(
    f"\n![{words}](uncertainty_study/{FOLDER.name}/{name})\n"
    for name, words in FIGURES.items()
    if (FOLDER / name).exists()
  )
  return (
    f"## Table 1, until training has converged\n\n{_head(study)}\n{bullets}\n\n"
    f"{to_markdown(_table(study))}\n{wrapped(_NOTE)}\n{figures}"
  )


def _head(study: Converged) -> str:
  setting, whole = study.setting, recipe("glands")
  minutes = [float(row["minutes"]) for row in study.models]
  failed = [cell["labels"]["method"] for cell in study.cells if "failed" in cell]
  missing = [name for name in study.not_run() if name not in failed]
  patch, side = setting["data.patch_size"], whole.data.patch_size
  words = f"""\
    {study.num_models()} models of today's version on the challenge's division,
    {study.num_seeds()} seeds each: images at 1/{setting["data.glas.reduction"]} of the
    magnification, patches of {patch}×{patch} (the recipe: {side}×{side}),
    {setting["model.filters"]} filters, {setting["num_epochs"]} epochs of a patch of every image. A
    row is named by its losses: c is the classification of the image, s the segmentation, t the
    topology and g the geometry. The weights of each row are rescaled to a sum of one, so that all
    rows take steps of the same size, at a learning rate of {setting["optimizer.learning_rate"]:g};
    the variances are learned at that rate too, as in the paper. A model took
    {statistics.median(minutes):.0f} minutes of one CPU core (the median),
    {sum(minutes) / 60:.1f} hours in all."""
  if missing:
    words += f" Not trained yet: {'; '.join(missing)}."
  return f"{wrapped(words)}\n\n{sweep_command(STUDY, setting, 'DIR')}"


def _with(study: Converged, *metrics: str) -> list[str]:
  """Returns the rows that have all of these scores."""
  return [name for name in study.methods() if all(study.values(name, one) for one in metrics)]


def _learned(study: Converged) -> str:
  """Returns what learned variances change, against the same losses with fixed weights."""
  theirs, parts = study.published, []
  for method in LEARNED:
    terms = method.removesuffix(", uncertainty")
    other = study.reference if terms == ALL else terms
    if method in study.methods() and other in study.methods():
      changes = "; ".join(
        f"{word} {study.change(method, other, name)}, where the paper has"
        f" {theirs[method][KEYS[word]]['mean'] - theirs[other][KEYS[word]]['mean']:+.0f}"
        for word, name, factor in SCORES
        if factor == 100
      )
      parts.append(f"`{method}` against `{other}`: {changes}")
  if not parts:
    return ""
  return f"""\
    **Do learned weights help?** In points, with 95 % intervals over the seeds.
    {". ".join(parts)}."""


def _more(study: Converged) -> str:
  """Returns what more losses change, with equal weights."""
  pairs = (("c+s", "c"), ("c+s+t", "c+s"), ("c+s", "s"), ("s+t+g", "s"), (ALL, "c+s+t"))
  parts = []
  for method, other in pairs:
    known = [
      f"{word} {study.change(method, other, name)}"
      for word, name, factor in SCORES
      if factor == 100 and study.values(method, name) and study.values(other, name)
    ]
    if known:
      parts.append(f"`{method}` against `{other}`: {', '.join(known)}")
  return f"**Do more losses help?** With equal weights, {'; '.join(parts)}." if parts else ""


def _tested(study: Converged) -> str:
  """Returns which rows differ from the chosen weights, after Holm's correction."""
  parts = []
  for word, metric in (("Dice", "dice"), ("class accuracy", "classification_accuracy")):
    for unit, over in (("seeds", "seeds"), ("cases", "groups of images of one patient")):
      names = [
        f"`{name}` {study.difference(name, metric, unit)}"
        for name in study.methods()
        if study.differs(name, metric, unit)
      ]
      parts.append(f"{word} over the {over}: {', '.join(names) or 'no row'}")
  return f"""\
    **Tests.** Rows that differ from `{study.reference}` at 5 % after Holm's correction, in points
    with 95 % intervals and p. In {"; in ".join(parts)}."""


def _collapsed(study: Converged) -> str:
  """Returns which rows predict gland everywhere, and how the weights of the learned are shared."""
  names = _with(study, "specificity")
  fallen = [name for name in names if study.collapsed(name)[0]]
  parts = [
    f"`{name}` ({study.collapsed(name)[0]} of {study.collapsed(name)[1]} models)" for name in fallen
  ]
  words = (
    f"Models of these rows call at most {100 * COLLAPSED:.0f} % of the pixels outside of glands"
    f" background: {', '.join(parts)}."
    if parts
    else "No model of these rows predicts gland everywhere."
  )
  ends = []
  for name in (one for one in LEARNED if one in study.methods()):
    shares = ", ".join(f"{loss} {share:.0f} %" for loss, share in study.last_shares(name).items())
    ends.append(f"`{name}`: {shares}")
  if ends:
    words += f" The shares of the weights in the last epoch: {'; '.join(ends)}."
  return f"**Collapse.** {words}"


def _paper(study: Converged) -> str:
  """Returns how the scores differ from the paper's."""
  parts = []
  for word, name, factor in SCORES:
    key = KEYS[word]
    gaps = {
      one: factor * study.mean(one, name) - study.published[one][key]["mean"]
      for one in _with(study, name)
      if key in study.published[one] and factor == 100 and not study.collapsed(one)[0]
    }
    if gaps:
      low, high = min(gaps, key=gaps.__getitem__), max(gaps, key=gaps.__getitem__)
      parts.append(f"{word} {gaps[low]:+.1f} (`{low}`) to {gaps[high]:+.1f} (`{high}`)")
  if not parts:
    return ""
  return f"""\
    **Against the paper**, in points, over the rows without a collapsed model:
    {"; ".join(parts)}. The object scores are of connected regions, where glands that touch are one
    object, and a fragment inside or outside of a gland is one more; the object F1 of
    `{study.reference}` is {study.score(study.reference, "object_f1")}. The paper does not say how
    it separates objects, nor at which magnification its distances are."""


def _diverged(study: Converged) -> str:
  failed = {cell["labels"]["method"]: cell["failed"] for cell in study.cells if "failed" in cell}
  if not failed:
    return ""
  parts = "; ".join(f"`{name}` ({reason})" for name, reason in failed.items())
  return f"**Divergence.** A model of these rows diverged, so that they have no scores: {parts}."


def _convergence(study: Converged) -> str:
  """Returns which rows have converged, and how coarse the validation score is."""
  images = round(IMAGES * recipe("glands").data.fractions[1])
  return f"""\
    {study.convergence()} Of rows with a class and a segmentation, this score is the mean of the
    class accuracy and the Dice of {images} images, of which one image more or less is
    {100 / images / 2:.1f} points."""


def _table(study: Converged) -> Table:
  header = ("losses and weights", *KEYS, "specificity", "rise")
  best = {name: study.best(name, less=factor == 1) for _, name, factor in SCORES}
  rows = []
  for method in study.methods():
    cells = [TableCell(method)]
    for word, name, factor in SCORES:
      words = study.score(method, name, factor)
      theirs = study.published[method].get(KEYS[word])
      cells.append(
        TableCell(f"{words} ({theirs['mean']:g})" if theirs else words, best[name] == method)
      )
    rise = study.rises()[method]
    mark = "*" if rise > study_tables.CONVERGED else ""
    last = (study.score(method, "specificity"), f"{100 * rise:+.1f}{mark}")
    rows.append((*cells, *map(TableCell, last)))
  return Table("", header, tuple(rows))
