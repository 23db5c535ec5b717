"""The BUSI builder over folders in exactly the published layout, and what it must refuse."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from mlseg.data import prepare
from mlseg.data.datasets import busi
from mlseg.errors import UserError

HEIGHT, WIDTH = 40, 50


def _square(top, left, side=10):
  mask = np.zeros((HEIGHT, WIDTH), bool)
  mask[top : top + side, left : left + side] = True
  return mask


def _save(path, array, mode):
  grey = Image.fromarray(array.astype(np.uint8))
  picture = grey.convert(mode) if mode != "RGBA" else grey.convert("RGB").convert("RGBA")
  picture.save(path)


def _make(root):
  """Writes a small BUSI: every kind of picture and mask that the original has."""
  rng = np.random.default_rng(0)
  for label, modes in (
    ("benign", {1: ("L", "1"), 2: ("RGB", "RGBA"), 10: ("L", "RGB")}),
    ("malignant", {1: ("L", "L"), 2: ("L", "1")}),
    ("normal", {1: ("L", "1")}),
  ):
    folder = root / busi.FOLDER / label
    folder.mkdir(parents=True)
    for number, (mode, mask_mode) in modes.items():
      name = f"{label} ({number})"
      _save(folder / f"{name}.png", rng.integers(0, 256, (HEIGHT, WIDTH)), mode)
      mask = _square(5, 5) & (label != "normal")
      _save(folder / f"{name}_mask.png", 255 * mask, mask_mode)
  _save(root / busi.FOLDER / "benign" / "benign (10)_mask_1.png", 255 * _square(20, 20), "1")
  _save(root / busi.FOLDER / "benign" / "benign (10)_mask_2.png", 255 * _square(28, 28), "1")
  return root


@pytest.fixture
def folder(tmp_path):
  return _make(tmp_path / "originals")


def _built(folder, out, config="original"):
  source = tfds.builder_from_directory(prepare.prepare("busi", folder, out, config))
  splits = {name: source.as_data_source(split=name) for name in source.info.splits}
  return {row["id"].decode(): row for split in splits.values() for row in split}, source


def test_originals_come_back_with_label_id_and_size(folder, tmp_path):
  rows, builder = _built(folder, tmp_path / "out")
  assert list(sorted(rows)) == [
    "benign (1)", "benign (10)", "benign (2)", "malignant (1)", "malignant (2)", "normal (1)",
  ]  # fmt: skip
  names = builder.info.features["label"].names
  for case, row in rows.items():
    assert names[row["label"]] == case.split(" ")[0]
    assert (row["height"], row["width"]) == (HEIGHT, WIDTH)
    path = folder / busi.FOLDER / case.split(" ")[0] / f"{case}.png"
    np.testing.assert_array_equal(row["image"], np.asarray(Image.open(path).convert("RGB")))
  assert "aldhabyani2020busi" in builder.info.citation


@pytest.mark.parametrize("case", ["benign (1)", "benign (2)", "malignant (1)"])
def test_masks_of_every_mode_are_0_and_255(folder, tmp_path, case):
  rows, _ = _built(folder, tmp_path / "out")
  np.testing.assert_array_equal(rows[case]["mask"][..., 0], 255 * _square(5, 5))


def test_several_masks_become_their_union(folder, tmp_path):
  rows, _ = _built(folder, tmp_path / "out")
  union = _square(5, 5) | _square(20, 20) | _square(28, 28)
  np.testing.assert_array_equal(rows["benign (10)"]["mask"][..., 0], 255 * union)


def test_the_small_set_is_grey_128_without_normals(folder, tmp_path):
  rows, _ = _built(folder, tmp_path / "out", "size128")
  assert len(rows) == 5
  for row in rows.values():
    assert row["image"].shape == row["mask"].shape == (128, 128, 1)
    assert set(np.unique(row["mask"])) == {0, 255}


def test_the_set_of_normals_has_empty_masks(folder, tmp_path):
  rows, builder = _built(folder, tmp_path / "out", "normal128")
  assert list(rows) == ["normal (1)"]
  row = rows["normal (1)"]
  assert row["image"].shape == (128, 128, 1)
  assert not row["mask"].any()
  assert builder.info.features["label"].names[row["label"]] == "normal"


def test_normals_of_a_folder_come_last_where_they_are_asked_for(folder):
  for normal, labels in ((False, ("benign", "malignant")), (True, busi.LABELS)):
    source = busi.open_source(folder, busi.BusiOptions(normal=normal))
    assert source.label_names == labels
    examples = list(source.read())
    assert [one.label for one in examples] == sorted(one.label for one in examples)
    assert {one.label for one in examples} == set(labels)
    assert all(one.mask.any() == (one.label != "normal") for one in examples)


def test_a_parent_folder_and_the_folder_itself_are_the_same(folder):
  assert busi.find_cases(folder) == busi.find_cases(folder / busi.FOLDER)


def test_cases_are_in_the_order_of_their_numbers(folder):
  found = busi.find_cases(folder)
  assert list(found["benign"]) == ["benign (1)", "benign (2)", "benign (10)"]


def _benign(folder):
  return folder / busi.FOLDER / "benign"


def _no_mask(folder):
  (_benign(folder) / "benign (2)_mask.png").unlink()
  return r"benign \(2\)\.png: has no mask"


def _no_image(folder):
  (_benign(folder) / "benign (2).png").unlink()
  return r"benign \(2\)_mask\.png: is a mask without a picture"


def _other_size(folder):
  _save(_benign(folder) / "benign (10)_mask_1.png", np.zeros((HEIGHT, 49)), "1")
  return r"benign \(10\)_mask_1\.png: is 40×49, but its picture benign \(10\)\.png is 40×50"


def _empty(folder):
  (_benign(folder) / "benign (1).png").write_bytes(b"")
  return r"benign \(1\)\.png: the file is empty"


def _empty_mask_file(folder):
  (_benign(folder) / "benign (1)_mask.png").write_bytes(b"")
  return r"benign \(1\)_mask\.png: the file is empty"


def _truncated(folder):
  path = _benign(folder) / "benign (1).png"
  path.write_bytes(path.read_bytes()[:-700])
  return r"benign \(1\)\.png: is cut short or damaged"


def _without_its_end(folder):
  path = _benign(folder) / "benign (2)_mask.png"
  path.write_bytes(path.read_bytes()[:-1])
  return r"benign \(2\)_mask\.png: is cut short or damaged"


def _not_a_picture(folder):
  (_benign(folder) / "benign (1).png").write_text("hello")
  return r"benign \(1\)\.png: is not a PNG, JPEG, "


def _no_malignant(folder):
  for path in (folder / busi.FOLDER / "malignant").iterdir():
    path.unlink()
  (folder / busi.FOLDER / "malignant").rmdir()
  return "is not BUSI: expected .* without malignant"


def _no_pictures(folder):
  for path in _benign(folder).iterdir():
    path.unlink()
  return "benign is not BUSI: it has no PNG pictures"


REFUSALS = [
  _no_mask, _no_image, _other_size, _empty, _empty_mask_file, _truncated, _without_its_end,
  _not_a_picture, _no_malignant, _no_pictures,
]  # fmt: skip


@pytest.mark.parametrize("spoil", REFUSALS, ids=lambda f: f.__name__.strip("_"))
def test_what_is_wrong_is_refused_by_name_and_leaves_nothing(folder, tmp_path, spoil):
  message = spoil(folder)
  with pytest.raises(UserError, match=message):
    prepare.prepare("busi", folder, tmp_path / "out", "original")
  assert list((tmp_path / "out").iterdir()) == []


def test_hidden_files_are_passed_over(folder):
  before = busi.find_cases(folder)
  shutil.copy(_benign(folder) / "benign (1).png", _benign(folder) / "._benign (1).png")
  assert busi.find_cases(folder) == before


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "--root and --out are needed"),
    (["--root=nowhere", "--out=out"], "nowhere does not exist"),
    (["--root=.", "--out=out"], "data folder . is empty"),
    (
      ["--root=.", "--out=out", "--dataset=bussi"],
      "unknown dataset 'bussi': choose from bus_synthetic, busc, busi, glas, isic_2018, lgg",
    ),
    (["--root=.", "--out=out", "--config=tiny"], "choose from normal128, original, size128"),
    (["--fast"], "fast"),
  ],
)
def test_the_prepare_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, message):
  monkeypatch.chdir(tmp_path)
  assert prepare.main(["prepare", *arguments]) == 2
  error = capsys.readouterr().err
  assert message in error
  assert error.count("\n") == 1


def test_the_prepare_command_says_where_the_result_is(folder, tmp_path, capsys):
  assert prepare.main(["prepare", f"--root={folder}", f"--out={tmp_path / 'out'}"]) == 0
  target = pathlib.Path(capsys.readouterr().out.strip())
  assert target == tmp_path / "out" / "busi" / "original" / "1.0.0"
  assert json.loads((target / "dataset_info.json").read_text())["fileFormat"] == "array_record"


def test_the_prepare_command_names_a_damaged_file_in_one_line(folder, tmp_path, capsys):
  _truncated(folder)
  assert prepare.main(["prepare", f"--root={folder}", f"--out={tmp_path / 'out'}"]) == 2
  error = capsys.readouterr().err
  assert "benign (1).png: is cut short" in error
  assert error.count("\n") == 1


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(folder, tmp_path):
  contents = []
  for out in (tmp_path / "one", tmp_path / "two"):
    command = [sys.executable, "-m", "mlseg.data.prepare", f"--root={folder}", f"--out={out}"]
    subprocess.run(command, check=True, capture_output=True)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    contents.append({path.relative_to(out): path.read_bytes() for path in files})
  assert len(contents[0]) == 7  # three splits and four descriptions
  assert contents[0] == contents[1]


@pytest.mark.slow
@pytest.mark.shared
def test_the_embedded_set_is_what_the_command_makes_of_the_originals(shared, tmp_path):
  root = shared / "data" / "busi"
  rows = _built(root, tmp_path, "size128")[0] | _built(root, tmp_path, "normal128")[0]
  embedded = {
    row["id"].decode(): row
    for folder, splits in (
      (busi.EMBEDDED, ("benign", "malignant")),
      (busi.EMBEDDED_NORMAL, ("normal",)),
    )
    for split in splits
    for row in tfds.builder_from_directory(folder).as_data_source(split=split)
  }
  assert len(embedded) == 780
  assert rows.keys() == embedded.keys()
  for case, row in rows.items():
    for name, value in row.items():
      np.testing.assert_array_equal(value, embedded[case][name], err_msg=f"{case} {name}")


def test_the_embedded_set_has_all_cases_and_no_path_of_a_machine():
  folder = busi.EMBEDDED.parents[1]
  files = [path for path in folder.rglob("*") if path.is_file()]
  assert {"README.md", "dataset_info.json"} <= {path.name for path in files}
  assert sum(path.stat().st_size for path in files) < 10_000_000
  for path in files:
    assert b"/tmp" not in path.read_bytes()
    assert b"/home" not in path.read_bytes()


def test_reading_imports_no_tensorflow():
  code = (
    "import sys; from mlseg.data import cases; data = cases.load('busi');"
    "assert len(data.ids) == 647; assert 'tensorflow' not in sys.modules"
  )
  subprocess.run([sys.executable, "-c", code], check=True)
