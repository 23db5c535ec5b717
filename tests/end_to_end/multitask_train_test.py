"""Runs that diagnose: trained, tested, predicted with and reported, alone and beside masks."""

import csv
import json
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from mlseg import main, predict
from mlseg.files import read_json
from mlseg.report import recipes, write
from mlseg.workdir import model_file
from tests.data import layouts
from tests.models.pretrained import made_weights

pytestmark = pytest.mark.slow  # the trainings take half a minute

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
TINY = {
  "num_epochs": 2, "batch_size": 8, "data.image_size": 32, "data.fractions": (0.4, 0.2, 0.4),
  "model.decoder_filters": (8, 8, 8, 8, 8), "model.width": made_weights.ENCODER.width,
  "model.pretrained": "none", "metrics.num_processes": 1, "metrics.surface": False,
}  # fmt: skip
PATIENTS = 48
# The recipe on a folder of made pictures, with a frozen stage and a slow one.
RECIPE = """
import runpy
_BASE = runpy.run_path("{configs}/multitask_busi.py")
_FOLDER = runpy.run_path("{configs}/folder.py")


def get_config(variant):
  config = _BASE["get_config"](variant)
  config.data.name, config.data.root = "folder", "{root}"
  config.data.folder = _FOLDER["get_config"]().data.folder
  config.data.folder.update({files})
  config.data.folder.duplicate_bits = -1
  config.optimizer.stage_rates.update({{"stage_0": 0.0, "stage_2": 0.1}})
  return config
"""


def _train(folder, variant, name, **changes):
  overrides = [f"--config.{key}={value}" for key, value in (TINY | changes).items()]
  config = f"--config={folder}/recipe.py:{variant}"
  return main.main(["main", config, f"--workdir={folder}/runs/{name}", *overrides])


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def weights(tmp_path_factory, short_encoder):
  """A file of weights under torchvision's names, and the variables in it by path."""
  images = np.zeros((1, 32, 32, 3), np.float32)
  variables = jax.jit(made_weights.ENCODER.init, static_argnums=2)(jax.random.key(9), images, False)
  leaves = jax.tree_util.tree_leaves_with_path(variables)
  drawn = {tuple(key.key for key in path): np.asarray(leaf) + 0.01 for path, leaf in leaves}
  path = tmp_path_factory.mktemp("weights") / "made.safetensors"
  save_file(made_weights.torch_arrays(drawn), path)
  return path, drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory, short_encoder):
  """A folder with made pictures and a recipe for them."""
  folder = tmp_path_factory.mktemp("multitask")
  root = layouts.bus_bra(folder / "data", num_patients=PATIENTS)
  text = RECIPE.format(configs=CONFIGS, root=root, files=layouts.BUS_BRA)
  (folder / "recipe.py").write_text(text)
  return folder


@pytest.fixture(scope="module")
def runs(folder, weights):
  """Two folds of a joint network, and one classifier."""
  changes = {"num_seeds": 2, "data.num_folds": 3, "model.pretrained": weights[0]}
  assert _train(folder, "joint+mobilenet_v2", "joint", **changes) == 0
  assert _train(folder, "classification+mobilenet_v2", "classifier") == 0
  return folder / "runs"


def test_a_joint_run_has_scores_of_masks_and_of_diagnoses(runs):
  metrics = json.loads((runs / "joint/results.json").read_text())["metrics"]
  rows = _rows(runs / "joint/diagnoses.csv")
  for place, seed in enumerate("01"):
    own = [row for row in rows if row["seed"] == seed]
    right = np.mean([row["label"] == row["predicted"] for row in own])
    assert metrics["classification_accuracy"]["per_seed"][place] == pytest.approx(right)
    for row in own:
      chances = {name: float(row[f"probability_{name}"]) for name in ("benign", "malignant")}
      assert row["predicted"] == max(chances, key=chances.get)
      assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
  assert {"dice", "roc_auc", "balanced_accuracy"} <= metrics.keys()
  dice = [float(row["dice"]) for row in _rows(runs / "joint/cases.csv")
          if row["class"] == "lesion" and row["seed"] == "0"]  # fmt: skip
  assert metrics["dice"]["per_seed"][0] == pytest.approx(np.mean(dice), abs=1e-5)


def test_each_seed_tests_its_own_fold_of_patients(runs):
  parts = json.loads((runs / "joint/split.json").read_text())["seeds"]
  sides = []
  for own in parts.values():
    patients = [{name.partition("-")[0] for name in part} for part in own.values()]
    assert len(set().union(*patients)) == sum(map(len, patients)) == PATIENTS
    sides.append(patients[2])
  assert not sides[0] & sides[1]
  assert [len(side) for side in sides] == [PATIENTS / 3] * 2


def test_the_log_has_both_scores_of_a_validation(runs):
  lines = [json.loads(line) for line in (runs / "joint/metrics.jsonl").read_text().splitlines()]
  validations = [line["validation"] for line in lines if "validation" in line]
  assert len(validations) == 4
  assert all({"dice", "accuracy", "auc", "losses"} == one.keys() for one in validations)


def test_the_encoder_starts_from_the_file_and_its_frozen_stage_stays(runs, weights):
  best = model_file.read(runs / "joint")[0]["params"]["encoder"]
  moved = {}
  for (kind, *path), value in weights[1].items():
    if kind == "params":
      leaf = best
      for name in path:
        leaf = leaf[name]
      moved.setdefault(path[0], []).append(np.abs(leaf - value).max())
  assert max(moved["stage_0"]) == 0
  assert max(moved["stage_1"]) > 0
  assert all(0 < max(values) < 0.2 for stage, values in moved.items() if stage != "stage_0")


def test_a_classifier_leaves_no_masks(runs):
  names = {path.name for path in (runs / "classifier").iterdir()}
  assert {"diagnoses.csv", "saliency.npz", "results.json", "data.csv"} <= names
  assert not {"cases.csv", "examples.npz"} & names
  # Without saliency maps: the features of such small images are too coarse.
  assert {p.name for p in (runs / "classifier/figures").iterdir()} == {"losses.png", "weights.png"}


def test_predictions_are_those_of_the_run(runs, tmp_path, capfd):
  with np.load(runs / "classifier/saliency.npz") as file:
    shown = dict(file)
  folder = tmp_path / "pictures"
  folder.mkdir()
  for name, image in zip(shown["ids"], shown["images"], strict=True):
    Image.fromarray(image[..., 0]).save(folder / f"{name}.png")
  command = ["predict", f"--workdir={runs}/classifier", f"--images={folder}"]
  assert predict.main([*command, f"--out={tmp_path}/out", "--saliency=gradcam++"]) == 0
  said = capfd.readouterr().out
  assert "diagnoses benign, malignant" in said
  assert said.count("saliency  the network's last features have") == 1
  assert "24 pictures predicted: saliency, diagnoses.csv" in said
  expected = {row["id"]: row for row in _rows(runs / "classifier/diagnoses.csv")}
  for row in _rows(tmp_path / "out/diagnoses.csv"):
    own = expected[row["file"].removesuffix(".png")]
    assert row["diagnosis"] == own["predicted"]
    assert float(row["probability_benign"]) == pytest.approx(
      float(own["probability_benign"]), abs=1e-4
    )
  assert len(list((tmp_path / "out/saliency").iterdir())) == 24
  assert not (tmp_path / "out/masks").exists()
  assert predict.main([*command, f"--out={tmp_path}/none", "--saliency=none"]) == 0
  assert not (tmp_path / "none/saliency").exists()


def test_a_joint_run_predicts_masks_and_diagnoses(runs, tmp_path):
  with np.load(runs / "joint/examples.npz") as file:
    image = file["images"][0]
  Image.fromarray(image[..., 0]).save(tmp_path / "one.png")
  out = tmp_path / "out"
  command = [f"--workdir={runs}/joint", f"--images={tmp_path}/one.png", f"--out={out}"]
  assert predict.main(["predict", *command]) == 0
  assert {path.name for path in out.iterdir()} == {
    "masks", "overlays", "saliency", "predictions.csv", "diagnoses.csv", "predict.json"
  }  # fmt: skip
  assert len(_rows(out / "diagnoses.csv")) == 1


def test_a_report_shows_both(runs, tmp_path):
  page = write.report([runs], tmp_path / "report").read_text()
  page = page.replace("<wbr>", "")
  for name in ("classifier", "joint"):
    trained = recipes.trains(read_json(runs / name / "config.json")["config"])
    assert f"Diagnoses of {trained}" in page
  assert "predicted malignant" in page
  assert "No saliency maps are shown of" in page
  figures = {path.name for path in (tmp_path / "report/figures").iterdir()}
  assert "learning-accuracy-1.svg" in figures
  assert not [name for name in figures if name.startswith("saliency")]


def test_a_detector_trains_to_the_end(folder):
  changes = {
    "num_epochs": 1, "model.filters": 8, "model.num_proposals": 8, "model.num_detections": 4,
    "weighting.name": "dynamic_memory_fusion", "data.placement": "host",
  }  # fmt: skip
  kept = {name: value for name, value in TINY.items() if name != "model.decoder_filters"}
  overrides = [f"--config.{key}={value}" for key, value in (kept | changes).items()]
  run = folder / "runs/detector"
  config = f"--config={folder}/recipe.py:mask_rcnn+mobilenet_v2"
  assert main.main(["main", config, f"--workdir={run}", *overrides]) == 0
  metrics = json.loads((run / "results.json").read_text())["metrics"]
  assert {"dice", "box_ap", "box_ap50", "box_ap75"} <= metrics.keys()
  (record, *_) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
  assert set(record["losses"]) == {
    "rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask"
  }  # fmt: skip
  assert all(np.isfinite(value) for value in record["losses"].values())
  assert record["nonfinite"] == 0
