r"""Copies the study `configs/studies/dmf_busi_converged.py` here, with its weights over training.

    python docs/dmf_study/collect_converged.py runs/dmf_busi_converged-HASH

`weights.csv` and `losses.csv` have, by method, loss and epoch, the mean over the logged steps and
seeds, and the smallest and largest mean of a seed: of its weight as a share of the sum of the
weights, and of its value. `models.csv` has the minutes of each model's training steps, from the
speeds in its log. `--external=DIR` is a folder with, for each cell, the folder of its name that
`mlseg.evaluate` wrote on images of another hospital; `external.csv` has the Dice of each of them,
as `dice.csv` has that of the test images. With `--add`, cells that the study's folder does not have
complete keep the rows that were collected earlier.
"""

import argparse
import pathlib
import sys

from mlseg import files
from mlseg.workdir import case_table

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / "converged"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import draw_cases  # beside this file
import draw_lines
import logs  # in the folder above
import pages
import parts

SETTING = ("num_seeds", "num_epochs", "batch_size", "model.filters", "model.matmul_precision",
           "data.image_size")  # fmt: skip


def main() -> None:
  """Writes the folder `converged` beside this file, with its figures."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("study", type=pathlib.Path, help="folder of mlseg.sweep")
  parser.add_argument("--external", type=pathlib.Path, help="folders of mlseg.evaluate by cell")
  parser.add_argument("--add", action="store_true", help="keep the other cells' rows")
  options = parser.parse_args()
  folder = options.study
  study = parts.Collection(folder, TO, SETTING, options.add)
  study.copy_rows("rows.csv")
  study.copy_scores("dice.csv")
  weights, losses, models = [], [], []
  for labels, run in pages.complete(folder):
    records = pages.log(run)
    weights += [{**labels, **row} for row in logs.by_epoch(records, logs.shares)]
    losses += [{**labels, **row} for row in logs.by_epoch(records, lambda record: record["losses"])]
    models += logs.models(labels, run)
  study.add_rows("weights.csv", weights)
  study.add_rows("losses.csv", losses)
  study.add_rows("models.csv", models)
  if options.external:
    study.add_scores("external.csv", external(folder, options.external))
  study.save()
  draw_lines.main()
  if not set(draw_cases.METHODS) & study.kept:
    draw_cases.main(folder)


def external(folder: pathlib.Path, evaluated: pathlib.Path) -> list[files.Row]:
  """Returns a row for each seed and image, with the Dice of the lesion under each method.

  Args:
    folder: of the study.
    evaluated: with a folder of `mlseg.evaluate` for each cell.
  """
  rows: dict[tuple[str, str], files.Row] = {}
  for labels, run in pages.complete(folder):
    if (evaluated / run.name).exists():
      cases = case_table.read(evaluated / run.name)
      lesion = case_table.class_names(cases)[1]
      for case in (case for case in cases if case["class"] == lesion):
        key = str(case["seed"]), case["id"]
        start = {"seed": key[0], "id": key[1], "group": key[1], "leak": 0}
        rows.setdefault(key, start)[labels["method"]] = round(float(case["dice"]), 5)
  return list(rows.values())


if __name__ == "__main__":
  main()
