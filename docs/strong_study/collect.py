r"""Copies the scores of runs of `configs/strong.py` here.

    python docs/strong_study/collect.py --run='LABEL:FOLDER' ...

LABEL names the run's setting on the page (`page.py` lists them). Rows of other settings stay, so
that runs can be collected one after another. `models.csv` has a row per model and one per ensemble,
`curves.csv` the validation Dice of each epoch, `cases.csv` the scores of each test case.
"""

import argparse
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from mlseg import files
from mlseg.workdir import case_table, run_folder

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pages  # in the folder above

METRICS = ("dice", "iou", "hausdorff95", "normalized_surface_dice")
LESION = 1  # the class that is scored
ENSEMBLE = "ensemble"  # in the column of the seed


def main() -> None:
  """Writes the files beside this one."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--run", action="append", required=True, help="LABEL:FOLDER")
  for text in parser.parse_args().run:
    label, _, folder = text.partition(":")
    replace(label, of_run(pathlib.Path(folder)))


def replace(label: str, made: dict[str, list[files.Row]]) -> None:
  """Writes the rows of one setting, by file, in place of those that it had."""
  for name, rows in made.items():
    path = HERE / f"{name}.csv"
    known = files.read_csv(path) if path.exists() else []
    kept = [row for row in known if row["run"] != label]
    rows = [*kept, *({"run": label, **row} for row in rows)]
    files.write_file(path, files.to_csv(sorted(rows, key=lambda row: row["run"])))


def of_run(run: pathlib.Path) -> dict[str, list[files.Row]]:
  """Returns the rows of a run by file."""
  config = run_folder.read(run).config
  curves = [
    {
      "seed": record["seed"],
      "epoch": round(record["epoch"]),
      "validation_dice": round(record["validation"]["dice"], 5),
    }
    for record in pages.log(run)
    if "validation" in record
  ]
  cases = _cases(case_table.read(run), None)
  if (run / case_table.ENSEMBLE_NAME).exists():
    cases += _cases(case_table.read(run, case_table.ENSEMBLE_NAME), ENSEMBLE)
  return {"models": models_of(config, cases, curves), "curves": curves, "cases": cases}


def models_of(
  config: Mapping[str, Any], cases: list[files.Row], curves: list[files.Row]
) -> list[files.Row]:
  """Returns a row per model and one per ensemble: its setting, its epoch and its scores.

  Args:
    config: of the run.
    cases: scores of the test cases, with the model's seed.
    curves: the validation Dice of each epoch, with the model's seed; none of an ensemble.
  """
  setting = {
    "encoder": config["model"]["encoder"],
    "pretrained": config["model"]["pretrained"] != "none",
    "weighting": config["weighting"]["name"],
    "image_size": config["data"]["image_size"],
    "num_epochs": config["num_epochs"],
  }
  models = []
  for seed in dict.fromkeys(row["seed"] for row in cases):
    own = [row for row in cases if row["seed"] == seed]
    curve = [row for row in curves if row["seed"] == seed]
    best = max(curve, key=lambda row: row["validation_dice"], default={})
    chosen = {"best_epoch": best.get("epoch"), "validation_dice": best.get("validation_dice")}
    scores = {name: sum(row[name] for row in own) / len(own) for name in METRICS}
    models.append({"seed": seed, **setting, **chosen, "num_cases": len(own), **scores})
  return models


def _cases(rows: list[files.Row], seed: str | None) -> list[files.Row]:
  """Returns the scores of the lesion in each case; `seed` where the rows have none."""
  lesion = case_table.class_names(rows)[LESION]
  return [
    {"seed": row["seed"] if seed is None else seed, "id": row["id"]}
    | {name: round(float(row[name]), 5) for name in METRICS}
    for row in rows
    if row["class"] == lesion
  ]


if __name__ == "__main__":
  main()
