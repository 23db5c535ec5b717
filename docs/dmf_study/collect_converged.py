r"""Copies the study `configs/studies/dmf_busi_converged.py` here, with its weights over training.

    python docs/dmf_study/collect_converged.py runs/dmf_busi_converged-HASH

`weights.csv` and `losses.csv` have, by method, loss and epoch, the mean over the logged steps and
seeds, and the smallest and largest mean of a seed: of its weight as a share of the sum of the
weights, and of its value. `models.csv` has the minutes of each model's training steps, from the
speeds in its log.
"""

import argparse
import collections
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping

from mlseg import files
from mlseg.files import Row, to_csv

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / "converged"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import draw_cases  # beside this file
import draw_lines
import pages  # in the folder above

FILES = ("study.json", "rows.csv", "dice.csv")
SETTING = ("num_seeds", "num_epochs", "batch_size", "model.filters", "model.matmul_precision",
           "data.image_size")  # fmt: skip


def main() -> None:
  """Writes the folder `converged` beside this file, with its figures."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("study", type=pathlib.Path, help="folder of mlseg.sweep")
  folder = parser.parse_args().study
  TO.mkdir(exist_ok=True)
  for name in FILES:
    files.write_file(TO / name, (folder / name).read_bytes())
  pages.write_setting(folder, SETTING, TO)
  weights, losses, models = [], [], []
  for labels, run in pages.complete(folder):
    records = pages.log(run)
    weights += [{**labels, **row} for row in by_epoch(records, shares)]
    losses += [{**labels, **row} for row in by_epoch(records, lambda record: record["losses"])]
    batch = pages.run_folder.read(run).config["batch_size"]
    models += [
      {**labels, "seed": seed, "minutes": minutes(records, batch, seed)}
      for seed in dict.fromkeys(record["seed"] for record in records)
    ]
  files.write_file(TO / "weights.csv", to_csv(weights))
  files.write_file(TO / "losses.csv", to_csv(losses))
  files.write_file(TO / "models.csv", to_csv(models))
  draw_lines.main()
  draw_cases.main(folder)


def shares(record: dict) -> dict[str, float]:
  """Returns the weight of each loss as a share of the sum of the weights."""
  total = sum(record["weights"].values())
  return {name: weight / total for name, weight in record["weights"].items()}


def by_epoch(records: list[dict], values: Callable[[dict], Mapping[str, float]]) -> list[Row]:
  """Returns a row per loss and epoch: the mean of a value over steps and seeds, and its range.

  Args:
    records: of the log.
    values: a function of a record that returns the value of each loss.
  """
  found: dict[tuple[str, int], dict[int, list[float]]] = {}
  for record in records:
    for name, value in values(record).items():
      key = name, math.ceil(record["epoch"] - 1e-9)
      by_seed = found.setdefault(key, collections.defaultdict(list))
      by_seed[record["seed"]].append(value)
  rows = []
  for (name, epoch), by_seed in found.items():
    means = [statistics.fmean(own) for own in by_seed.values()]
    ends = {"mean": statistics.fmean(means), "low": min(means), "high": max(means)}
    rows.append({"loss": name, "epoch": epoch, **{k: round(v, 5) for k, v in ends.items()}})
  return rows


def minutes(records: list[dict], batch_size: int, seed: int) -> float:
  """Returns how long the training steps of a model took."""
  total, last = 0.0, 0
  for record in (record for record in records if record["seed"] == seed):
    if record["images_per_second"]:
      total += (record["step"] - last) * batch_size / record["images_per_second"] / 60
      last = record["step"]
  return round(total, 1)


if __name__ == "__main__":
  main()
