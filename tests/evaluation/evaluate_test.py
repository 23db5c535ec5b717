"""A trained run is tested on a folder of other images."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

import mlseg
from mlseg import evaluate as command
from mlseg import predict
from mlseg.data import cases as data_cases
from mlseg.metrics import bootstrap_interval, expected_calibration_error
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment
from mlseg.report.__main__ import main as report
from mlseg.workdir import calibration_file
from mlseg.workdir.calibration_file import Calibration, Calibrations, Confidence, Scaling
from tests.prediction.made import SEEDS, write_run

PATTERNS = ("--data.name=folder", "--data.folder.images={name}.png",
            "--data.folder.masks=masks/{name}.png")  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Returns the folder of a run of two models that were never trained."""
  folder = write_run(tmp_path_factory.mktemp("run"))
  ids = [f"benign ({n})" for n in range(1, 21)]
  seeds = {str(seed): {"train": ids[:18], "validation": ids[18:19], "test": ids[19:]}
           for seed in SEEDS}  # fmt: skip
  (folder / "split.json").write_text(json.dumps({"seeds": seeds, "near_duplicates": []}))
  return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """Returns a folder of images and masks; image 5 is one that the run was trained on."""
  folder = tmp_path_factory.mktemp("images")
  (folder / "masks").mkdir()
  rng = np.random.default_rng(0)
  busi = data_cases.load("busi", image_size=32, diameter=0)
  for n in range(6):
    image = cv2.GaussianBlur(rng.integers(0, 256, (32, 32)).astype(np.uint8), (0, 0), 2.0)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    if n == 5:
      image = busi.images[busi.ids.index("benign (3)"), ..., 0]
    mask = np.zeros((32, 32), np.uint8)
    mask[5 : 12 + n, 8:20] = 255
    cv2.imwrite(str(folder / f"{n}.png"), image)
    cv2.imwrite(str(folder / "masks" / f"{n}.png"), mask)
  return folder


@pytest.fixture(scope="module")
def result(run, images, tmp_path_factory):
  out = tmp_path_factory.mktemp("evaluations") / "other"
  words = [f"--workdir={run}", f"--out={out}", f"--data={images}", *PATTERNS]
  assert command.main(["mlseg", *words]) == 0
  return out, words


def test_scores_are_those_of_the_masks_that_predict_writes(run, images, result, tmp_path):
  out, _ = result
  words = [f"--workdir={run}", f"--images={images}", f"--out={tmp_path / 'masks'}", "--noflips"]
  assert predict.main(["mlseg", *words]) == 0
  with open(out / "ensemble_cases.csv", encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file) if row["class"] == "lesion"]
  assert len(rows) == 6
  expected = []
  for row in rows:
    name = row["id"]
    predicted = cv2.imread(str(tmp_path / "masks" / "masks" / f"{name}.png"), 0) > 0
    true = cv2.imread(str(images / "masks" / f"{name}.png"), 0) > 0
    total = predicted.sum() + true.sum()
    expected.append(2 * (predicted & true).sum() / total)
  assert 0 < np.mean(expected) < 1
  np.testing.assert_allclose([float(row["dice"]) for row in rows], expected, atol=1e-6)
  entry = json.loads((out / "results.json").read_text())["ensemble"]
  assert entry["num_models"] == 2
  interval = bootstrap_interval(
    np.array(expected), np.mean, groups=None, resample_within=False, num_resamples=2000
  )
  found = entry["metrics"]["dice"]
  np.testing.assert_allclose(
    [found["value"], found["low"], found["high"]],
    [np.mean(expected), interval.low, interval.high],
    atol=1e-6,
  )


def test_the_folder_says_what_was_tested_on_what(run, result):
  out, _ = result
  about = json.loads((out / "config.json").read_text())
  assert about["evaluation"]["run"] == str(run)
  assert about["evaluation"]["trained_on"]["name"] == "busi"
  assert about["config"]["data"]["name"] == "folder"
  assert about["warnings"] == [
    "1 of 6 images are near-duplicates of images that the run was trained or validated on, so that"
    " scores may be too high: 5 of benign (3)"
  ]
  page = (out / "report" / "index.html").read_text()
  assert "Trained on" in page
  assert "busi, 32×32" in page
  assert "folder, 32×32, all cases" in page
  assert "5 of benign (3)" in page
  assert "Learning curves" not in page


def test_the_same_command_may_be_given_again_and_another_not(result, capsys):
  out, words = result
  before = (out / "results.json").read_bytes()
  assert command.main(["mlseg", *words]) == 0
  assert (out / "results.json").read_bytes() == before
  capsys.readouterr()
  assert command.main(["mlseg", *words, "--views=horizontal"]) == 2
  assert capsys.readouterr().err == (
    f"mlseg: --out: {out} holds results of another command; give a new folder\n"
  )


def test_a_report_shows_several_evaluations(run, images, result, tmp_path):
  out, _ = result
  second = tmp_path / "second"
  words = [f"--workdir={run}", f"--out={second}", "--data.name=busi", "--nocopies"]
  words += [f"--data={_busi(tmp_path)}"]
  assert command.main(["mlseg", *words]) == 0
  assert report(["mlseg", str(out), str(second), f"--out={tmp_path / 'both'}"]) == 0
  page = (tmp_path / "both" / "index.html").read_text()
  assert "folder, 32×32, all cases; or busi, 32×32, all cases" in page
  plain = page.replace("<wbr>", "")
  assert f"class_balanced_dice, on {images.name}" in plain
  assert "class_balanced_dice, on busi" in plain


def _busi(folder):
  """Returns a folder in the layout of BUSI with two images."""
  rng = np.random.default_rng(1)
  for label in ("benign", "malignant", "normal"):
    (folder / "busi" / label).mkdir(parents=True)
    image, mask = rng.integers(0, 256, (40, 50)).astype(np.uint8), np.zeros((40, 50), np.uint8)
    mask[9:20, 9:30] = 0 if label == "normal" else 255
    cv2.imwrite(str(folder / "busi" / label / f"{label} (1).png"), image)
    cv2.imwrite(str(folder / "busi" / label / f"{label} (1)_mask.png"), mask)
  return folder / "busi"


@pytest.fixture(scope="module")
def own_test(tmp_path_factory):
  """Returns the folder of a run with temperatures, and its data, of which three are for testing."""
  folder = tmp_path_factory.mktemp("own")
  write_run(folder)
  about = json.loads((folder / "config.json").read_text())
  about["config"]["prediction"] = {"calibration": "validation", "ensemble": False}
  cases = recipe_data.load_cases(experiment.read(about["config"]).data)
  (folder / "config.json").write_text(json.dumps(about | {"data": cases.fingerprint}))
  tests = {str(seed): {"train": [], "validation": [], "test": cases.ids[3:6]} for seed in SEEDS}
  (folder / "split.json").write_text(json.dumps({"seeds": tests, "near_duplicates": []}))
  some = Confidence(0.1, 0.1, None, (1,), (0.6,), (0.5,))
  calibrations = {
    seed: Calibration(Scaling(value, 9, some, some), None)
    for seed, value in zip((*SEEDS, "mean"), (2.0, 0.5, 3.0), strict=True)
  }
  calibration_file.write(folder, Calibrations(calibrations, calibrations.pop("mean")))
  return folder, cases


def test_without_data_the_own_test_part_is_tested_again(own_test, tmp_path, capsys):
  run, cases = own_test
  words = [f"--workdir={run}", f"--out={tmp_path / 'again'}"]
  assert command.main(["mlseg", *words]) == 0
  assert "647 images of 32×32, 3 of them for testing" in capsys.readouterr().out
  with open(tmp_path / "again" / "ensemble_cases.csv", encoding="utf-8") as file:
    rows = [row["id"] for row in csv.DictReader(file) if row["class"] == "lesion"]
  assert rows == list(cases.ids[3:6])
  page = (tmp_path / "again" / "report" / "index.html").read_text()
  assert "busi, 32×32, test part" in page


def test_temperatures_are_those_of_the_run(own_test, tmp_path):
  run, cases = own_test
  assert command.main(["mlseg", f"--workdir={run}", f"--out={tmp_path / 'again'}"]) == 0
  found = calibration_file.read(tmp_path / "again")
  own = [found.seeds[seed].pixels for seed in SEEDS] + [found.ensemble.pixels]
  assert [(one.temperature, one.num_cases) for one in own] == [(2, None), (0.5, None), (3, None)]
  model = mlseg.load(run)
  predictions = model.predict([cases.images[n, ..., 0] for n in (3, 4, 5)])
  probabilities = np.stack([one.probabilities for one in predictions]).reshape(-1, 2)
  error = expected_calibration_error(cases.masks[3:6].ravel(), probabilities)
  assert found.ensemble.pixels.after.ece == pytest.approx(error, abs=1e-3)


def test_data_that_changed_or_a_damaged_split_are_refused(own_test, tmp_path, capsys):
  run, _ = own_test
  copy = tmp_path / "copy"
  shutil.copytree(run, copy)

  def message(file, change):
    content = json.loads((run / file).read_text())
    (copy / file).write_text(json.dumps(change(content)))
    assert command.main(["mlseg", f"--workdir={copy}", f"--out={tmp_path / 'out'}"]) == 2
    (copy / file).write_bytes((run / file).read_bytes())
    return capsys.readouterr().err

  assert "the data have changed since" in message("config.json", lambda c: c | {"data": "other"})
  unknown = {str(seed): {"test": ["nobody"]} for seed in SEEDS}
  assert "split.json is damaged (it has no 'nobody')" in message(
    "split.json", lambda c: c | {"seeds": unknown}
  )
  assert "split.json is damaged (it has no 3)" in message(
    "split.json", lambda c: c | {"seeds": {"0": c["seeds"]["0"]}}
  )


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "--workdir is missing: --workdir and --out are needed"),
    (("--workdir=a", "--data=b"), "--out is missing: --workdir and --out are needed"),
    (("--workdir=a", "--out=b", "--data"), "--data has no value: it is given as --data=VALUE"),
    (("--workdir=a", "--out=b", "--data=c", "--views=two"), "unknown --views 'two': choose from"),
    (("--workdir=a", "--out=b", "--data=c", "more"), "unexpected argument 'more'"),
    (("--workdir=a", "--out=b", "--data=c", "--batch_size=0"), "--batch_size must be at least 1,"),
    (("--workdir=/no", "--out=b", "--data=c"), "workdir /no does not exist"),
  ],
)
def test_wrong_use_gets_one_line(words, message, capsys):
  assert command.main(["mlseg", *words]) == 2
  error = capsys.readouterr().err
  assert error.startswith(f"mlseg: {message}")
  assert error.count("\n") == 1


def test_data_that_cannot_be_tested_leave_no_folder(run, images, tmp_path, capsys):
  def refused(*words):
    options = [f"--workdir={run}", f"--out={tmp_path / 'new'}", *words]
    assert command.main(["mlseg", *options]) == 2
    assert not (tmp_path / "new").exists()
    return capsys.readouterr().err

  assert "--data.folder.images is missing: pattern" in refused("--data=x", "--data.name=folder")
  assert "data folder /no does not exist: --data.root needs" in refused("--data=/no")
  three = "--data.folder.classes=(('a', 0), ('b', 255), ('c', 7))"
  assert "--data has 3 classes (a, b, c), and the run 2 (background, lesion)" in refused(
    f"--data={images}", *PATTERNS, three
  )
  assert "--data.name must be 'cohort' for a run on volumes" in refused("--data.name=cohort")
  (tmp_path / "full").mkdir()
  (tmp_path / "full" / "mine.txt").write_text("")
  words = [f"--workdir={run}", f"--out={tmp_path / 'full'}", "--data.name=busi"]
  assert command.main(["mlseg", *words]) == 2
  assert "holds other files; give a new folder" in capsys.readouterr().err
