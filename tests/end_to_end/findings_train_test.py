"""A run whose cases may have several findings: trained, evaluated, predicted with, and loaded."""

import csv
import json

import numpy as np
import pytest

import mlseg
from mlseg import evaluate, main, predict
from mlseg.metrics import average_findings
from tests.data import layouts
from tests.models.pretrained import made_weights

pytestmark = pytest.mark.slow  # the training takes half a minute

TINY = {
  "num_epochs": 30, "batch_size": 8, "num_seeds": 2, "data.image_size": 32, "data.resplit": False,
  "data.fractions": (0.5, 0.25, 0.25), "data.folder.duplicate_bits": -1,
  "data.folder.patient_column": "case", "model.decoder_filters": (8, 8, 8, 8, 8),
  "model.width": made_weights.ENCODER.width, "model.pretrained": "none", "selection": "accuracy",
  "augmentation.flip_horizontal": 0.0, "augmentation.rotation": 0.0, "augmentation.shear": 0.0,
  "optimizer.learning_rate": 0.003, "prediction.ensemble": True,
  "prediction.calibration": "validation", "metrics.num_processes": 1, "metrics.surface": False,
}  # fmt: skip
NAMES = ("effusion", "edema")


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return layouts.with_findings(tmp_path_factory.mktemp("data"), count=64)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, short_encoder):
  folder = tmp_path_factory.mktemp("runs") / "run"
  settings = [f"--config.{key}={value}" for key, value in TINY.items()]
  config = f"--config={layouts.CONFIG.with_name('findings.py')}"
  command = [config, f"--workdir={folder}", f"--config.data.root={data}", *settings]
  assert main.main(["main", *command]) == 0
  return folder


def test_both_findings_are_learned_and_their_scores_are_those_of_the_rows(run):
  results = json.loads((run / "results.json").read_text())
  rows = _rows(run / "findings.csv")
  for place, seed in enumerate("01"):
    own = [row for row in rows if row["seed"] == seed]
    assert len(own) == 16
    true, found = (
      np.array([[float(row[f"{kind}_{name}"]) for name in NAMES] for row in own])
      for kind in ("true", "probability")
    )
    means = average_findings(true.astype(int), found)
    for name, value in means.items():
      assert results["metrics"][name]["per_seed"][place] == pytest.approx(value, abs=1e-3), name
    for row, numbers in zip(own, true, strict=True):
      assert row["label"] == ("+".join(np.array(NAMES)[numbers == 1]) or "none")
  assert results["findings"].keys() == set(NAMES)
  assert results["metrics"]["roc_auc"]["mean"] > 0.9
  assert results["metrics"]["balanced_accuracy"]["mean"] > 0.75
  assert "dice" in results["metrics"]
  assert {"dice", "roc_auc", "exact_match"} <= results["ensemble"]["metrics"].keys()
  assert not (run / "diagnoses.csv").exists()
  lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  validation = [line["validation"] for line in lines if "validation" in line]
  assert all({"dice", "accuracy", "auc", "losses"} == one.keys() for one in validation)


def test_the_command_and_the_interface_predict_what_was_tested(run, data, tmp_path):
  out = tmp_path / "out"
  words = [f"--workdir={run}", f"--images={data}/images", f"--out={out}", "--saliency=none"]
  assert predict.main(["predict", *words]) == 0
  rows = {row["file"].removesuffix(".png"): row for row in _rows(out / "findings.csv")}
  assert len(rows) == 64
  model = mlseg.load(run)
  assert model.label_names == NAMES
  for row in _rows(run / "ensemble_findings.csv")[:3]:
    found = model.predict(data / "images" / f"{row['id']}.png")
    own = rows[row["id"]]
    assert own["findings"] == ("+".join(found.findings) or "none")
    # A temperature keeps which findings are above 0.5.
    assert own["findings"] == row["predicted"]
    for name in NAMES:
      assert found.diagnoses[name] == pytest.approx(float(own[f"probability_{name}"]), abs=1e-4)


def test_a_run_is_evaluated_on_other_data_with_its_findings(run, data, tmp_path, capsys):
  out = tmp_path / "out"
  words = ["evaluate", f"--workdir={run}", f"--data={data}", "--nocopies"]
  columns = "--data.folder.label_columns=('edema', 'effusion')"
  assert evaluate.main([*words, f"--out={out}", columns]) == 0
  results = json.loads((out / "results.json").read_text())
  assert results["metrics"]["roc_auc"]["mean"] > 0.9
  assert results["findings"].keys() == set(NAMES)
  assert len(_rows(out / "ensemble_findings.csv")) == 64
  page = (out / "report" / "index.html").read_text()
  assert "Findings" in page
  capsys.readouterr()
  assert evaluate.main([*words, f"--out={tmp_path}/none", "--data.folder.label_columns=()"]) == 2
  said = capsys.readouterr().err
  assert "--data.folder.label_columns must name the columns of the findings that the run" in said
  assert "gives: effusion, edema" in said
