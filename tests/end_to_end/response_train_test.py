"""Outcomes from volumes: trained in folds, tested, reported and predicted from the files up."""

import csv
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from mlseg import evaluate, main, predict
from mlseg.console import Reporter
from mlseg.prediction import trained, volumes
from mlseg.report import write
from mlseg.workdir import patients_file
from tests.end_to_end import cohort
from tests.end_to_end.cohort import PATIENTS, SEEDS, SIDE, SLICES
from tests.io.volumes import made

pytestmark = pytest.mark.slow  # the trainings take half a minute


@pytest.fixture(scope="module")
def folder(tmp_path_factory, short_encoder):
  folder = tmp_path_factory.mktemp("response")
  (folder / "cohort").mkdir()
  return cohort.write(folder / "cohort").parent


@pytest.fixture(scope="module")
def run(folder):
  """Two folds of the whole recipe, whose network also reads the age."""
  words = cohort.arguments(folder / "cohort", **{"model.covariates": "('age',)"})
  assert main.main(["main", *words, f"--workdir={folder}/run"]) == 0
  return folder / "run"


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def test_every_patient_is_tested_in_one_fold_and_none_is_on_both_sides(run):
  parts = json.loads((run / "split.json").read_text())["seeds"]
  assert sorted(row["id"] for row in _rows(run / "diagnoses.csv")) == sorted(
    f"p{n}" for n in range(PATIENTS)
  )
  validated = {(row["seed"], row["id"]) for row in _rows(run / "validation_diagnoses.csv")}
  for seed, part in parts.items():
    sets = [set(ids) for ids in part.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == PATIENTS
    assert {name for own, name in validated if own == seed} == set(part["validation"])


def test_a_run_logs_all_losses_and_what_it_was_selected_by(run):
  records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  assert len(records[0]["losses"]) == 5
  assert all(np.isfinite(value) for record in records for value in record["losses"].values())
  last = [record["validation"] for record in records if "validation" in record]
  assert len(last) == 2 * SEEDS
  assert all(0 <= one["auc"] <= 1 for one in last)


def test_attention_and_covariates_are_in_tables(run):
  rows = _rows(run / "attention.csv")
  totals: dict = {}
  for row in rows:
    totals[row["seed"], row["id"]] = totals.get((row["seed"], row["id"]), 0) + float(
      row["attention"]
    )
  assert len(totals) == PATIENTS
  np.testing.assert_allclose([*totals.values()], 1, atol=1e-4)
  # Of a lesion of two slices the third is absent.
  assert [row["slice"] for row in rows if row["id"] == "p0"] == ["1", "2"]
  ages = {row["id"]: float(row["covariate_age"]) for row in _rows(run / "data.csv")}
  assert ages["p7"] == 57


def test_patients_have_pictures_and_a_page(run, tmp_path):
  found = patients_file.read(run)
  assert found.images.shape == (PATIENTS, SLICES, SIDE, SIDE)
  absent = ~found.images.any((2, 3))
  assert absent.any()
  assert (found.attention[absent] == 0).all()
  assert not found.masks[absent].any()
  assert len(list((run / "figures" / "patients").iterdir())) == 12
  path = write.report([run], tmp_path / "page")
  assert "Patients" in path.read_text()


def test_a_run_predicts_patients_without_outcomes(run, folder, tmp_path, capsys):
  rows = _rows(folder / "cohort" / "manifest.csv")[:3]
  lines = [
    f"{r['patient']},{folder}/cohort/{r['image']},{folder}/cohort/{r['mask']},{r['age']}"
    for r in rows
  ]
  broken = tmp_path / "broken.nii.gz"
  broken.write_bytes(b"nothing")
  lines.append(f"bad,{broken},{broken},")
  (tmp_path / "new.csv").write_text("\n".join(["patient,image,mask,age", *lines]) + "\n")
  arguments = [f"--workdir={run}", f"--images={tmp_path}/new.csv", f"--out={tmp_path}/out"]
  assert predict.main(["predict", *arguments]) == 1
  assert "mlseg: patient bad: " in capsys.readouterr().err
  answers = _rows(tmp_path / "out" / "diagnoses.csv")
  assert [row["file"] for row in answers] == ["p0", "p1", "p2"]
  for row in answers:
    assert float(row["probability_no"]) + float(row["probability_yes"]) == pytest.approx(
      1, abs=1e-5
    )
  assert len(list((tmp_path / "out" / "patients").iterdir())) == 3
  # Patients of a fold's test part, whose seed's answer is a half of the mean of both.
  tested = {row["id"]: row for row in _rows(run / "diagnoses.csv")}
  for row in answers:
    mean, own = float(row["probability_yes"]), float(tested[row["file"]]["probability_yes"])
    assert 0 <= 2 * mean - own <= 1


def test_a_run_predicts_and_evaluates_with_covariates_as_it_was_tested(run, folder, tmp_path):
  tested = {(row["seed"], row["id"]): row for row in _rows(run / "diagnoses.csv")}
  whole, quiet = trained.load(run), Reporter(quiet=True)
  for n, seed in enumerate(whole.seeds):
    variables = jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], whole.variables)
    ages = [50 + int(name[1:]) for own, name in _parts(run)[str(seed)] if own == "train"]
    assert variables["covariates"]["mean"] == pytest.approx(np.mean(ages))
    assert variables["covariates"]["deviation"] == pytest.approx(np.std(ages))
    assert variables["params"]["covariate_scores"]["kernel"].any()
    single = whole._replace(variables=variables, seeds=(seed,), manner=whole.manners[seed])
    out = tmp_path / str(seed)
    out.mkdir()
    volumes.predict(folder / "cohort", out, single, "none", lambda: None, quiet)
    found = {row["file"]: row["probability_yes"] for row in _rows(out / "diagnoses.csv")}
    for own, name in tested:
      if own == str(seed):
        expected = float(tested[own, name]["probability_yes"])
        assert float(found[name]) == pytest.approx(expected, abs=1e-4)
  arguments = [f"--workdir={run}", f"--out={tmp_path}/again"]
  assert evaluate.main(["evaluate", *arguments]) == 0
  again = {(row["seed"], row["id"]): row for row in _rows(tmp_path / "again" / "diagnoses.csv")}
  assert again.keys() == tested.keys()
  for key, row in tested.items():
    expected = float(row["probability_yes"])
    assert float(again[key]["probability_yes"]) == pytest.approx(expected, abs=1e-4)


def _parts(run):
  """Returns for each seed the pairs of a part of its split and a patient in it."""
  seeds = json.loads((run / "split.json").read_text())["seeds"]
  return {
    seed: [(part, name) for part, names in parts.items() for name in names]
    for seed, parts in seeds.items()
  }


def test_an_unknown_covariate_ends_in_one_line_before_anything_is_written(folder, tmp_path, capsys):
  words = cohort.arguments(folder / "cohort", **{"model.covariates": "('agee',)"})
  assert main.main(["main", *words, f"--workdir={tmp_path}/run"]) == 2
  message = "config.model.covariates: the manifest has no covariate 'agee': choose from age"
  assert message in capsys.readouterr().err.splitlines()[-1]
  assert not (tmp_path / "run").exists()


def test_a_large_volume_is_predicted_within_4_gib(run, tmp_path):
  shape, lesion = (300, 512, 512), np.zeros((300, 512, 512), np.uint8)
  lesion[100:220, 150:360, 200:400] = 1  # resampled whole, with its margin
  image = np.broadcast_to(np.arange(512, dtype=np.int16), shape)
  affine = made.nifti_affine(spacing=(1.0, 0.7, 0.7))
  made.write_nifti(tmp_path / "image.nii", image, affine)
  made.write_nifti(tmp_path / "mask.nii.gz", lesion, affine)
  (tmp_path / "manifest.csv").write_text("patient,image,mask,age\nA,image.nii,mask.nii.gz,\n")
  code = (  # not ru_maxrss, which begins at that of the process that started this one
    "from tests.models import short_encoder; short_encoder.make_short();"
    "import sys; from mlseg import predict; code = predict.main(sys.argv);"
    "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(code)"
  )
  arguments = [f"--workdir={run}", f"--images={tmp_path}", f"--out={tmp_path}/out"]
  done = subprocess.run(
    [sys.executable, "-c", code, *arguments],
    cwd=cohort.CONFIG.parents[1],
    capture_output=True,
    text=True,
    check=True,
  )
  assert len(_rows(tmp_path / "out" / "diagnoses.csv")) == 1
  assert int(done.stdout.split()[-1]) * 1024 < 4 * 2**30
