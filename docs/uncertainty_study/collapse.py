"""The part of `docs/uncertainty_study.md` on why models come to predict gland everywhere."""

import pathlib
from collections.abc import Mapping, Sequence

from pages import sweep_command, wrapped
from scores import Row, Scores

from mlseg.report import study as study_tables
from mlseg.report.tables import Table, TableCell, to_markdown

FOLDER = pathlib.Path(__file__).resolve().parent / "collapse"
STUDY = "glands_collapse"
RECIPE = "recipe"
COLLAPSED = 0.05  # largest specificity of a model that counts as collapsed
_SHARE = "share of the geometry"
_NOTE = f"""\
Mean ± standard deviation over seeds on the published test set, in percent; object Dice of objects
of the size that the metric keeps. Collapsed: models that call at most {100 * COLLAPSED:.0f} % of
the pixels outside of glands background. Share: of the geometry in the sum of the weights, in the
last epoch. Rise: of the best validation score in the last third of the epochs, in points; a row
with more than {100 * study_tables.CONVERGED:g} is marked *, for its training had not converged."""
FIGURES = {
  "progress.png": "Share of the geometry in the weights, and Dice of validation, over the epochs",
  "cases.png": "Test images with the outlines of truth (solid) and prediction (dashed)",
}


class Collapse(Scores):
  """The rows of the study, with the numbers that its part of the page needs."""

  def __init__(self, study: dict, tables: Mapping[str, Sequence[Row]], setting: dict):
    super().__init__(study, tables["rows"], {}, setting)
    self._progress, self.models = tables["progress"], tables["models"]
    self.cells = study["cells"]

  def collapsed(self, method: str) -> tuple[int, int]:
    """Returns how many models of a row have collapsed, and how many there are."""
    values = self.values(method, "specificity")
    return sum(value <= COLLAPSED for value in values), len(values)

  def last_share(self, method: str) -> float | None:
    """Returns the share of the geometry in the weights of the last epoch; None without it."""
    rows = [r for r in self._progress if (r["change"], r["quantity"]) == (method, _SHARE)]
    return float(max(rows, key=lambda row: int(row["epoch"]))["mean"]) if rows else None


def text(study: Collapse) -> str:
  """Returns this part of the page."""
  findings = (_why, _undone, _kept, _diverged, Collapse.convergence)
  bullets = "\n".join(wrapped(one, "- ", "  ") for finding in findings if (one := finding(study)))
  figures = "".join(
    f"\n![{words}](uncertainty_study/{FOLDER.name}/{name})\n"
    for name, words in FIGURES.items()
    if (FOLDER / name).exists()
  )
  table = to_markdown(_table(study))
  return (
    "## Why four losses with learned variances predict gland everywhere\n\n"
    f"{_head(study)}\n{bullets}\n\n{table}\n{wrapped(_NOTE)}\n{figures}"
  )


def _head(study: Collapse) -> str:
  minutes = [float(row["minutes"]) for row in study.models]
  failed = [cell["labels"]["change"] for cell in study.cells if "failed" in cell]
  missing = [name for name in study.not_run() if name not in failed]
  words = f"""\
    {study.num_models()} models of today's version: the recipe `uncertainty_c+s+t+g`, changed one
    thing at a time, {study.num_seeds()} seeds each, on the challenge's division; what each row
    changes is in `configs/studies/{STUDY}.py`. A model took {min(minutes):.0f} to
    {max(minutes):.0f} minutes of one CPU core, {sum(minutes) / 60:.1f} hours in all."""
  if missing:
    words += f" Not trained yet: {'; '.join(missing)}."
  return f"{wrapped(words)}\n\n{sweep_command(STUDY, study.setting, 'DIR')}"


def _why(study: Collapse) -> str:
  found, total = study.collapsed(RECIPE)
  ours = ""
  if total:
    share = 100 * (study.last_share(RECIPE) or 0)
    ours = f"""\
      Under the recipe {found} of {total} models collapse, and in the last epoch the geometry has
      {share:.0f} % of the sum of the weights."""
  return f"""\
    **The objective has no minimum.** The variance that makes L/σ² + log σ² least is σ² = L, where
    the term is 1 + log L. So learning the variances minimises the sum of the logarithms of the
    losses, and log L falls without bound for a loss that can reach 0. The geometry reaches it most
    easily: it compares the predictions of neighbours, and is 0 for a network that predicts the same
    everywhere, be it right or wrong. {ours}"""


def _score(study: Collapse, name: str) -> str:
  found, total = study.collapsed(name)
  return f"{name} ({found} of {total}, object Dice {study.score(name, 'object_dice')})"


def _undone(study: Collapse) -> str:
  names = [name for name in study.methods() if study.collapsed(name)[0] == 0]
  if not names:
    return "**What undoes it.** Nothing of what was tried: each row has collapsed models."
  return f"""\
    **What undoes it.** No model collapses in these rows:
    {"; ".join(_score(study, name) for name in names)}."""


def _kept(study: Collapse) -> str:
  names = [name for name in study.methods() if study.collapsed(name)[0]]
  if not names:
    return ""
  return f"""\
    **What does not.** Models collapse in these rows:
    {"; ".join(_score(study, name) for name in names)}."""


def _diverged(study: Collapse) -> str:
  failed = {cell["labels"]["change"]: cell["failed"] for cell in study.cells if "failed" in cell}
  if not failed:
    return ""
  parts = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
  return f"**Divergence.** A model of these rows diverged, so that they have no scores: {parts}."


def _table(study: Collapse) -> Table:
  header = (
    "change", "collapsed", "object Dice", "recall", "specificity", "class accuracy", "share",
    "rise",
  )  # fmt: skip
  rows = []
  for name in study.methods():
    found, total = study.collapsed(name)
    share = study.last_share(name)
    rise = study.rises()[name]
    cells = [
      name,
      f"{found} of {total}",
      *(study.score(name, metric) for metric in ("object_dice", "recall", "specificity")),
      study.score(name, "classification_accuracy"),
      "–" if share is None else f"{100 * share:.1f}",
      f"{100 * rise:+.1f}{'*' if rise > study_tables.CONVERGED else ''}",
    ]
    rows.append(tuple(TableCell(cell) for cell in cells))
  return Table("", header, tuple(rows))
