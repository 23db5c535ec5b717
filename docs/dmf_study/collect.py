r"""Copies a study's tables and figures here, and scores its models on their training images.

    python -m mlseg.report runs/dmf_busi-HASH --out=report
    python docs/dmf_study/collect.py --study_dir=runs/dmf_busi-HASH --report=report \
        --cells='random/*'

Scores on training images are no results. They are in `training.csv`, a row per cell and seed, to
show whether a published number could be such a score.
"""

import argparse
import fnmatch
import json
import pathlib
import shutil
import sys

import jax
import numpy as np

from mlseg import files
from mlseg.data import pipeline
from mlseg.files import to_csv
from mlseg.metrics import summarize
from mlseg.models import Outputs
from mlseg.prediction import trained
from mlseg.recipe import data as recipe_data
from mlseg.training.evaluation import make_evaluate
from mlseg.workdir import run_folder, split_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pages  # in the folder above

FILES = ("study.json", "rows.csv", "dice.csv")
FIGURES = (
  "case-1-*.png", "learning-*.png", "paired*.png", "weights-*-grouped-*.png",
  "losses-*-grouped-*.png",
)  # fmt: skip
SCORES = ("dice", "dice_with_background_pooled")
SETTING = (
  "num_seeds", "num_epochs", "model.filters",
  "data.image_size", "data.diameter", "data.sigma_space",
)  # fmt: skip


def main() -> None:
  """Writes the files beside this one."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--study_dir", required=True, type=pathlib.Path, help="folder of mlseg.sweep")
  parser.add_argument(
    "--cells", default="*", help="pattern of the cells that are scored on their training images"
  )
  parser.add_argument("--report", required=True, type=pathlib.Path, help="folder of mlseg.report")
  options = parser.parse_args()
  shutil.rmtree(HERE / "figures", ignore_errors=True)
  (HERE / "figures").mkdir()
  for path in (options.report / "figures").iterdir():
    if any(fnmatch.fnmatch(path.name, pattern) for pattern in FIGURES):
      shutil.copy(path, HERE / "figures")
  for name in FILES:
    files.write_file(HERE / name, (options.study_dir / name).read_bytes())
  pages.write_setting(options.study_dir, SETTING, HERE)
  study = json.loads((HERE / "study.json").read_text())
  rows = []
  for cell in study["cells"]:
    if cell["complete"] and fnmatch.fnmatch(cell["name"], options.cells):
      scores = score_training(options.study_dir / cell["name"])
      rows += [{**cell["labels"], "seed": seed, **values} for seed, values in scores.items()]
      print(cell["name"], scores, flush=True)
  files.write_file(HERE / "training.csv", to_csv(rows))


def score_training(workdir: pathlib.Path) -> dict[int, dict[str, float]]:
  """Returns by seed the scores of a run's models on the images that they were trained on."""
  run = trained.load(workdir)
  cases = recipe_data.load_cases(run.data)
  description = run_folder.read(workdir)
  if cases.fingerprint != description.data:
    raise SystemExit(f"{workdir}: was trained on other data")
  split = split_file.read(workdir)
  index_of = {name: n for n, name in enumerate(cases.ids)}

  def predict(variables: dict, images: jax.Array) -> Outputs:
    return run.model.apply(variables, pipeline.to_float(images), False)[0]

  test = jax.jit(make_evaluate(predict, len(cases.class_names), description.config["batch_size"]))
  scores = {}
  for n, seed in enumerate(run.seeds):
    index = np.array([index_of[name] for name in split.parts[seed]["train"]])
    variables = jax.tree.map(lambda leaf, n=n: leaf[n], run.variables)
    table = summarize(np.asarray(test(variables, cases.images[index], cases.masks[index]).counts))
    scores[seed] = {name: table[name] for name in SCORES}
  return scores


if __name__ == "__main__":
  main()
