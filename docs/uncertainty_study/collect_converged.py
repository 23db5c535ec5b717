r"""Copies the study `configs/studies/glands_converged.py` here, and draws its figures.

    python docs/uncertainty_study/collect_converged.py runs/glands_converged-HASH

`weights.csv` has, by method, loss and epoch, the mean over the logged steps and seeds, and the
smallest and largest mean of a seed, of the loss's share in the sum of the weights; `progress.csv`
has the same of the Dice of validation. `models.csv` has the minutes of the training steps of each
model, from the speeds in its log. With `--add`, cells that the folder of the study does not have
complete keep the rows that were collected earlier.
"""

import argparse
import pathlib
import sys

from mlseg import files
from mlseg.report import drawing
from mlseg.workdir import examples_file

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / "converged"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import case_panels  # in the folder above
import draw_converged  # beside this file
import logs
import pages
import parts

SETTING = ("num_seeds", "num_epochs", "batch_size", "model.filters", "model.matmul_precision",
           "data.patch_size", "data.glas.reduction", "optimizer.learning_rate",
           "weighting.rescale")  # fmt: skip
PREDICTING = ("s", "c+s+t, uncertainty", "c+s+t+g, chosen", "c+s+t+g, uncertainty")
QUANTILES = (0.9, 0.5, 0.1)  # of the test images by their mean Dice


def main() -> None:
  """Writes the folder `converged` beside this file, with its figures."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("study", type=pathlib.Path, help="folder of mlseg.sweep")
  parser.add_argument("--add", action="store_true", help="keep the other cells' rows")
  options = parser.parse_args()
  folder = options.study
  study = parts.Collection(folder, TO, SETTING, options.add)
  study.copy_rows("rows.csv")
  study.copy_scores("dice.csv")
  study.copy_scores("accuracy.csv")
  weights, progress, models = [], [], []
  for labels, run in pages.complete(folder):
    records = pages.log(run)
    weights += [{**labels, **row} for row in logs.by_epoch(records, logs.shares)]
    validated = [record for record in records if "dice" in record.get("validation", {})]
    progress += [{**labels, **row} for row in logs.by_epoch(validated, of_validation)]
    models += logs.models(labels, run)
  study.add_rows("weights.csv", weights)
  study.add_rows("progress.csv", progress)
  study.add_rows("models.csv", models)
  study.save()
  draw_converged.main()
  runs = {labels["method"]: run for labels, run in pages.complete(folder)}
  examples = {name: examples_file.read(runs[name]) for name in PREDICTING if name in runs}
  if examples and not set(PREDICTING) & study.kept:
    figure = case_panels.draw(examples, case_panels.by_quantile(examples, QUANTILES))
    files.write_file(TO / "cases.png", drawing.to_png(figure))


def of_validation(record: dict) -> dict[str, float]:
  """Returns the Dice of validation."""
  return {"validation Dice": record["validation"]["dice"]}


if __name__ == "__main__":
  main()
