"""The multi-task and gland recipes on a user's own folders: made images, trained and predicted."""

import csv
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from mlseg import main, predict
from tests.data import layouts

pytestmark = pytest.mark.slow  # the trainings take a minute

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SIZES = ((44, 60), (36, 50), (57, 41))
GLANDS = {
  "data.folder.classes": "(('background', 0), ('gland', 1), ('lumen', 2))",
  "model.containment": "((2, 1),)", "data.folder.table": "cases.csv",
  "data.folder.id_column": "name", "data.folder.label_column": "grade",
  "data.folder.patient_column": "patient", "data.patch_size": 32, "model.depth": 2,
  "model.filters": 4, "batch_size": 4, "num_epochs": 2, "metrics.num_processes": 1,
  "data.fractions": (0.4, 0.3, 0.3),
}  # fmt: skip
MULTITASK = {
  "data.folder.images": "images/{label}/{name}.png",
  "data.folder.masks": "masks/{label}/{name}.png", "data.image_size": 32, "num_epochs": 1,
  "batch_size": 8, "model.pretrained": "none", "model.width": 0.35,
  "model.decoder_filters": (8, 8, 8, 8, 8), "metrics.num_processes": 1, "metrics.surface": False,
}  # fmt: skip


def _train(recipe, root, workdir, settings):
  flags = [f"--config.{key}={value}" for key, value in settings.items()]
  command = ["main", f"--config={CONFIGS}/{recipe}", f"--config.data.root={root}"]
  return main.main([*command, f"--workdir={workdir}", *flags])


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def _gland(rng, height, width):
  """Returns an image of two glands with lumen, [H, W, 3], and its classes [H, W]."""
  y, x = np.mgrid[:height, :width]
  mask = np.zeros((height, width), np.uint8)
  for _ in range(2):
    distance = np.hypot(y - rng.integers(10, height - 10), x - rng.integers(10, width - 10))
    mask[distance < 9] = 1
    mask[distance < 4] = 2
  colours = np.array([[230, 150, 200], [120, 40, 130], [250, 245, 250]], np.uint8)
  return colours[mask] - rng.integers(0, 9, (height, width, 3), dtype=np.uint8), mask


@pytest.fixture(scope="module")
def glands(tmp_path_factory):
  """A folder of 18 images of three sizes and nine patients, with a table of grades."""
  root, rng = tmp_path_factory.mktemp("glands"), np.random.default_rng(0)
  rows = []
  for number in range(18):
    image, mask = _gland(rng, *SIZES[number % 3])
    layouts.save(root / "images" / f"g{number}.png", image)
    layouts.save(root / "masks" / f"g{number}.png", mask)
    rows.append([f"g{number}", ("benign", "malignant")[number // 2 % 2], number // 2])
  layouts.write_table(root / "cases.csv", ["name", "grade", "patient"], rows)
  return root


def test_glands_with_lumen_in_images_of_several_sizes(glands, tmp_path, capsys):
  run = tmp_path / "run"
  assert _train("glands.py:folder", glands, run, GLANDS) == 0, capsys.readouterr().err
  said = capsys.readouterr().out
  assert "data    folder, 18 images of up to 57×60, " in said
  rows = _rows(run / "cases.csv")
  assert [row["class"] for row in rows[:3]] == ["background", "gland", "lumen"]
  for row in rows:
    height, width = SIZES[int(row["id"].removeprefix("g")) % 3]
    assert sum(int(row[name]) for name in ("tp", "fp", "fn", "tn")) == height * width
    is_scored = np.isfinite(float(row["object_dice"]))
    assert is_scored == (row["class"] != "background")
  lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  assert all(np.isfinite(value) for value in lines[-1]["losses"].values())
  assert lines[-1]["losses"]["topology"] > 0
  assert {row["label"] for row in _rows(run / "diagnoses.csv")} == {"benign", "malignant"}
  layouts.save(tmp_path / "new" / "a.png", _gland(np.random.default_rng(1), 70, 45)[0])
  layouts.save(tmp_path / "new" / "b.png", _gland(np.random.default_rng(2), 24, 90)[0])
  words = [f"--workdir={run}", f"--images={tmp_path / 'new'}", f"--out={tmp_path / 'out'}"]
  assert predict.main(["predict", *words]) == 0
  assert "32×32, in tiles" in capsys.readouterr().out
  for name, size in (("a", (45, 70)), ("b", (90, 24))):
    with Image.open(tmp_path / "out/masks" / f"{name}.png") as mask:
      assert mask.size == size
  assert len(_rows(tmp_path / "out/diagnoses.csv")) == 2


def test_masks_and_diagnoses_by_the_folders_that_hold_them(tmp_path, capsys, short_encoder):
  root, rng = tmp_path / "data", np.random.default_rng(0)
  for number in range(40):
    label = ("benign", "malignant")[number % 2]
    image, mask = layouts.picture(rng)
    layouts.save(root / "images" / label / f"{number}.png", image)
    layouts.save(root / "masks" / label / f"{number}.png", 255 * mask)
  settings = MULTITASK | {"data.folder.duplicate_bits": -1}
  run = tmp_path / "run"
  code = _train("multitask_busi.py:folder+mobilenet_v2", root, run, settings)
  assert code == 0, capsys.readouterr().err
  metrics = json.loads((run / "results.json").read_text())["metrics"]
  assert {"dice", "classification_accuracy", "roc_auc"} <= metrics.keys()
  assert {row["label"] for row in _rows(run / "diagnoses.csv")} == {"benign", "malignant"}
  assert {row["class"] for row in _rows(run / "cases.csv")} == {"background", "lesion"}
  one = settings | {
    "data.folder.images": "images/benign/{name}.png",
    "data.folder.masks": "masks/benign/{name}.png",
  }
  assert _train("multitask_busi.py:folder", root, tmp_path / "none", one) == 2
  assert "config.data.folder names no diagnosis" in capsys.readouterr().err
  assert not (tmp_path / "none").exists()
