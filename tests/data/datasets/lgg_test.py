"""TCGA-LGG: the published layout, both classes, patients, what must be refused; real patients."""

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

from mlseg.data import cases, prepare
from mlseg.data.datasets import lgg, sources
from mlseg.data.splits import cross_validation, grouped
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import losses as recipe_losses
from tests.data.layouts import save, write_table
from tests.recipe.configs_test import CONFIGS, _module

GRADES = {"TCGA_CS_4941": "2", "TCGA_CS_4942": "1", "TCGA_DU_A5TP": "", "TCGA_HT_7473": "1"}
PARTIAL = lgg.LggOptions(complete=False)


def _make(root, separator=",", num_slices=11):
  """Writes a small `kaggle_3m`: slices from 1, every other one with a tumour."""
  rng = np.random.default_rng(0)
  for number, patient in enumerate(GRADES):
    place = root / lgg.FOLDER / f"{patient}_1997010{number}"
    for n in range(1, num_slices + 1):
      mask = np.zeros((64, 64))
      mask[10 : 10 + n, 20:30] = 255 * (n % 2)
      save(place / f"{place.name}_{n}.tif", rng.integers(0, 256, (64, 64, 3)))
      save(place / f"{place.name}_{n}_mask.tif", mask)
  rows = [[patient, "", grade] for patient, grade in {**GRADES, "TCGA_XX_0000": "2"}.items()]
  header = ["Patient", "RNASeqCluster", "neoplasm_histologic_grade"]
  write_table(root / lgg.FOLDER / lgg.TABLE, header, rows, separator)
  (root / lgg.FOLDER / "README.md").write_text("as in the download")
  return root


@pytest.fixture
def folder(tmp_path):
  return _make(tmp_path / "download")


def _load(folder, **changes):
  options = PARTIAL._replace(**changes)
  cache = folder.parent / "cache"
  return cases.load(
    "lgg", root=str(folder), image_size=64, diameter=0, options=options, cache=cache
  )


def test_presence_is_read_from_the_mask_and_slices_are_in_order(folder):
  data = _load(folder)
  assert data.ids[:3] == tuple(f"TCGA_CS_4941_19970100_{n}" for n in (1, 2, 3))
  assert data.ids[9] == "TCGA_CS_4941_19970100_10"
  assert data.label_names == ("no tumour", "tumour")
  assert data.labels.tolist() == [1, 0] * 5 + [1] + ([1, 0] * 5 + [1]) * 3
  assert data.class_names == ("background", "tumour")
  np.testing.assert_array_equal(data.masks.any((1, 2)), data.labels)
  assert data.masks[2].sum() == 3 * 10
  assert data.patients.tolist() == np.repeat([0, 1, 2, 3], 11).tolist()


def test_pictures_are_the_files_in_three_channels_or_flair(folder):
  path = folder / lgg.FOLDER / "TCGA_CS_4941_19970100" / "TCGA_CS_4941_19970100_2.tif"
  expected = np.asarray(Image.open(path))
  np.testing.assert_array_equal(_load(folder).images[1], expected)
  np.testing.assert_array_equal(_load(folder, channels=1).images[1, ..., 0], expected[..., 1])


@pytest.mark.parametrize("separator", [",", ";"])
def test_the_grade_is_the_patients_and_who_has_none_is_left_out(tmp_path, separator):
  data = _load(_make(tmp_path / "download", separator), label="grade")
  assert data.label_names == ("grade II", "grade III")
  assert data.labels.tolist() == [1] * 11 + [0] * 22
  assert len(set(data.patients.tolist())) == 3
  assert not any(case.startswith("TCGA_DU_A5TP") for case in data.ids)


def test_slices_without_a_tumour_can_be_left_out(folder):
  data = _load(folder, label="grade", slices="tumour")
  assert len(data.ids) == 3 * 6
  assert data.masks.any((1, 2)).all()


def test_patients_alone_are_groups(folder):
  data = _load(folder)
  assert grouped.near_duplicates(data.hashes, 254)  # though pictures may be as near as anything
  assert recipe_data.find_near_duplicates(data) == []


def test_no_patient_crosses_in_a_split_or_a_fold(folder):
  data = _load(folder)
  group = grouped.groups(len(data.ids), [], data.patients)
  parts = [grouped.split(data.labels, group, fractions=(0.5, 0.25, 0.25), seed=0)]
  for part in parts + cross_validation.folds(data.labels, group, 3, seed=0):
    sides = [set(data.patients[side].tolist()) for side in part]
    assert sum(map(len, sides)) == 4


def test_the_section_of_a_recipe_has_the_options(folder, monkeypatch, tmp_path):
  monkeypatch.setenv("MLSEG_CACHE", str(tmp_path / "cache"))
  config = _module(CONFIGS[0].with_name("dmf_busi.py")).get_config()
  config.data.update({"name": "lgg", "root": str(folder), "image_size": 64, "diameter": 0})
  config.data.lgg = ConfigDict({"label": "grade", "channels": 1, "complete": False})
  loaded = recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  assert loaded.images.shape == (33, 64, 64, 1)
  config.data.lgg.grade = 1
  with pytest.raises(UserError, match=r"config\.data\.lgg: .*grade"):
    recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  del config.data["lgg"]
  with pytest.raises(UserError, match=r"lgg\.complete=False"):
    recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])


def test_the_builder_writes_what_is_loaded(folder, tmp_path, monkeypatch):
  for label in lgg.LABELS:
    own = lgg.Lgg.builder_configs[label]
    monkeypatch.setattr(own, "options", own.options._replace(complete=False))
    target = prepare.prepare("lgg", folder, tmp_path / "out", label)
    builder = tfds.builder_from_directory(target)
    rows = {row["id"].decode(): row for row in builder.as_data_source(split="train")}
    data = _load(folder, label=label)
    assert rows.keys() == set(data.ids)
    assert "buda2019association" in builder.info.citation
    names = builder.info.features["label"].names
    for n, case in enumerate(data.ids):
      np.testing.assert_array_equal(rows[case]["image"], data.images[n])
      np.testing.assert_array_equal(rows[case]["mask"][..., 0], data.masks[n])
      assert names[rows[case]["label"]] == data.label_names[data.labels[n]]
      assert case.startswith(rows[case]["patient"].decode())


def _spoiled(name, change):
  def spoil(folder):
    path = folder / lgg.FOLDER / "TCGA_CS_4942_19970101" / f"TCGA_CS_4942_19970101_{name}.tif"
    change(path)

  return spoil


def _table(text):
  return lambda folder: (folder / lgg.FOLDER / lgg.TABLE).write_text(text)


COLUMNS = "Patient,neoplasm_histologic_grade\n"
REFUSALS = {
  "mask": (_spoiled("3_mask", lambda p: p.unlink()), r"_3\.tif: has no mask, expected \S+_3_mask"),
  "slice": (_spoiled("3", lambda p: p.unlink()), r"_3_mask\.tif: is a mask without a slice"),
  "damage": (_spoiled("3", lambda p: p.write_bytes(b"II*")), r"_3\.tif: is not a PNG, JPEG"),
  "size": (
    _spoiled("3", lambda p: save(p, np.zeros((64, 32, 3)))),
    r"_3_mask\.tif: is 64×64, but its picture TCGA_CS_4942_19970101_3\.tif is 64×32",
  ),
  "no table": (lambda f: (f / lgg.FOLDER / lgg.TABLE).unlink(), "is not TCGA-LGG: it has no data"),
  "no row": (_table(COLUMNS + "TCGA_CS_4941,1\n"), "no row of the patient TCGA_CS_4942"),
  "grade": (_table(COLUMNS + "TCGA_CS_4941,4\n"), "TCGA_CS_4941 must be 1, 2 or empty, not '4'"),
  "column": (_table("Patient,grade\nTCGA_CS_4941,4\n"), "has no column 'neoplasm_histologic_"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_refused_by_name(folder, name):
  spoil, message = REFUSALS[name]
  spoil(folder)
  with pytest.raises(UserError, match=message):
    _load(folder, label="grade")
  assert not list((folder.parent / "cache").glob("*"))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"label": "stage"}, "unknown config.data.lgg.label 'stage': choose from grade, presence"),
    ({"slices": "some"}, "unknown config.data.lgg.slices 'some': choose from all, tumour"),
    ({"channels": 2}, "config.data.lgg.channels must be 1 or 3, not 2"),
    ({"slices": "tumour"}, "leaves one class"),
    ({"complete": True}, "TCGA-LGG has 110 patients, but 4 are here; --config.data.lgg.complete"),
  ],
)
def test_wrong_options_are_named(folder, options, message):
  with pytest.raises(UserError, match=re.escape(message)):
    _load(folder, **options)


def test_a_folder_of_something_else_is_refused(folder):
  for place in (folder / lgg.FOLDER).glob("TCGA*"):
    place.rename(place.with_name("case" + place.name))
  with pytest.raises(UserError, match="has no folders such as TCGA_CS_4941_19960909"):
    _load(folder)


@pytest.mark.shared
def test_real_patients(shared, tmp_path):
  root = shared / "data" / "lgg"
  data = cases.load("lgg", root=str(root), options=PARTIAL, cache=tmp_path)
  assert data.images.shape == (315, 128, 128, 3)
  assert np.bincount(data.labels).tolist() == [219, 96]
  assert np.bincount(data.patients).min() == 20
  assert len(set(data.patients.tolist())) == 10
  assert data.duplicate_bits == sources.NO_DUPLICATES
  near = grouped.near_duplicates(data.hashes)
  assert np.bincount(grouped.groups(315, near)).max() > 200  # why patients alone are groups
  group = grouped.groups(315, [], data.patients)
  for part in (
    grouped.split(data.labels, group, seed=0),
    *cross_validation.folds(data.labels, group, 5, seed=0),
  ):
    sides = [set(data.patients[side].tolist()) for side in part]
    assert sum(map(len, sides)) == 10
    assert all(len(set(data.labels[side].tolist())) == 2 for side in part)
