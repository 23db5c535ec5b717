"""How far the Dice of one run moves by convention alone, from the rows that it left.

    python benchmarks/conventions.py runs/NAME/cases.csv

Writes `docs/reference/conventions.csv`, which `docs/reference/metrics.py` puts on its page.
"""

import csv
import pathlib
import sys
from collections.abc import Callable

import numpy as np

from mlseg import metrics

ROWS = pathlib.Path(__file__).resolve().parent.parent / "docs" / "reference" / "conventions.csv"
BATCH = 32  # of the Dynamic Memory Fusion demo
NUM_NORMAL = 20  # of the 133 normal images of BUSI, the share of a test set of 15 %


def read_counts(path: pathlib.Path) -> np.ndarray:
  """Returns the counts [N, 2, 4] of the first seed's cases, background first."""
  with path.open(newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
  rows = [row for row in rows if row["seed"] == rows[0]["seed"]]
  counts = np.array([[int(row[name]) for name in ("tp", "fp", "fn", "tn")] for row in rows])
  return counts.reshape(-1, 2, 4)


def of_nothing(counts: np.ndarray) -> np.ndarray:
  """Returns the counts of a network that predicts no lesion in the same cases."""
  lesion = counts[:, 1]
  size, pixels = lesion[:, 0] + lesion[:, 2], lesion.sum(axis=1)
  zero = np.zeros_like(size)
  background = np.stack([pixels - size, size, zero, zero], axis=1)
  return np.stack([background, np.stack([zero, zero, size, pixels - size], axis=1)], axis=1)


def by_batch(counts: np.ndarray) -> float:
  """Returns the demo's Dice: counts averaged over a batch, ratio, mean of classes and batches."""
  batches = [counts[i : i + BATCH].mean(axis=0) for i in range(0, len(counts), BATCH)]
  return float(np.mean([metrics.dice(batch).mean() for batch in batches]))


def with_normal(counts: np.ndarray, value: float) -> float:
  """Returns the mean lesion Dice if normal images, each scoring a value, were tested too."""
  dice = metrics.dice(counts[:, 1])
  return float(np.concatenate([dice, np.full(NUM_NORMAL, value)]).mean())


def _named(name: str) -> Callable[[np.ndarray], float]:
  return lambda counts: metrics.summarize(counts)[name]


CONVENTIONS: dict[str, Callable[[np.ndarray], float]] = {
  "Dice of the lesion, mean over images": _named("dice"),
  "Dice of the lesion, pooled over all pixels": _named("dice_pooled"),
  "Dice, mean of lesion and background, mean over images": _named("dice_with_background"),
  "Dice, mean of lesion and background, pooled": _named("dice_with_background_pooled"),
  "Dice, mean of both, counts averaged over batches of 32 (the DMF demo)": by_batch,
  "F1 of the mean precision and recall of both classes": _named("f1_with_background"),
  "class-balanced Dice, weights 1 - r (the DMF paper)": _named("class_balanced_dice"),
  "class-balanced Dice, weights 1 / r (the DMF demo)": lambda counts: float(
    metrics.class_balanced_dice(counts, "inverse").mean()
  ),
  "IoU of the lesion, mean over images": _named("iou"),
  "IoU, mean of lesion and background, mean over images": _named("iou_with_background"),
  "pixel accuracy": _named("accuracy"),
  f"Dice of the lesion, if {NUM_NORMAL} normal pictures were tested and left empty (1 each)": (
    lambda counts: with_normal(counts, 1.0)
  ),
  f"Dice of the lesion, if something were predicted in those {NUM_NORMAL} (0 each)": (
    lambda counts: with_normal(counts, 0.0)
  ),
}


def main(path: pathlib.Path) -> None:
  """Writes the rows of the page."""
  counts = read_counts(path)
  nothing = of_nothing(counts)
  with ROWS.open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["cases", "convention", "percent", "percent_of_nothing"])
    for name, value in CONVENTIONS.items():
      # A network that predicts nothing leaves normal images empty.
      other = "" if "(0 each)" in name else f"{100 * value(nothing):.1f}"
      row = [len(counts), name, f"{100 * value(counts):.1f}", other]
      writer.writerow(row)
      print(*row[1:], sep=" | ")


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
