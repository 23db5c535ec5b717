"""The part of `docs/dmf_study.md` on the models that were trained until they converged."""

import pathlib
import statistics
from collections.abc import Mapping, Sequence

from pages import sweep_command, wrapped
from scipy import stats
from scores import Scores

from mlseg.report import study as study_tables
from mlseg.report.tables import Table, to_markdown

FOLDER = pathlib.Path(__file__).resolve().parent / "converged"
STUDY = "dmf_busi_converged"
BEST = "variance+class_balanced_dice"  # of the paper
STATISTICS = ("variance+none", "mad+none", "bayesian+none")
FUTURE = ("variance+none, average", "variance+none, bounds", "bayesian+none, forgetting")
FAMILIES = ("uncertainty", "famo", "upgrad")
FIGURES = {
  "weights.png": "Shares of the losses in the weights over training, with the range of the seeds",
  "losses.png": "The losses of training batches, with the range of the seeds",
  "cases.png": "Test images with the outlines of truth (solid) and prediction (dashed)",
}
EXTERNAL = "external"  # the Dice on images of another hospital
POWER = 0.8  # with which a difference is found that is called the smallest to be seen


class Converged(Scores):
  """The rows of the study, with the numbers that its part of the page needs."""

  def __init__(self, study: dict, tables: Mapping[str, Sequence[dict[str, str]]], setting: dict):
    tests = {"dice": tables["comparisons"], EXTERNAL: tables.get("external comparisons", ())}
    super().__init__(study, tables["rows"], tests, setting)
    self.study, self.tables = study, tables

  def compared(self) -> list[str]:
    """Returns the methods that are compared with the reference."""
    return [name for name in self.methods() if self.comparison(name, "dice")]

  def smallest(self, method: str) -> float | None:
    """Returns the smallest true difference that the seeds would show at 5 % with `POWER`.

    (t_{0.975} + t_{power}) s / √n with the standard deviation s of the differences of n seeds, from
    the width of their interval.
    """
    row = self.comparison(method, "dice") or {}
    if not row.get("low_seeds"):
      return None
    count = int(row["num_seeds"])
    quantile, other = (float(stats.t.ppf(p, count - 1)) for p in (0.975, POWER))
    error = (float(row["high_seeds"]) - float(row["low_seeds"])) / 2 / quantile
    return (quantile + other) * error

  def external(self) -> dict[str, list[float]]:
    """Returns the mean Dice of each model on images of another hospital, by method."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in self.tables.get("external", ()):
      for method in self.methods():
        if row.get(method):
          by_seed = found.setdefault(method, {})
          by_seed.setdefault(row["seed"], []).append(float(row[method]))
    return {method: [statistics.fmean(v) for v in own.values()] for method, own in found.items()}

  def ends(self, methods: Sequence[str], losses: Sequence[str] = ()) -> tuple[float, float]:
    """Returns the smallest and largest share of a weight in an epoch, over methods and losses."""
    values = [
      float(row["mean"])
      for row in self.tables["weights"]
      if row["method"] in methods and (not losses or row["loss"] in losses)
    ]
    return min(values), max(values)


def text(study: Converged) -> str:
  """Returns this part of the page."""
  findings = [
    _answer,
    _statistics,
    _auxiliary,
    _future,
    _families,
    _external,
    Converged.convergence,
  ]
  bullets = "\n".join(wrapped(one, "- ", "  ") for finding in findings if (one := finding(study)))
  figures = "\n".join(
    f"![{caption}](dmf_study/{FOLDER.name}/{name})\n"
    for name, caption in FIGURES.items()
    if (FOLDER / name).exists()
  )
  table = _table(study)
  return (
    f"## Until training has converged\n\n{_head(study)}\n{bullets}\n\n"
    f"{to_markdown(table)}\n{wrapped(table.note)}\n\n{figures}"
  )


def _head(study: Converged) -> str:
  setting, missing = study.setting, study.not_run()
  minutes = [float(row["minutes"]) for row in study.tables["models"]]
  side, filters = setting["data.image_size"], setting["model.filters"]
  words = f"""\
    {study.num_models()} models at the size of the recipe, images of {side}×{side} and {filters}
    filters, for {setting["num_epochs"]} epochs, {study.num_seeds()} seeds with a split each that
    keeps near-duplicates together. A model took {statistics.median(minutes):.0f} minutes of one
    CPU core (the median), {sum(minutes) / 60:.1f} hours in all."""
  if missing:
    words += f" Not trained yet: {'; '.join(missing)}."
  return f"{wrapped(words)}\n\n{sweep_command(STUDY, setting)}"


def _table(study: Converged) -> Table:
  made = study_tables.make_tables(study.study, study.tables["rows"], study.tables["comparisons"])
  return made[0]


def _change(study: Converged, method: str) -> str:
  return f"{method} {study.difference(method, 'dice', 'seeds')}"


def _changes(study: Converged, methods: Sequence[str]) -> str:
  known = [name for name in methods if name in study.compared()]
  return "; ".join(_change(study, name) for name in known)


def _answer(study: Converged) -> str:
  names = study.compared()
  if not names:
    return ""
  better = [name for name in names if study.differs(name, "dice", "seeds")]
  count = study.num_seeds()
  seen = [found for name in names if (found := study.smallest(name)) is not None]
  sizes = [f"{name} ({study.difference(name, 'dice', 'seeds')})" for name in better]
  words = f"over {count} seeds {_named(sizes)} from equal weights at 5 % after Holm"
  on_cases = [name for name in names if study.differs(name, "dice")]
  limit = (
    f" What differs over the seeds alone is weak evidence: its interval rests on the deviation of"
    f" {count} numbers."
    if better and not on_cases
    else ""
  )
  limit += (
    f" A true difference of {100 * statistics.median(seen):.1f} points (the median of the rows)"
    f" would have been found with a probability of {100 * POWER:.0f} %, before Holm's correction."
    if seen
    else ""
  )
  best = max(names, key=lambda name: study.mean(name, "dice"))
  return f"""\
    **Does adaptive weighting help when all losses have gradients?** In the Dice of the lesion,
    {words}; over the test images, with the models as given, {_named(on_cases)}.{limit}
    The best mean is that of {best}, {study.score(best, "dice")} %, against
    {study.score("fixed", "dice")} % under equal weights:
    {study.difference(best, "dice", "seeds")}."""


def _named(methods: Sequence[str]) -> str:
  """Returns which rows differ."""
  if not methods:
    return "no row differs"
  return f"{', '.join(methods)} {'differs' if len(methods) == 1 else 'differ'}"


def _statistics(study: Converged) -> str:
  known = [name for name in STATISTICS if name in study.compared()]
  if not known:
    return ""
  ends = {name: study.ends([name]) for name in known}
  spans = "; ".join(
    f"{name} {100 * low:.0f} to {100 * high:.0f} %" for name, (low, high) in ends.items()
  )
  return f"""\
    **The paper's statistics, without an auxiliary loss.** From the smallest to the largest mean
    weight of a loss in an epoch, as a share of their sum, where equal weights have 33 %: {spans}.
    A row of 0 to 100 % is in the end a training with one loss. Differences to equal weights:
    {_changes(study, known)}."""


def _auxiliary(study: Converged) -> str:
  known = [name for name in (BEST, f"{BEST}, fading") if name in study.compared()]
  if not known:
    return ""
  words = f"**The auxiliary loss.** {_changes(study, known)}."
  for name in known:
    low, high = study.ends([name], ["class_balanced_dice"])
    words += f" With {name}, its share of the weights is {100 * high:.0f} to {100 * low:.0f} %."
  return words


def _future(study: Converged) -> str:
  found = _changes(study, FUTURE)
  same = [
    f" {name} is {other} itself, model by model: no weight reached a bound."
    for name, other in (("variance+none, bounds", "variance+none"),)
    if study.values(name, "dice") and study.values(name, "dice") == study.values(other, "dice")
  ]
  if not found:
    return ""
  return f"**What the paper names as future work, and forgetting.** {found}.{''.join(same)}"


def _families(study: Converged) -> str:
  found = _changes(study, FAMILIES)
  return f"**Other families.** {found}." if found else ""


def _external(study: Converged) -> str:
  known = study.external()
  if not known:
    return ""
  parts = []
  for name, values in known.items():
    percent = [100 * value for value in values]
    change = study.difference(name, EXTERNAL, "seeds")
    parts.append(
      f"{name} {statistics.fmean(percent):.1f} ± {statistics.stdev(percent):.1f}"
      + (f" ({change})" if change else "")
    )
  count = len({row["id"] for row in study.tables["external"]})
  return f"""\
    **On images of another hospital**, the {count} of STU, on which no model was trained:
    {"; ".join(parts)}. In brackets the difference to equal weights over the seeds."""
