r"""Copies the study `configs/studies/dmf_busi_converged.py` here, with its weights over training.

    python docs/dmf_study/collect_converged.py runs/dmf_busi_converged-HASH

`weights.csv` has, by method, loss and epoch, the mean weight over the steps and seeds, and the
smallest and largest mean of a seed, all as shares of the sum of the weights. `models.csv` has the
minutes of each model's training steps, from the speeds in its log.
"""

import argparse
import collections
import pathlib
import statistics
import sys

from mlseg import files
from mlseg.files import Row, to_csv

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / "converged"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pages  # in the folder above

FILES = ("study.json", "rows.csv", "dice.csv")
SETTING = ("num_seeds", "num_epochs", "batch_size", "model.filters", "model.matmul_precision",
           "data.image_size")  # fmt: skip


def main() -> None:
  """Writes the folder `converged` beside this file, and the figure of the weights."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("study", type=pathlib.Path, help="folder of mlseg.sweep")
  folder = parser.parse_args().study
  TO.mkdir(exist_ok=True)
  for name in FILES:
    files.write_file(TO / name, (folder / name).read_bytes())
  pages.write_setting(folder, SETTING, TO)
  weights, models = [], []
  for labels, run in pages.complete(folder):
    records = pages.log(run)
    weights += [{**labels, **row} for row in shares(records)]
    batch = pages.run_folder.read(run).config["batch_size"]
    models += [
      {**labels, "seed": seed, "minutes": minutes(records, batch, seed)}
      for seed in dict.fromkeys(record["seed"] for record in records)
    ]
  files.write_file(TO / "weights.csv", to_csv(weights))
  files.write_file(TO / "models.csv", to_csv(models))

  import draw_weights  # beside this file; after the rows that it draws

  draw_weights.main()


def shares(records: list[dict]) -> list[Row]:
  """Returns a row per loss and epoch: the share of its weight in the sum, over steps and seeds."""
  found: dict[tuple[str, int], dict[int, list[float]]] = {}
  for record in records:
    weights = record["weights"]
    total = sum(weights.values())
    for name, weight in weights.items():
      key = name, int(record["epoch"] - 1e-9) + 1
      by_seed = found.setdefault(key, collections.defaultdict(list))
      by_seed[record["seed"]].append(weight / total)
  rows = []
  for (name, epoch), by_seed in found.items():
    means = [statistics.fmean(values) for values in by_seed.values()]
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
