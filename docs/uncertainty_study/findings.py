"""The numbers in `docs/uncertainty_study.md`, from the committed rows."""

import re
import statistics
from collections.abc import Sequence
from typing import Any

from scores import Row, Scores

WORDS = {
  "classification_cross_entropy": "class",
  "binary_cross_entropy": "segments",
  "topology": "topology",
  "geometry": "geometry",
}
# Word, name in `rows.csv`, and factor.
SCORES = (
  ("class accuracy", "classification_accuracy", 100.0),
  ("pixel accuracy", "accuracy", 100.0),
  ("object Dice", "object_dice", 100.0),
  ("object Hausdorff", "object_hausdorff", 1.0),
)
SPLITS = ("published", "patients")
ALL = "c+s+t+g"
# Methods that learn variances: those of the paper, and one with another optimiser.
LEARNED = tuple(f"{terms}, uncertainty" for terms in ("c+s", "c+s+t", ALL))
BY_ADAM = f"{ALL}, uncertainty by Adam"
_SHARE = re.compile(r"(?P<rest>s \+ )?(?P<share>[\d.]+) (?P<first>[ct]) \+ [\d.]+ (?P<second>[sg])")


class Study(Scores):
  """The rows of both studies, with the numbers that the page needs.

  Args:
    study: of `study.json`.
    sweep: of `sweep.csv`.
    diverged: of `diverged.csv`.
    *others: the other arguments of `Scores`.
  """

  def __init__(self, study: dict, sweep: Sequence[Row], diverged: Sequence[Row], *others: Any):
    super().__init__(study, *others)
    self._diverged = diverged
    self.published = study["published"]["rows"]
    self.num_sweep_models = len(sweep)
    self.sweeps = sweeps(sweep)

  def leak(self, metric: str) -> tuple[float, int]:
    """Returns how much higher a metric is on the published division, and over how many methods."""
    both = [
      method
      for method in self.methods(split="published")
      if all(self.values(method, metric, split=split) for split in SPLITS)
    ]
    changes = [
      self.mean(method, metric, split="published") - self.mean(method, metric, split="patients")
      for method in both
    ]
    return statistics.fmean(changes), len(both)

  def diverged(self, method: str, split: str) -> list[Row]:
    """Returns the rows of a cell that diverged, by seed and loss; none where it did not."""
    return [row for row in self._diverged if (row["split"], row["method"]) == (split, method)]

  def learned(self) -> list[str]:
    """Returns the methods with learned variances that are complete on the published division."""
    return [method for method in self.methods(split="published") if method in LEARNED]

  def last_weights(self, method: str) -> dict[str, tuple[float, float]]:
    """Returns by loss the mean weight of the last epochs, and the weight times the loss."""
    rows = [r for r in self._weights if (r["split"], r["method"]) == ("published", method)]
    last = {seed: max(int(r["epoch"]) for r in rows if r["seed"] == seed) for seed in _seeds(rows)}
    own = [row for row in rows if int(row["epoch"]) == last[row["seed"]]]
    by_loss: dict[str, list[tuple[float, float]]] = {}
    for row in own:
      weight, value = float(row["weight"]), float(row["value"])
      by_loss.setdefault(WORDS[row["loss"]], []).append((weight, weight * value))
    return {
      loss: tuple(statistics.fmean(column) for column in zip(*pairs, strict=True))
      for loss, pairs in by_loss.items()
    }


def sweeps(rows: Sequence[Row]) -> dict[str, dict[float, dict[str, list[float]]]]:
  """Returns by formula and λ the values of every score over the seeds."""
  found: dict[str, dict[float, dict[str, list[float]]]] = {}
  for row in rows:
    match = _SHARE.fullmatch(row["weights"])
    if match is None:
      raise ValueError(f"sweep.csv: weights {row['weights']!r} are of no sweep")
    formula = f"{match['rest'] or ''}λ {match['first']} + (1 - λ) {match['second']}"
    point = found.setdefault(formula, {}).setdefault(float(match["share"]), {})
    for _, name, _ in SCORES:
      point.setdefault(name, []).extend([float(row[name])] if row.get(name) else [])
  return found


def _seeds(rows: Sequence[Row]) -> set[str]:
  return {row["seed"] for row in rows}
