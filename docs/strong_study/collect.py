r"""Copies the scores of runs of `configs/strong.py`, and of their evaluations, here.

    python docs/strong_study/collect.py --run='LABEL:FOLDER' --trial='LABEL:FOLDER' ...

A FOLDER is that of a run, or of `mlseg.evaluate`. LABEL names its setting on the page (`page.py`
lists them). Rows of other settings stay, so that runs can be collected one after another.
`models.csv` has a row per model and one per mean of models, `cases.csv` the scores of each test
case, `curves.csv` the validation Dice of each epoch, `calibration.csv` the temperature of each
model and what it changes. Several folders of one label, of seeds trained apart, are one run. Of a
trial, which decided about the recipe and was never tested, there is the curve of its first model
alone. `--partly=FOLDER` copies the scores of the study `configs/studies/partly_labelled.py`.
"""

import argparse
import collections
import pathlib
import statistics
from collections.abc import Mapping
from typing import Any

from mlseg import files
from mlseg.workdir import calibration_file, case_table, metrics_log, run_folder

HERE = pathlib.Path(__file__).resolve().parent
METRICS = ("dice", "iou", "hausdorff95", "normalized_surface_dice")
PARTLY = ("labels", "seed", "validation", "dice", "hausdorff95", "balanced_accuracy", "roc_auc")
OBJECTS = ("object_f1", "object_dice", "object_hausdorff")  # of runs that are scored by objects
LESION = 1  # the class that is scored
BY_PATIENT = ("lgg",)  # data sets whose images are slices, scored by patients
MEAN = "mean"  # in the column of the seed: the mean of all models


def main() -> None:
  """Writes the files beside this one."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--run", action="append", default=[], help="LABEL:FOLDER, tested")
  parser.add_argument("--trial", action="append", default=[], help="LABEL:FOLDER, not tested")
  parser.add_argument(
    "--calibration", action="append", default=[], help="LABEL:FOLDER, of it alone"
  )
  parser.add_argument("--partly", type=pathlib.Path, help="the folder of mlseg.sweep")
  options = parser.parse_args()
  if options.partly:
    copy_partly_labelled(options.partly)
  runs: dict[str, dict[str, list[files.Row]]] = {}
  for text in options.run:
    label, _, folder = text.partition(":")
    own = runs.setdefault(label, {})
    for name, rows in of_run(pathlib.Path(folder)).items():
      own.setdefault(name, []).extend(rows)
  joined = collections.Counter(text.partition(":")[0] for text in options.run)
  for label, made in runs.items():
    if joined[label] > 1:  # a mean of models is of one folder's
      made = {name: [row for row in rows if row.get("seed") != MEAN] for name, rows in made.items()}
    replace(label, made)
  for text in options.calibration:
    label, _, folder = text.partition(":")
    replace(label, {"calibration": calibrations_of(pathlib.Path(folder))})
  for text in options.trial:
    label, _, folder = text.partition(":")
    curves = curves_of(pathlib.Path(folder))
    replace(label, {"curves": [row for row in curves if row["seed"] == curves[0]["seed"]]})


def replace(label: str, made: dict[str, list[files.Row]]) -> None:
  """Writes the rows of one setting, by file, in place of those that it had."""
  for name, rows in made.items():
    path = HERE / f"{name}.csv"
    known = files.read_csv(path) if path.exists() else []
    kept = [row for row in known if row["run"] != label]
    rows = [*kept, *({"run": label, **row} for row in rows)]
    if rows:
      files.write_file(path, files.to_csv(sorted(rows, key=lambda row: row["run"])))


def copy_partly_labelled(study: pathlib.Path) -> None:
  """Copies scores and comparisons of the study of missing labels into the folder beside."""
  to = HERE / "partly_labelled"
  rows = files.read_csv(study / "rows.csv")
  chosen = [{name: row[name] for name in PARTLY} for row in rows]
  files.write_file(to / "rows.csv", files.to_csv(chosen))
  for name in ("comparisons.csv", "accuracy_comparisons.csv"):
    files.write_file(to / name, (study / name).read_text())


def of_run(run: pathlib.Path) -> dict[str, list[files.Row]]:
  """Returns the rows of a run, or of an evaluation, by file."""
  config, curves = run_folder.read(run).config, curves_of(run)
  cases = _cases(case_table.read(run), None)
  if config["data"]["name"] in BY_PATIENT:
    cases = _patients(case_table.read(run), run)
  elif (run / case_table.ENSEMBLE_NAME).exists():
    cases += _cases(case_table.read(run, case_table.ENSEMBLE_NAME), MEAN)
  return {
    "models": models_of(run, config, cases, curves),
    "curves": curves,
    "cases": cases,
    "calibration": calibrations_of(run),
  }


def calibrations_of(run: pathlib.Path) -> list[files.Row]:
  """Returns temperature, calibration errors and the AUC of errors of each model's test pixels."""
  if not (run / calibration_file.NAME).exists():
    return []
  found = calibration_file.read(run)
  models = {**found.seeds} | ({} if found.ensemble is None else {MEAN: found.ensemble})
  return [
    {
      "seed": seed,
      "temperature": own.pixels.temperature,
      "ece_without": own.pixels.before.ece,
      "ece": own.pixels.after.ece,
      "error_detection_auc": own.pixels.after.error_detection_auc,
    }
    for seed, own in models.items()
    if own.pixels is not None
  ]


def curves_of(run: pathlib.Path) -> list[files.Row]:
  """Returns the validation Dice of each epoch and model; none of an evaluation."""
  return [
    {
      "seed": record["seed"],
      "epoch": round(record["epoch"]),
      "validation_dice": round(record["validation"]["dice"], 5),
    }
    for record in _log(run)
    if "validation" in record
  ]


def models_of(
  run: pathlib.Path,
  config: Mapping[str, Any],
  cases: list[files.Row],
  curves: list[files.Row],
) -> list[files.Row]:
  """Returns a row per model, and one of their mean: setting, best epoch, minutes and scores.

  Args:
    run: the folder.
    config: of the run.
    cases: scores of the test cases, with the model's seed.
    curves: of `curves_of`.
  """
  setting = {
    "encoder": config["model"]["encoder"],
    "pretrained": config["model"]["pretrained"] != "none",
    "weighting": config["weighting"]["name"],
    "image_size": config["data"]["patch_size"] or config["data"]["image_size"],
    "num_epochs": config["num_epochs"],
    "views": config["prediction"]["views"],
  }
  models = []
  for seed in dict.fromkeys(row["seed"] for row in cases):
    own = [row for row in cases if row["seed"] == seed]
    curve = [row for row in curves if row["seed"] == seed]
    best = max(curve, key=lambda row: row["validation_dice"], default={})
    chosen = {"best_epoch": best.get("epoch"), "validation_dice": best.get("validation_dice")}
    scores = {
      name: statistics.fmean(row[name] for row in own) for name in METRICS if name in own[0]
    }
    scores |= {
      name: statistics.fmean(row[name] for row in own) for name in OBJECTS if name in own[0]
    }
    models.append(
      {"seed": seed, **setting, **chosen, "minutes": minutes(run, config, seed),
       "num_cases": len(own), **scores}
    )  # fmt: skip
  return models


def minutes(run: pathlib.Path, config: Mapping[str, Any], seed: int | str) -> float | None:
  """Returns how long the training steps of a model took, from the speeds in its log.

  Compilation, validation and testing are not in it. None for a mean of models and an evaluation.
  """
  total, last = 0.0, 0
  for record in (record for record in _log(run) if record["seed"] == seed):
    if record["images_per_second"]:
      images = (record["step"] - last) * config["batch_size"]
      total += images / record["images_per_second"] / 60
      last = record["step"]
  return round(total, 1) or None


def _log(run: pathlib.Path) -> list[dict[str, Any]]:
  return metrics_log.read(run) if (run / metrics_log.NAME).exists() else []


def _cases(rows: list[files.Row], seed: str | None) -> list[files.Row]:
  """Returns the scores of the foreground in each case; `seed` where the rows have none."""
  lesion = case_table.class_names(rows)[LESION]
  names = [name for name in (*METRICS, *OBJECTS) if name in rows[0]]
  return [
    {"seed": row["seed"] if seed is None else seed, "id": row["id"]}
    | {name: round(float(row[name]), 5) for name in names}
    for row in rows
    if row["class"] == lesion
  ]


def _patients(rows: list[files.Row], run: pathlib.Path) -> list[files.Row]:
  """Returns Dice and IoU of the foreground of each patient, over the pixels of all its slices."""
  lesion = case_table.class_names(rows)[LESION]
  patients = {row["id"]: int(row["patient"]) for row in files.read_csv(run / "data.csv")}
  counts: dict[tuple[int, int], collections.Counter[str]] = {}
  for row in rows:
    if row["class"] == lesion:
      own = counts.setdefault((row["seed"], patients[row["id"]]), collections.Counter())
      own.update({name: int(row[name]) for name in ("tp", "fp", "fn")})
  found = []
  for (seed, patient), own in counts.items():
    wrong = own["fp"] + own["fn"]
    scores = {
      "dice": round(2 * own["tp"] / (2 * own["tp"] + wrong), 5),
      "iou": round(own["tp"] / (own["tp"] + wrong), 5),
    }
    found.append({"seed": seed, "id": f"patient {patient}", **scores})
  return found


if __name__ == "__main__":
  main()
