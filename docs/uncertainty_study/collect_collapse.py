r"""Copies the study `configs/studies/glands_collapse.py` here, and draws its figures.

    python docs/uncertainty_study/collect_collapse.py runs/glands_collapse-HASH

`progress.csv` has, by change and epoch, the mean over the logged steps and seeds, and the smallest
and largest mean of a seed: of the share of the geometry in the sum of the weights, of the geometry
loss of training batches, and of the Dice of validation. `models.csv` has the minutes of the
training steps of each model, from the speeds in its log. With `--add`, cells that the folder of
the study does not have complete keep the rows that were collected earlier.
"""

import argparse
import pathlib
import sys

from mlseg import files
from mlseg.report import drawing
from mlseg.workdir import examples_file

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / "collapse"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import case_panels  # in the folder above
import draw_collapse  # beside this file
import logs
import pages
import parts

SETTING = ("num_seeds", "model.filters", "model.matmul_precision", "batch_size")
LOSS = "geometry"
PREDICTING = (  # in the figure of predictions, figure 3 of the paper
  "recipe, 200 epochs", "recipe, 200 epochs, Adam", "recipe, 200 epochs, no geometry",
  "chosen weights, 200 epochs",
)  # fmt: skip
QUANTILES = (0.9, 0.5, 0.1)  # of the test images by their mean Dice
SHARE, VALUE, DICE = "share of the geometry", "geometry loss", "validation Dice"


def main() -> None:
  """Writes the folder `collapse` beside this file, with its figures."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("study", type=pathlib.Path, help="folder of mlseg.sweep")
  parser.add_argument("--add", action="store_true", help="keep the other cells' rows")
  options = parser.parse_args()
  folder = options.study
  study = parts.Collection(folder, TO, SETTING, options.add)
  study.copy_rows("rows.csv")
  progress, models = [], []
  for labels, run in pages.complete(folder):
    records = pages.log(run)
    validated = [record for record in records if record.get("validation")]
    rows = logs.by_epoch(records, of_geometry) + logs.by_epoch(validated, of_validation)
    progress += [(labels, row) for row in rows]
    models += logs.models(labels, run)
  progress = [{**labels, "quantity": row.pop("loss"), **row} for labels, row in progress]
  study.add_rows("progress.csv", progress)
  study.add_rows("models.csv", models)
  study.save()
  draw_collapse.main()
  runs = {labels["change"]: run for labels, run in pages.complete(folder)}
  examples = {name: examples_file.read(runs[name]) for name in PREDICTING if name in runs}
  if examples and not set(PREDICTING) & study.kept:
    figure = case_panels.draw(examples, case_panels.by_quantile(examples, QUANTILES))
    files.write_file(TO / "cases.png", drawing.to_png(figure))


def of_geometry(record: dict) -> dict[str, float]:
  """Returns the share of the geometry in the sum of the weights, and its loss, where it has one."""
  if LOSS not in record["losses"]:
    return {}
  return {SHARE: logs.shares(record)[LOSS], VALUE: record["losses"][LOSS]}


def of_validation(record: dict) -> dict[str, float]:
  """Returns the Dice of validation."""
  return {DICE: record["validation"]["dice"]}


if __name__ == "__main__":
  main()
