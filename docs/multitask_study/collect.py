r"""Copies the tables of studies here, and computes the ratios of weights.

    python docs/multitask_study/collect.py --study=busi:runs/multitask_busi-HASH \
        --study=lgg:runs/multitask_lgg-HASH

`weights.csv` has, by cell and seed, the weight of the loss of masks over that of the diagnosis: the
mean ratio in the first and in the last epoch. `models.csv` has the minutes of the training steps
of each model, from the speeds in its log. With `--add`, cells that FOLDER does not have complete
keep the rows that were collected earlier.
"""

import argparse
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import draw  # beside this file
import logs  # in the folder above
import pages
import parts

LOSSES = ("cross_entropy", "classification_weighted_cross_entropy")
SETTING = (
  "num_seeds", "num_epochs", "patience", "batch_size", "data.image_size", "data.lgg.complete",
  "model.convention", "model.width", "model.decoder_filters", "model.matmul_precision",
)  # fmt: skip


def main() -> None:
  """Writes a folder for each study beside this file."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--study", action="append", required=True, help="NAME:FOLDER")
  parser.add_argument("--add", action="store_true", help="keep the other cells' rows")
  options = parser.parse_args()
  for text in options.study:
    name, _, path = text.partition(":")
    folder = pathlib.Path(path)
    study = parts.Collection(folder, HERE / name, SETTING, options.add)
    study.copy_rows("rows.csv")
    for table in ("dice.csv", "accuracy.csv"):
      study.copy_scores(table)
    study.add_rows("weights.csv", weights(folder))
    study.add_rows("models.csv", models(folder))
    study.save()
    draw.main(name, folder, study.kept)


def weights(folder: pathlib.Path) -> list[dict]:
  """Returns a row per cell and seed of the networks that are trained under both losses."""
  return [
    {**labels, "seed": seed, **values}
    for labels, run in pages.complete(folder)
    for seed, values in _ratios(pages.log(run)).items()
  ]


def models(folder: pathlib.Path) -> list[dict]:
  """Returns a row per model, with the minutes of its training steps."""
  return [row for labels, run in pages.complete(folder) for row in logs.models(labels, run)]


def _ratios(records: list[dict]) -> dict[int, dict[str, float]]:
  """Returns by seed the ratio of the weights in the first and in the last epoch."""
  by_seed: dict[int, dict[int, list[float]]] = {}
  for record in records:
    if set(LOSSES) <= record["weights"].keys():
      first, second = (record["weights"][name] for name in LOSSES)
      epoch = int(record["epoch"] - 1e-9)
      by_seed.setdefault(record["seed"], {}).setdefault(epoch, []).append(first / second)
  return {
    seed: {
      "first_epoch": statistics.fmean(epochs[min(epochs)]),
      "last_epoch": statistics.fmean(epochs[max(epochs)]),
    }
    for seed, epochs in by_seed.items()
  }


if __name__ == "__main__":
  main()
