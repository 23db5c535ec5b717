r"""Copies the study `configs/studies/dmf_busi_converged.py` here, with its weights over training.

    python docs/dmf_study/collect_converged.py runs/dmf_busi_converged-HASH

`weights.csv` and `losses.csv` have, by method, loss and epoch, the mean over the logged steps and
seeds, and the smallest and largest mean of a seed: of its weight as a share of the sum of the
weights, and of its value. `models.csv` has the minutes of each model's training steps, from the
speeds in its log.
"""

import argparse
import pathlib
import sys

from mlseg import files
from mlseg.files import to_csv

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / "converged"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import draw_cases  # beside this file
import draw_lines
import logs  # in the folder above
import pages

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
    weights += [{**labels, **row} for row in logs.by_epoch(records, logs.shares)]
    losses += [{**labels, **row} for row in logs.by_epoch(records, lambda record: record["losses"])]
    models += logs.models(labels, run)
  files.write_file(TO / "weights.csv", to_csv(weights))
  files.write_file(TO / "losses.csv", to_csv(losses))
  files.write_file(TO / "models.csv", to_csv(models))
  draw_lines.main()
  draw_cases.main(folder)


if __name__ == "__main__":
  main()
