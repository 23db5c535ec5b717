"""Folders that are not BUSI train to the end: other names, colours, classes, patients, tables."""

import csv
import json
import pathlib

import numpy as np
import pytest

from mlseg import main
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import split as recipe_split
from mlseg.report import write
from mlseg.workdir import data_table, skipped_table
from tests.data import layouts

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "folder.py"
TINY = {
  "num_epochs": 2, "batch_size": 8, "data.image_size": 16, "data.fractions": (0.5, 0.25, 0.25),
  "model.depth": 2, "model.filters": 4, "metrics.num_processes": 1,
}  # fmt: skip


def _train(workdir, root, files, variant="variance+class_balanced_dice", **changes):
  """Returns the exit code of the main command on a folder."""
  flags = _flags(root, files, TINY | changes)
  return main.main(["main", f"--config={CONFIG}:{variant}", f"--workdir={workdir}", *flags])


def _flags(root, files, settings):
  """Returns the overrides that read a folder."""
  settings = settings | {"data.root": str(root)}
  settings |= {f"data.folder.{name}": value for name, value in files.items()}
  return [f"--config.{name}={value}" for name, value in settings.items()]


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


@pytest.mark.slow
def test_pixels_without_a_class_count_neither_in_training_nor_in_testing(tmp_path, capsys):
  """Two data sets that differ in pixels without a class alone give the same losses and scores."""
  rng, results = np.random.default_rng(0), []
  files = {"classes": (("background", 0), ("lesion", 1)), "ignore_label": (7, 9)}
  for n in range(32):
    image, mask = layouts.picture(rng, (16, 16))
    for root, value in (("one", 7), ("two", 9)):
      layouts.save(tmp_path / root / f"images/{n}.png", image)
      marked = mask.copy()
      marked[:, 8:] = value
      layouts.save(tmp_path / root / f"masks/{n}.png", marked)
  for root in ("one", "two"):
    out = tmp_path / f"run_{root}"
    assert _train(out, tmp_path / root, files) == 0, capsys.readouterr().err
    results.append(_rows(out / "cases.csv"))
  assert results[0] == results[1]
  pixels = [sum(int(row[name]) for name in ("tp", "fp", "fn", "tn")) for row in results[0]]
  assert set(pixels) == {16 * 8}


@pytest.mark.slow
def test_two_folders_with_colour_pictures_a_table_and_patients(tmp_path, capsys):
  root = layouts.bus_bra(tmp_path / "data", num_patients=16, channels=3, suffix=".jpg")
  files = layouts.BUS_BRA | {"images": "Images/bus_{name}.jpg", "channels": 3}
  assert _train(tmp_path / "run", root, files) == 0, capsys.readouterr().err
  (parts,) = json.loads((tmp_path / "run/split.json").read_text())["seeds"].values()
  assert sorted(map(len, parts.values())) == [8, 8, 16]
  rows = _rows(tmp_path / "run/cases.csv")
  assert {row["label"] for row in rows} == {"benign", "malignant"}
  assert {row["class"] for row in rows} == {"background", "lesion"}
  assert {row["id"] for row in rows} == set(parts["test"])
  with np.load(tmp_path / "run/examples.npz") as examples:
    assert examples["images"].shape == (8, 16, 16, 3)
  sides = [{name.partition("-")[0] for name in part} for part in parts.values()]
  assert sum(map(len, sides)) == 16  # no patient is on two sides


@pytest.mark.slow
def test_eight_classes_with_a_damaged_file_train_and_report_truthfully(tmp_path, capsys):
  root, damaged = layouts.otu(tmp_path / "data", count=40)
  files = layouts.OTU | {"duplicate_bits": -1}
  path = f"{root}/image/{damaged}.JPG"
  assert _train(tmp_path / "refused", root, files) == 2
  assert capsys.readouterr().err.startswith(f"mlseg: {path}: is not a readable picture (")
  assert not (tmp_path / "refused").exists()
  run = tmp_path / "run"
  assert _train(run, root, files, **{"data.skip_bad": True}) == 0, capsys.readouterr().err
  said = capsys.readouterr().out
  assert "data    left out, as config.data.skip_bad says: 1, such as " in said
  ((file, _),) = skipped_table.read(run)
  assert file == path
  data = data_table.read(run)
  assert len(data.ids) == 39
  assert str(damaged) not in data.ids
  classes = [name for name, _ in layouts.OTU_CLASSES]
  assert list(data.pixels) == classes
  for label, *counts in zip(data.labels, *data.pixels.values(), strict=True):
    assert {classes[n] for n in range(1, 9) if counts[n]} <= {label}
  page = write.report([run], tmp_path / "report").read_text()
  assert all(name in page for name in classes[1:])


@pytest.mark.slow
def test_bus_bra_trains_and_reports_truthfully(tmp_path, capsys):
  root = layouts.bus_bra(tmp_path / "data", num_patients=16)
  run = tmp_path / "run"
  assert _train(run, root, layouts.BUS_BRA | {"duplicate_bits": -1}) == 0, capsys.readouterr().err
  assert "data    1 file matches no pattern of config.data.folder: 5-fold-cv.csv" in (
    capsys.readouterr().out
  )
  data = data_table.read(run)
  patient_of = {name: name.partition("-")[0] for name in data.ids}
  malignant = {
    name for name, label in zip(data.ids, data.labels, strict=True) if label == "malignant"
  }
  assert malignant == {name for name, patient in patient_of.items() if int(patient) % 2}
  assert len(set(data.groups)) == 16
  page = write.report([run], tmp_path / "report").read_text()
  assert "malignant" in page
  assert "benign" in page


@pytest.mark.slow
def test_one_folder_with_three_classes_by_colour(tmp_path, capsys):
  root, _ = layouts.by_colour(tmp_path / "data", count=32)
  changes = {
    "data.placement": "host",
    "losses": ("cross_entropy", "generalized_dice", "boundary"),
    "augmentation.flip_horizontal": 0.5,
  }
  files = layouts.BY_COLOUR
  assert _train(tmp_path / "run", root, files, "fixed", **changes) == 0, capsys.readouterr().err
  rows = _rows(tmp_path / "run/cases.csv")
  assert [row["class"] for row in rows[:3]] == ["background", "benign", "malignant"]
  results = json.loads((tmp_path / "run/results.json").read_text())
  assert 0 <= results["metrics"]["dice"]["mean"] <= 1
  assert (tmp_path / "run/figures/predictions.png").stat().st_size > 0
  with np.load(tmp_path / "run/examples.npz") as examples:
    assert examples["masks"].max() == 2


@pytest.mark.parametrize(("bits", "pairs"), [(-1, 0), (0, 1), (255, 496)])
def test_the_recipe_says_what_is_a_near_duplicate(tmp_path, bits, pairs):
  root, _ = layouts.by_colour(tmp_path, count=32)
  for name in ("case1.png", "case1_mask.png"):
    (root / name.replace("1", "0")).write_bytes((root / name).read_bytes())
  flags = _flags(root, layouts.BY_COLOUR | {"duplicate_bits": bits}, TINY)
  recipe = experiment.read(parse.content(["", f"--config={CONFIG}", *flags])).data
  cases = recipe_data.load_cases(recipe)
  found = recipe_data.find_near_duplicates(cases)
  assert len(found) == pairs
  groups = grouped.groups(len(cases.ids), found, cases.patients)
  if bits == 255:  # one group cannot be split
    with pytest.raises(UserError, match="a group of 32 cases that belong together"):
      recipe_split.make_split(recipe, 8, cases, groups, 0)
  else:
    assert sum(map(len, recipe_split.make_split(recipe, 8, cases, groups, 0))) == 32


def test_a_wrong_number_of_bits_gives_one_line(tmp_path, capsys):
  root, _ = layouts.by_colour(tmp_path / "data")
  assert _train(tmp_path / "run", root, layouts.BY_COLOUR | {"duplicate_bits": 256}) == 2
  error = capsys.readouterr().err
  assert error == "mlseg: config.data.folder.duplicate_bits must be in [-1, 255], not 256\n"


def test_a_mistake_gives_one_line_and_leaves_no_run(tmp_path, capsys):
  root, _ = layouts.by_colour(tmp_path / "data")
  (root / "case2_mask.png").unlink()
  assert _train(tmp_path / "run", root, layouts.BY_COLOUR) == 2
  error = capsys.readouterr().err
  assert error == (
    f"mlseg: {root}/case2.png: has no mask, expected case2_mask.png in {root}"
    " (config.data.skip_bad=True leaves it out)\n"
  )
  assert not (tmp_path / "run").exists()
