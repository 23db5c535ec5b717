"""The predict command end to end: the same as the run's own predictions, its files, its errors."""

import csv
import errno
import json
import pathlib
import shutil

import cv2
import jax
import numpy as np
import pydicom
import pytest
from ml_collections import ConfigDict
from PIL import Image
from scipy import ndimage

from mlseg import predict
from mlseg.console import Reporter
from mlseg.data.datasets import busi
from mlseg.prediction import outputs
from mlseg.recipe import experiment, parse
from mlseg.recipe import model as recipe_model
from mlseg.training import train
from mlseg.workdir import model_file
from tests.io.pictures.dicom_test import make_dataset

SMOKE = f"--config={pathlib.Path(__file__).parents[2] / 'configs' / 'smoke.py'}"
SIZE = 32


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Returns the folder of a run of one seed."""
  workdir = tmp_path_factory.mktemp("run") / "run"
  overrides = ["--config.num_epochs=3", "--config.metrics.surface=False"]
  config, _ = parse.parse(["mlseg.main", SMOKE, *overrides])
  train.train(experiment.read(config), workdir, Reporter(quiet=True))
  return workdir


def _run(workdir, images, out, *more):
  arguments = [f"--workdir={workdir}", f"--images={images}", f"--out={out}", *more]
  return predict.main(["mlseg.predict", *arguments])


def _rows(out):
  with (out / "predictions.csv").open(newline="") as file:
    return list(csv.DictReader(file))


def _mask(out, name):
  return np.asarray(Image.open(out / "masks" / f"{name}.png"))


@pytest.fixture(scope="module")
def originals(trained, tmp_path_factory):
  """Returns a folder of the run's test pictures as they were before filter and reduction."""
  folder = tmp_path_factory.mktemp("originals")
  with np.load(trained / "examples.npz", allow_pickle=False) as file:
    wanted = set(file["ids"].tolist())
  for example in busi.open_embedded().read():
    if example.id in wanted:
      Image.fromarray(example.image).save(folder / f"{example.id}.png")
  return folder


@pytest.fixture(scope="module")
def examples(trained):
  with np.load(trained / "examples.npz", allow_pickle=False) as file:
    return dict(file)


def test_it_predicts_what_the_run_itself_predicted(trained, originals, examples, tmp_path):
  images, out = tmp_path / "in", tmp_path / "out"
  images.mkdir()
  for path in originals.iterdir():
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    Image.fromarray(small).save(images / path.name)
  assert _run(trained, images, out, "--noflips", "--batch_size=7") == 0
  masks = np.stack([_mask(out, name) for name in examples["ids"]])
  np.testing.assert_array_equal(masks, 255 * examples["predictions"])
  assert masks.any(axis=(1, 2)).mean() > 0.5
  assert {row["flip_spread"] for row in _rows(out)} == {""}


def test_predictions_are_restored_to_the_size_of_the_picture(
  trained, originals, examples, tmp_path, capfd
):
  out = tmp_path / "out"
  assert _run(trained, originals, out) == 0
  assert capfd.readouterr().err == ""
  config = ConfigDict(json.loads((trained / "config.json").read_text())["config"])
  model, images = recipe_model.make_model(config, 2), examples["images"].astype(np.float32) / 255
  logits = model.apply(model_file.read(trained)[0], images, False)[0].logits
  shares = 1 / (1 + np.exp(np.asarray(logits[..., 0] - logits[..., 1])))
  rows = {row["file"]: row for row in _rows(out)}
  for name, share in zip(examples["ids"], shares, strict=True):
    # Pillow's own interpolation, which for a larger picture is the bilinear one.
    large = np.asarray(Image.fromarray(share).resize((128, 128), Image.Resampling.BILINEAR))
    mask = _mask(out, name)
    sure = abs(large - 0.5) > 1e-4
    np.testing.assert_array_equal(mask[sure] == 255, large[sure] > 0.5)
    if mask.any():
      probability = float(rows[f"{name}.png"]["mean_probability"])
      assert probability == pytest.approx(large[mask == 255].mean(), abs=1e-4)


def test_the_table_says_what_the_masks_show(trained, originals, tmp_path):
  images, out = tmp_path / "in", tmp_path / "out"
  images.mkdir()
  for path in sorted(originals.iterdir())[:5]:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    Image.fromarray(cv2.resize(grey, (211, 37))).save(images / path.name)
  assert _run(trained, images, out) == 0
  rows = _rows(out)
  assert [row["file"] for row in rows] == sorted(path.name for path in images.iterdir())
  for row in rows:
    mask = np.asarray(Image.open(out / row["mask"]))
    overlay = np.asarray(Image.open(out / "overlays" / pathlib.Path(row["mask"]).name))
    assert mask.shape == (37, 211) == overlay.shape[:2]
    assert (row["width"], row["height"], row["class"]) == ("211", "37", "lesion")
    area = np.count_nonzero(mask)
    assert int(row["area_pixels"]) == area
    assert float(row["area_fraction"]) == pytest.approx(area / 37 / 211, rel=1e-5, abs=0)
    assert int(row["components"]) == ndimage.label(mask, ndimage.generate_binary_structure(2, 2))[1]
    assert 0 <= float(row["flip_spread"]) <= 1
    assert row["seed_spread"] == row["area_mm2"] == ""
    assert (row["mean_probability"] == "") == (area == 0)
    assert area == 0 or 0.5 < float(row["mean_probability"]) <= 1
    picture = np.asarray(Image.open(images / row["file"]))
    changed = (overlay != picture[..., None]).any(-1)
    np.testing.assert_array_equal(changed & (mask > 0), changed)
  assert any(int(row["area_pixels"]) for row in rows)


@pytest.mark.slow
def test_several_seeds_kinds_and_places(trained, originals, tmp_path, capfd):
  workdir, images, out = tmp_path / "run", tmp_path / "in", tmp_path / "in" / "out"
  shutil.copytree(trained, workdir)
  best = model_file.read(workdir)
  best[1] = {
    k: {n: {m: v * 0.9 for m, v in t.items()} for n, t in g.items()} for k, g in best[0].items()
  }
  model_file.write(workdir, best)
  grey = cv2.imread(str(min(originals.iterdir())), cv2.IMREAD_GRAYSCALE)
  (images / "b").mkdir(parents=True)
  Image.fromarray(grey).save(images / "a.png")
  Image.fromarray(grey).save(images / "b" / "a.jpg")
  Image.fromarray(grey).convert("RGB").save(images / "b" / "a.bmp")
  pydicom.dcmwrite(
    images / "IM1", make_dataset(grey, 8, PixelSpacing=[0.5, 0.25]), enforce_file_format=True
  )
  Image.fromarray(grey).save(images / "c.tif", save_all=True, append_images=[Image.fromarray(grey)])
  (images / "notes.txt").write_text("left out")
  assert _run(workdir, images, out) == 0
  said = capfd.readouterr().out
  assert "c.tif: the first of 2 pages is predicted" in said
  assert "1 other file left out" in said
  rows = {row["file"]: row for row in _rows(out)}
  assert {name: row["mask"] for name, row in rows.items()} == {
    "IM1": "masks/IM1.png",
    "a.png": "masks/a.png",
    "b/a.bmp": "masks/b/a.bmp.png",
    "b/a.jpg": "masks/b/a.jpg.png",
    "c.tif": "masks/c.png",
  }
  for name in ("IM1", "b/a.bmp", "c.tif"):
    same = ("area_pixels", "flip_spread", "seed_spread", "mean_probability")
    assert [rows[name][key] for key in same] == [rows["a.png"][key] for key in same]
  assert float(rows["IM1"]["area_mm2"]) == int(rows["IM1"]["area_pixels"]) / 8
  assert 0 < float(rows["a.png"]["seed_spread"]) <= 1
  assert json.loads((out / "predict.json").read_text())["seeds"] == [0, 1]
  # The same command may be given again, and does not predict its own results.
  before = (out / "predictions.csv").read_bytes()
  assert _run(workdir, images, out) == 0
  assert (out / "predictions.csv").read_bytes() == before
  assert not [path for path in out.rglob(".*")]


@pytest.mark.slow
def test_three_classes_and_colours(trained, tmp_path):
  workdir, images, out = tmp_path / "run", tmp_path / "in", tmp_path / "out"
  for folder in (workdir, images):
    folder.mkdir()
  text = (trained / "config.json").read_text()
  (workdir / "config.json").write_text(text)
  header = "id,label,group,pixels_background,pixels_lesion,pixels_vessel\n"
  (workdir / "data.csv").write_text(header)
  config = ConfigDict(json.loads(text)["config"])
  model, key = recipe_model.make_model(config, 3), jax.random.key(1)
  variables = model.init(key, np.zeros((1, SIZE, SIZE, 3), np.float32))
  model_file.write(workdir, {0: jax.tree.map(np.asarray, variables)})
  colours = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
  Image.fromarray(colours).save(images / "a.png")
  Image.fromarray(colours[..., 0]).save(images / "grey.png")
  assert _run(workdir, images, out) == 0
  data = config.data
  filtered = cv2.bilateralFilter(colours, data.diameter, data.sigma_intensity, data.sigma_space)
  logits = model.apply(variables, filtered[None].astype(np.float32) / 255, False)[0].logits
  np.testing.assert_array_equal(_mask(out, "a"), logits[0].argmax(-1))
  rows = _rows(out)
  assert [(row["file"], row["class"]) for row in rows] == [
    (name, label) for name in ("a.png", "grey.png") for label in ("lesion", "vessel")
  ]
  for label, row in enumerate(rows[:2], start=1):
    assert int(row["area_pixels"]) == (_mask(out, "a") == label).sum()


def test_broken_files_are_reported_and_skipped(trained, originals, tmp_path, capfd):
  images, out = tmp_path / "in", tmp_path / "out"
  images.mkdir()
  whole = min(originals.iterdir())
  shutil.copy(whole, images / "good.png")
  (images / "cut.png").write_bytes(whole.read_bytes()[:-30])
  (images / "empty.jpg").touch()
  (images / "text.tif").write_text("no picture")
  assert _run(trained, images, out) == 1
  lines = capfd.readouterr().err.splitlines()
  assert [line.split(": ")[1] for line in lines[:3]] == [
    str(images / name) for name in ("cut.png", "empty.jpg", "text.tif")
  ]
  assert lines[3:] == ["mlseg: 3 of 4 files could not be predicted"]
  assert [row["file"] for row in _rows(out)] == ["good.png"]
  assert _run(trained, images / "empty.jpg", tmp_path / "one") == 1
  assert _rows(tmp_path / "one") == []


def test_no_name_of_a_file_ends_the_whole(trained, originals, tmp_path, capfd):
  images, out = tmp_path / "in", tmp_path / "out"
  (images / "x.png").mkdir(parents=True)
  whole, long = min(originals.iterdir()), "图" * 82 + ".png"
  for name in ("a.png", long, "x", "x.png/b.png"):
    shutil.copy(whole, images / name)
  assert _run(trained, images, out, "--noflips") == 0
  assert capfd.readouterr().err == ""
  rows = {row["file"]: row["mask"] for row in _rows(out)}
  assert rows.keys() == {"a.png", long, "x", "x.png/b.png"}
  expected = _mask(out, "a")
  for mask in rows.values():
    np.testing.assert_array_equal(np.asarray(Image.open(out / mask)), expected)


def test_a_file_whose_result_cannot_be_written_is_reported(
  trained, originals, tmp_path, capfd, monkeypatch
):
  images, out = tmp_path / "in", tmp_path / "out"
  images.mkdir()
  for name in ("a.png", "b.png", "c.png"):
    shutil.copy(min(originals.iterdir()), images / name)
  write = outputs.write_file

  def refuse(path, content):
    if path.name == "b.png":
      raise OSError(errno.ENAMETOOLONG, "File name too long")
    write(path, content)

  monkeypatch.setattr(outputs, "write_file", refuse)
  assert _run(trained, images, out, "--noflips") == 1
  assert capfd.readouterr().err.splitlines() == [
    "mlseg: b.png: its result cannot be written (File name too long)",
    "mlseg: 1 of 3 files could not be predicted",
  ]
  assert [row["file"] for row in _rows(out)] == ["a.png", "c.png"]


def test_values_of_16_bits_are_scaled_as_in_training(trained, tmp_path):
  images, workdir = tmp_path / "in", tmp_path / "run"
  images.mkdir()
  shutil.copytree(trained, workdir)
  text = (trained / "config.json").read_text()
  assert '"sixteen_bit": "minmax"' in text
  (workdir / "config.json").write_text(text.replace('"minmax"', '"range"'))
  deep = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) * 4).astype(np.uint16)
  Image.fromarray(deep).save(images / "a.png")
  for run, given, expected in (
    (trained, (), "minmax"), (workdir, (), "range"), (workdir, ("--sixteen_bit=minmax",), "minmax")
  ):  # fmt: skip
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    assert _run(run, images, out, "--noflips", *given) == 0
    assert json.loads((out / "predict.json").read_text())["sixteen_bit"] == expected


WRONG = {
  "no flags": ([], "--workdir is missing"),
  "no out": (["--workdir=run", "--images=in"], "--out is missing"),
  "unknown flag": (["--wrkdir=x"], "wrkdir"),
  "stray": (["--workdir=run", "fast"], "unexpected argument 'fast'"),
  "scaling": ("--sixteen_bit=log", "unknown --sixteen_bit 'log': choose from minmax, range"),
  "batch": ("--batch_size=0", "--batch_size must be at least 1, not 0"),
  "batch type": ("--batch_size=x", "batch_size"),
  "no run": ("--workdir=nowhere", "workdir nowhere does not exist"),
  "no config": ("--workdir=in", "config.json cannot be read (No such file or directory)"),
  "no model": ("--workdir=unfinished", "model.npz is not there: a run writes it when"),
  "other model": ("--workdir=other", "has other arrays than the network of config.json"),
  "damaged model": ("--workdir=damaged", "is damaged"),
  "damaged config": ("--workdir=unreadable", "is not the config of a run"),
  "no images": ("--images=nowhere", "--images: nowhere does not exist"),
  "no pictures": ("--images=empty", "no pictures in empty (1 other file)"),
  "foreign": ("--out=foreign", "--out: foreign holds other files"),
  "other command": ("--out=done", "--out: done holds predictions of another command"),
  "out is a file": ("--out=in/good.png", "--out: in/good.png cannot be written (File exists)"),
}


@pytest.fixture(scope="module")
def place(trained, originals, tmp_path_factory):
  """Returns a folder with runs and pictures, of which some are wrong."""
  root = tmp_path_factory.mktemp("place")
  for name in ("run", "unfinished", "other", "damaged", "unreadable"):
    shutil.copytree(trained, root / name)
  (root / "unfinished" / "model.npz").unlink()
  (root / "damaged" / "model.npz").write_bytes((trained / "model.npz").read_bytes()[:-500])
  text = (trained / "config.json").read_text()
  (root / "other" / "config.json").write_text(text.replace('"filters": 4', '"filters": 8'))
  (root / "unreadable" / "config.json").write_text(text[:100])
  for name in ("in", "empty", "foreign", "done"):
    (root / name).mkdir()
  shutil.copy(min(originals.iterdir()), root / "in" / "good.png")
  (root / "empty" / "notes.txt").write_text("nothing")
  (root / "foreign" / "masks").mkdir()
  (root / "done" / "predict.json").write_text('{"model": "another"}')
  return root


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_gets_one_line_and_code_2(case, place, monkeypatch, capfd):
  arguments, expected = WRONG[case]
  if isinstance(arguments, str):
    arguments = ["--workdir=run", "--images=in", "--out=out", arguments]
  monkeypatch.chdir(place)
  before = sorted(place.rglob("*"))
  assert predict.main(["mlseg.predict", *arguments]) == 2
  said = capfd.readouterr()
  assert expected in said.err
  assert said.err.startswith("mlseg: ")
  assert said.err.count("\n") == 1, said.err
  assert said.out == ""
  assert sorted(place.rglob("*")) == before


def test_help_shows_the_text_and_the_flags(capsys):
  with pytest.raises(SystemExit) as info:
    predict.main(["mlseg.predict", "--help"])
  assert info.value.code == 0
  said = capsys.readouterr().out
  assert "overlays/NAME.png" in said
  assert "--sixteen_bit" in said


@pytest.mark.slow
def test_a_command_that_is_stopped_leaves_whole_files(trained, originals, tmp_path, monkeypatch):
  def stop(*_):
    raise KeyboardInterrupt

  out = tmp_path / "out"
  with monkeypatch.context() as patch:
    patch.setattr(Reporter, "advance", stop)
    assert _run(trained, originals, out, "--batch_size=4") == 130
  assert not (out / "predictions.csv").exists()
  masks = list((out / "masks").iterdir())
  assert len(masks) == 4
  assert all(np.asarray(Image.open(path)).shape == (128, 128) for path in masks)
  assert _run(trained, originals, out, "--batch_size=64") == 0
  assert len(_rows(out)) == len(list(originals.iterdir()))
