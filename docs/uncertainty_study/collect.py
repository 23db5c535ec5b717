r"""Copies the tables of the two studies here, and draws the figures.

    python docs/uncertainty_study/collect.py --study=runs/glands-HASH --sweep=runs/glands_sweep-HASH

`weights.csv` has, by cell, seed, epoch and loss, the mean weight and the mean value of the loss, of
cells whose weights change. `diverged.csv` has, by cell, seed and loss of the cells that diverged,
the largest weight, the smallest value and the last finite epoch.
"""

import argparse
import itertools
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import figures  # beside this file
import pages  # in the folder above

from mlseg import files
from mlseg.files import to_csv

FILES = ("study.json", "rows.csv", "dice.csv", "accuracy.csv")
SETTING = (
  "num_seeds", "num_epochs", "batch_size", "model.filters",
  "data.patch_size", "data.patch_overlap", "data.glas.reduction", "metrics.object_size",
  "augmentation.elastic", "augmentation.elastic_sigma",
)  # fmt: skip


def main() -> None:
  """Writes the files beside this one."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--study", required=True, type=pathlib.Path, help="of studies/glands.py")
  parser.add_argument("--sweep", required=True, type=pathlib.Path, help="of glands_sweep.py")
  options = parser.parse_args()
  for name in FILES:
    files.write_file(HERE / name, (options.study / name).read_bytes())
  files.write_file(HERE / "sweep.csv", (options.sweep / "rows.csv").read_bytes())
  pages.write_setting(options.study, SETTING, HERE)
  files.write_file(HERE / "weights.csv", to_csv(weights(options.study)))
  files.write_file(HERE / "diverged.csv", to_csv(diverged(options.study)))
  figures.draw(HERE)


def weights(folder: pathlib.Path) -> list[dict]:
  """Returns a row per cell, seed, epoch and loss of the cells whose weights change."""
  rows = []
  for labels, run in (*pages.complete(folder), *pages.diverged(folder)):
    own = by_epoch(pages.log(run))
    if len({row["weight"] for row in own}) > len({row["loss"] for row in own}):
      rows += [{**labels, **row} for row in own]
  return rows


def diverged(folder: pathlib.Path) -> list[dict]:
  """Returns a row per cell, seed and loss of the cells that diverged."""
  rows = []
  for labels, run in pages.diverged(folder):
    records = pages.log(run)
    for seed in sorted({record["seed"] for record in records}):
      own = [record for record in records if record["seed"] == seed]
      known = list(itertools.takewhile(_is_finite, own))
      for loss in own[0]["losses"]:
        rows.append({
          **labels, "seed": seed, "epoch": known[-1]["epoch"], "loss": loss,
          "weight": max(record["weights"][loss] for record in known),
          "value": min(record["losses"][loss] for record in known),
        })  # fmt: skip
  return rows


def _is_finite(record: dict) -> bool:
  return None not in record["losses"].values()


def by_epoch(records: list[dict]) -> list[dict]:
  """Returns a row per seed, epoch and loss, with the means of its weight and its value."""
  found: dict[tuple, list[tuple[float, float]]] = {}
  for record in filter(_is_finite, records):
    epoch = int(record["epoch"] - 1e-9)
    for loss, weight in record["weights"].items():
      key = (record["seed"], epoch, loss)
      found.setdefault(key, []).append((weight, record["losses"][loss]))
  return [
    {"seed": seed, "epoch": epoch, "loss": loss}
    | {
      name: statistics.fmean(pair[n] for pair in pairs)
      for n, name in enumerate(("weight", "value"))
    }
    for (seed, epoch, loss), pairs in found.items()
  ]


if __name__ == "__main__":
  main()
