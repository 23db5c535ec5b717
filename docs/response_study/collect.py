r"""Copies the tables of the study here, and draws the figures.

    python docs/response_study/collect.py --study=runs/response_synthetic-HASH

`answers.csv` has by cell, part (test or validation), seed and patient the label and the probability
of the outcome; `covariates.csv` has the covariates of the patients; `epochs.csv` has, by cell and
seed, the epoch that was kept and the last epoch.
"""

import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import findings  # beside this file
import pages  # in the folder above

from mlseg import files
from mlseg.files import to_csv
from mlseg.report import drawing, patients
from mlseg.report.outcome import figures as outcome_figures
from mlseg.workdir import patients_file

SETTING = (
  "num_seeds", "num_epochs", "patience", "batch_size", "data.num_folds", "data.image_size",
  "data.cohort.spacing", "data.cohort.slices", "model.width",
)  # fmt: skip
PARTS = {"test": "diagnoses.csv", "validation": "validation_diagnoses.csv"}
_OUTCOME = f"probability_{findings.POSITIVE}"


def main() -> None:
  """Writes the files beside this one."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--study", required=True, type=pathlib.Path, help="folder of the study")
  folder = parser.parse_args().study
  for name in ("study.json", "rows.csv"):
    files.write_file(HERE / name, (folder / name).read_bytes())
  pages.write_setting(folder, SETTING, HERE)
  cells = list(pages.complete(folder))
  files.write_file(HERE / "answers.csv", to_csv(answers(cells)))
  files.write_file(HERE / "covariates.csv", to_csv(covariates(cells[0][1])))
  files.write_file(HERE / "epochs.csv", to_csv(epochs(cells)))
  figures(cells)


def answers(cells: list[tuple[dict[str, str], pathlib.Path]]) -> list[dict]:
  """Returns a row per cell, part, seed and patient."""
  return [
    {
      **labels,
      "part": part,
      **{name: row[name] for name in ("seed", "id", "label")},
      "probability": row[_OUTCOME],
    }
    for labels, run in cells
    for part, file in PARTS.items()
    for row in files.read_csv(run / file)
  ]


def covariates(run: pathlib.Path) -> list[dict]:
  """Returns a row per patient, with the covariates of `data.csv`."""
  return [
    {"id": row["id"]} | {name: row[name] for name in row if name.startswith("covariate_")}
    for row in files.read_csv(run / "data.csv")
  ]


def epochs(cells: list[tuple[dict[str, str], pathlib.Path]]) -> list[dict]:
  """Returns a row per cell and seed: the epoch with the best AUC of validation, and the last."""
  rows = []
  for labels, run in cells:
    of_seed: dict[int, list[dict]] = {}
    for record in pages.log(run):
      if "validation" in record:
        of_seed.setdefault(record["seed"], []).append(record)
    for seed, own in of_seed.items():
      best = max(own, key=lambda record: record["validation"]["auc"])  # the first of the best
      kept, last = (round(record["epoch"]) for record in (best, own[-1]))
      rows.append({**labels, "seed": seed, "kept": kept, "last": last})
  return rows


def figures(cells: list[tuple[dict[str, str], pathlib.Path]]) -> None:
  """Draws ROC curves and two patients into `figures/`."""
  (HERE / "figures").mkdir(exist_ok=True)
  study = findings.read(HERE)
  shown = {name: study.outcomes(findings.PLANTED)["runs"][name] for name in findings.SHOWN}
  null = study.outcomes(findings.SHUFFLED)["runs"][findings.SHOWN[-1]]
  with drawing.style():
    (roc,) = outcome_figures.roc({**shown, f"{findings.SHOWN[-1]}, shuffled labels": null})
    files.write_file(HERE / "figures" / "roc.png", roc.png)
    wanted = {"labels": findings.PLANTED, "method": findings.SHOWN[-1]}
    run = next(path for labels, path in cells if labels == wanted)
    found = patients_file.read(run)
    for number, index in enumerate(patients.chosen(found, 2), start=1):
      figure = patients.figure(findings.SHOWN[-1], found, index)
      files.write_file(HERE / "figures" / f"patient_{number}.png", drawing.to_png(figure))


if __name__ == "__main__":
  main()
