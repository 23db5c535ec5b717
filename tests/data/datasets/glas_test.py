"""Warwick-QU: the published layout, its table with stray blanks, parts; what must be refused."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from mlseg.data import cases, prepare, targets
from mlseg.data.datasets import glas
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import split as recipe_split
from tests.data.layouts import save

PARTIAL = glas.GlasOptions(complete=False)
# Name, patient, both grades, as in the table.
ROWS = [
  ("testA_1", 2, " benign", " adenomatous"),
  ("testB_1", 3, " malignant", " poorly differentiated"),
  ("train_1", 1, " benign", " healthy"),
  ("train_10", 2, " malignant", " moderately-to-poorly differentated"),
  *((f"train_{n}", 1 + n % 4, " benign", " healthy") for n in range(2, 10)),
]
HEADER = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"


def _make(root, extension=".bmp"):
  rng = np.random.default_rng(0)
  for number, (name, *_) in enumerate(ROWS):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 5:25], mask[20:30, 30 : 40 + number] = 1, 2  # two glands, by number
    save(root / f"{name}{extension}", rng.integers(0, 256, (40, 60, 3)))
    save(root / f"{name}_anno.bmp", mask)
  lines = [HEADER, *(",".join(map(str, row)) for row in ROWS)]
  (root / glas.TABLE).write_text("\n".join(lines) + "\n")
  return root


@pytest.fixture
def folder(tmp_path):
  return _make(tmp_path / "download" / glas.FOLDER)


def _load(folder, **changes):
  options = PARTIAL._replace(**changes)
  cache = folder.parent / "cache"
  return cases.load(
    "glas", root=str(folder), image_size=64, diameter=0, options=options, cache=cache
  )


@pytest.mark.parametrize("extension", [".bmp", ".png", ".jpg"])
def test_the_published_layout(tmp_path, extension):
  data = _load(_make(tmp_path / glas.FOLDER, extension))
  assert data.ids[:4] == ("testA_1", "testB_1", "train_1", "train_2")
  assert data.ids[-1] == "train_10"
  assert data.class_names == ("background", "gland")
  assert data.label_names == ("benign", "malignant")
  assert data.labels.tolist() == [0, 1] + [0] * 9 + [1]
  assert data.is_test.tolist() == [True, True] + [False] * 10
  assert data.patients[0] == data.patients[-1] != data.patients[2]
  assert set(np.unique(data.masks)) == {0, 1}
  assert data.images.shape == (12, 64, 64, 3)
  np.testing.assert_array_equal(data.objects > 0, data.masks == 1)


def test_single_glands_keep_their_numbers(folder):
  for name in ("train_1", "train_2"):
    with Image.open(folder / f"{name}_anno.bmp") as image:
      size = image.size[::-1]
    mask = np.zeros(size, np.uint8)
    mask[5:15, 5:25], mask[5:15, 25:30], mask[20:30, 30:50] = 3, 7, 200  # two of them touch
    save(folder / f"{name}_anno.bmp", mask)
  shape = mask.shape[0] + 4, mask.shape[1] + 6
  save(folder / "train_3.bmp", np.zeros((*shape, 3)))
  save(folder / "train_3_anno.bmp", np.full(shape, 9))
  options = {"root": str(folder), "diameter": 0, "options": PARTIAL}
  data = cases.load("glas", **options, image_size=0, cache=folder.parent / "cache")
  assert data.objects.shape == data.masks.shape == (12, *shape)
  for index in (2, 3):
    np.testing.assert_array_equal(data.objects[index, : mask.shape[0], : mask.shape[1]], mask)
    assert not data.objects[index, mask.shape[0] :].any()
  found = targets.number_objects(data.masks, 2, data.objects)[2]
  assert [np.unique(data.objects[2][found == n]).tolist() for n in (1, 2)] == [[3], [200]]


def test_the_folder_may_be_the_one_around_it_and_pictures_grey(folder):
  data, around = _load(folder, channels=1), _load(folder.parent, channels=1)
  assert data.images.shape == (12, 64, 64, 1)
  np.testing.assert_array_equal(data.images, around.images)


def test_pictures_may_be_reduced(folder):
  options = {"root": str(folder), "diameter": 0, "image_size": 0, "cache": folder.parent / "cache"}
  whole = cases.load("glas", **options, options=PARTIAL)
  data = cases.load("glas", **options, options=PARTIAL._replace(reduction=4))
  assert data.images.shape == (12, 10, 15, 3)
  areas = whole.images.reshape(12, 10, 4, 15, 4, 3).mean((2, 4))
  np.testing.assert_allclose(data.images, areas, atol=0.51)
  assert data.objects[0, 2, 3] == 1
  assert data.objects[0, 6, 8] == 2
  assert set(np.unique(data.objects)) == {0, 1, 2}
  with pytest.raises(UserError, match=r"config\.data\.glas\.reduction must be 1 to 16, not 0"):
    cases.load("glas", **options, options=PARTIAL._replace(reduction=0))


def test_kinds_of_tissue_and_a_misspelt_one(folder):
  data = _load(folder, label="histology")
  assert data.label_names == (
    "healthy", "adenomatous", "moderately-to-poorly differentiated", "poorly differentiated",
  )  # fmt: skip
  assert data.label_names[data.labels[-1]] == "moderately-to-poorly differentiated"


def test_the_published_test_part_is_the_test_part_of_every_seed(folder):
  data = _load(folder)
  group = grouped.groups(len(data.ids), [], data.patients)
  recipe = recipe_data.DataRecipe("glas", str(folder), 64, 0, 2.0, 25.0, split="published")
  made = [recipe_split.make_split(recipe, 2, data, group, seed) for seed in range(4)]
  for split in made:
    assert split.test.tolist() == [0, 1]
    assert sorted([*split.train, *split.validation]) == list(range(2, 12))
    assert len(split.validation) == 2  # 0.15 / 0.85 of ten
  assert len({tuple(split.train.tolist()) for split in made}) > 1
  with pytest.raises(UserError, match="num_folds must be 0 with split='published'"):
    recipe_data.check(recipe._replace(num_folds=3))
  with pytest.raises(UserError, match="'glas' has no published test part"):
    recipe_split.make_split(recipe, 2, data._replace(is_test=None), group, 0)
  with pytest.raises(
    UserError, match="unknown split 'public': choose from file, grouped, published"
  ):
    recipe_data.check(recipe._replace(split="public"))


def _without(name):
  return lambda folder: (folder / name).unlink()


def _table(old, new):
  def change(folder):
    path = folder / glas.TABLE
    path.write_text(path.read_text().replace(old, new))

  return change


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (_without("train_3_anno.bmp"), r"train_3\.bmp: has no mask, expected train_3_anno\.bmp"),
    (_without("train_3.bmp"), r"train_3_anno\.bmp: is a mask without a picture"),
    (_without(glas.TABLE), "is not Warwick-QU .*: it has no Grade.csv"),
    (_table("train_3,", "train_33,"), "Grade.csv: has no row of the picture train_3"),
    (_table(" malignant", " grave"), "of testB_1 must be benign, malignant, not 'grave'"),
    (_table("patient ID", "who"), "has no column 'patient ID'"),
    (
      lambda folder: shutil.copy(folder / "train_3.bmp", folder / "train_3.png"),
      r"train_3\.png: is there a second time, as train_3\.bmp",
    ),
    (
      lambda folder: Image.new("L", (5, 5)).save(folder / "train_3_anno.bmp"),
      r"train_3_anno\.bmp",
    ),
  ],
)
def test_what_is_wrong_is_named(folder, damage, message):
  damage(folder)
  with pytest.raises(UserError, match=message):
    _load(folder)


def test_all_published_pictures_must_be_there_unless_said_otherwise(folder):
  with pytest.raises(UserError, match=r"has 165 pictures, but 12 are here; .*glas\.complete=False"):
    _load(folder, complete=True)


def test_the_builder_writes_all_of_it(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(glas, "EXPECTED", {})
  at = prepare.prepare("glas", folder, tmp_path / "out", "histology")
  builder = tfds.builder_from_directory(at)
  rows = {row["id"].decode(): row for row in builder.as_data_source(split="train")}
  assert len(rows) == 12
  assert rows["testB_1"]["part"] == b"test"
  assert rows["train_1"]["part"] == b"train"
  assert (rows["train_1"]["patient"], rows["train_1"]["height"]) == (b"1", 40)


@pytest.mark.slow
@pytest.mark.shared
def test_the_real_pictures(shared, tmp_path):
  root = shared / "data" / "glas" / glas.FOLDER
  data = cases.load(
    "glas", root=str(root), image_size=16, diameter=0, options=glas.GlasOptions(), cache=tmp_path
  )
  assert len(data.ids) == 165
  assert data.is_test.sum() == 80
  train = ~data.is_test
  assert np.bincount(data.labels[train]).tolist() == [37, 48]  # as the paper has it
  recurring = set(data.patients[train]) & set(data.patients[data.is_test])
  assert len(recurring) >= 10  # the leak of the published division
