"""The data set in memory: contents, preprocessing, cache."""

import os

import cv2
import numpy as np
import pytest

from mlseg.data import cases, in_memory, preprocessing
from mlseg.data.datasets import busi
from mlseg.data.datasets.busi import FOLDER
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from tests.data.datasets.busi_test import _make


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
  return cases.load("busi", cache=tmp_path_factory.mktemp("cache"))


def test_the_embedded_set(embedded):
  assert embedded.images.shape == (647, 128, 128, 1)
  assert embedded.images.dtype == embedded.masks.dtype == np.uint8
  assert np.bincount(embedded.labels).tolist() == [437, 210]
  assert set(np.unique(embedded.masks)) == {0, 1}
  assert embedded.masks.any((1, 2)).all()  # every case has a lesion
  assert embedded.ids[:2] == ("benign (1)", "benign (2)")
  assert embedded.ids[437] == "malignant (1)"
  assert len(set(embedded.ids)) == 647
  assert embedded.label_names == ("benign", "malignant")
  assert embedded.class_names == ("background", "lesion")


def test_the_fingerprint_of_the_embedded_set_stays(tmp_path):
  """A run that was started on these data goes on only with the same fingerprint.

  That of the filtered pictures depends on the processor, for which OpenCV rounds differently.
  """
  plain = cases.load("busi", diameter=0, cache=tmp_path)
  assert plain.fingerprint == ("fb7d89e3551f67dd34cf3c1b108655c8b81e941e4467ad2eb86802628378dcde")


def test_normals_are_a_third_diagnosis_and_change_no_other_case(embedded, tmp_path):
  data = cases.load("busi", options=busi.BusiOptions(normal=True), cache=tmp_path)
  assert data.label_names == ("benign", "malignant", "normal")
  assert np.bincount(data.labels).tolist() == [437, 210, 133]
  assert not data.masks[647:].any()
  assert data.ids[647] == "normal (1)"
  assert data.ids[:647] == embedded.ids
  for name in ("images", "masks", "labels", "hashes"):
    np.testing.assert_array_equal(getattr(data, name)[:647], getattr(embedded, name))
  # Two pictures are there twice, with a lesion and as normal: no split parts them.
  pairs = grouped.near_duplicates(data.hashes, data.duplicate_bits)
  groups = grouped.groups(len(data.ids), pairs)
  twins = (("benign (437)", "normal (34)"), ("benign (269)", "normal (1)"))
  for one, other in twins:
    assert groups[data.ids.index(one)] == groups[data.ids.index(other)]
  assert sum(j >= 647 for _, j, _ in pairs) == 59
  split = grouped.split(data.labels, groups, seed=0)
  for part in split:
    rest = np.setdiff1d(np.arange(780), part)
    assert not set(groups[part]) & set(groups[rest])
    assert (data.labels[part] == 2).sum() in (93, 20)


def test_the_filter_is_opencvs_and_can_be_off(embedded, tmp_path):
  plain = cases.load("busi", diameter=0, cache=tmp_path)
  expected = cv2.bilateralFilter(plain.images[3, ..., 0], 5, 25.0, 2.0)
  np.testing.assert_array_equal(embedded.images[3, ..., 0], expected)
  assert (embedded.images != plain.images).any()
  np.testing.assert_array_equal(embedded.hashes, plain.hashes)
  assert embedded.fingerprint != plain.fingerprint


def test_the_filter_equals_its_formula():
  image = np.random.default_rng(0).integers(0, 256, (9, 9)).astype(np.uint8)
  actual = preprocessing.bilateral_filter(image, diameter=5, sigma_space=2.0, sigma_intensity=40.0)
  values = image.astype(float)
  rows, columns = np.mgrid[-2:3, -2:3]
  inside = rows**2 + columns**2 <= 4  # OpenCV's neighbourhood is a disc
  window = values[2:7, 2:7]
  weights = inside * np.exp(-(rows**2 + columns**2) / (2 * 2.0**2))
  weights = weights * np.exp(-((window - values[4, 4]) ** 2) / (2 * 40.0**2))
  assert abs(int(actual[4, 4]) - (weights * window).sum() / weights.sum()) <= 1


def test_smaller_pictures_are_means_and_masks_stay_classes(embedded, tmp_path):
  small = cases.load("busi", image_size=32, diameter=0, cache=tmp_path)
  plain = cases.load("busi", diameter=0, cache=tmp_path)
  means = plain.images[..., 0].reshape(647, 32, 4, 32, 4).mean((2, 4))
  assert np.abs(small.images[..., 0] - means).max() <= 0.51
  assert set(np.unique(small.masks)) == {0, 1}


def test_the_cache_is_used_and_a_damaged_one_made_again(embedded, tmp_path, monkeypatch):
  first = cases.load("busi", cache=tmp_path)
  (file,) = tmp_path.glob("*.npz")

  def never(*_):
    raise AssertionError("the cache was not used")

  with monkeypatch.context() as patch:
    patch.setattr(in_memory, "arrays_of", never)
    again = cases.load("busi", cache=tmp_path)
  assert again.fingerprint == first.fingerprint == embedded.fingerprint
  for damaged in (b"", file.read_bytes()[:1000], b"not a zip"):
    file.write_bytes(damaged)
    assert cases.load("busi", cache=tmp_path).fingerprint == first.fingerprint
  assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_only_a_warning(embedded, tmp_path):
  blocked = tmp_path / "file"
  blocked.write_text("")
  with pytest.warns(UserWarning, match="cannot be written"):
    data = cases.load("busi", cache=blocked / "cache")
  assert data.fingerprint == embedded.fingerprint


def test_a_folder_of_originals(tmp_path):
  root = _make(tmp_path / "originals")
  cache = tmp_path / "cache"
  data = cases.load("busi", root=str(root), image_size=40, diameter=0, cache=cache)
  names = ("benign (1)", "benign (2)", "benign (10)", "malignant (1)", "malignant (2)")
  assert data.ids == names  # the normal case has no lesion
  original = cv2.imread(str(root / FOLDER / "benign" / "benign (10).png"), cv2.IMREAD_GRAYSCALE)
  expected = cv2.resize(original, (40, 40), interpolation=cv2.INTER_AREA)
  np.testing.assert_array_equal(data.images[2, ..., 0], expected)
  path = root / FOLDER / "benign" / "benign (10).png"
  cv2.imwrite(str(path), 255 - original)
  os.utime(path, (1, 1))  # another time even on a coarse clock
  changed = cases.load("busi", root=str(root), image_size=40, diameter=0, cache=cache)
  assert changed.fingerprint != data.fingerprint


def test_originals_load_without_a_cache_too(tmp_path):
  root = str(_make(tmp_path / "originals"))
  expected = cases.load("busi", root=root, cache=tmp_path / "cache")
  blocked = tmp_path / "file"
  blocked.write_text("")
  with pytest.warns(UserWarning, match="cannot be written"):
    data = cases.load("busi", root=root, cache=blocked / "cache")
  assert data.fingerprint == expected.fingerprint


def test_other_files_in_the_folder_do_not_matter_to_the_cache(tmp_path, monkeypatch):
  root, cache = _make(tmp_path / "originals"), tmp_path / "cache"
  first = cases.load("busi", root=str(root), cache=cache)
  (root / "notes.txt").write_text("not of the data set")
  monkeypatch.setattr(in_memory, "arrays_of", None)  # a call would fail
  assert cases.load("busi", root=str(root), cache=cache).fingerprint == first.fingerprint
  assert len(list(cache.iterdir())) == 1


@pytest.mark.shared
@pytest.mark.slow
def test_the_originals_give_the_embedded_set(shared, embedded, tmp_path):
  data = cases.load("busi", root=str(shared / "data" / "busi"), cache=tmp_path)
  assert data.fingerprint == embedded.fingerprint


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      {"name": "bussi"},
      "unknown dataset 'bussi': choose from bus_synthetic, busc, busi, coco, cohort, folder, glas",
    ),
    ({"name": "lgg"}, "'lgg' needs the folder kaggle_3m of TCGA-LGG: --config.data.root=DIR"),
    ({"name": "busc"}, "'busc' needs the unpacked download of BUSC: --config.data.root=DIR"),
    ({"name": "folder"}, "'folder' needs the folder of the data: --config.data.root=DIR"),
    ({"name": "folder", "root": "."}, "'folder' needs the section config.data.folder"),
    ({"root": "nowhere"}, "data folder nowhere does not exist"),
    ({"image_size": 256}, "give the originals with --config.data.root"),
    ({"image_size": 4}, "at least 8"),
    ({"diameter": -1}, "diameter"),
    ({"sigma_space": 0.0}, "sigma_space"),
    ({"sigma_intensity": float("nan")}, "sigma_intensity"),
  ],
)
def test_wrong_arguments_are_named(options, message, tmp_path):
  arguments = {"name": "busi", "cache": tmp_path, **options}
  with pytest.raises(UserError, match=message):
    cases.load(arguments.pop("name"), **arguments)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
  root = _make(tmp_path / "originals")

  def refuse(*_):
    raise PermissionError(13, "Permission denied", "originals/benign")

  monkeypatch.setattr("mlseg.data.datasets.busi.find_cases", refuse)
  with pytest.raises(UserError, match=r"^originals/benign: cannot be read \(Permission denied\)$"):
    cases.load("busi", root=str(root), cache=tmp_path / "cache")
