"""BUSC and BUS synthetic: the layouts they may come in, counts, and what must be refused."""

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mlseg.data import cases, prepare
from mlseg.data.datasets import bus_synthetic, busc
from mlseg.errors import UserError
from tests.data.layouts import picture, save

SEGMENTATION = "BUSC Dataset/BUSC_Dataset/Segmentation"
LAYOUTS = {  # of BUSC: where a picture and its mask are
  "one folder": (
    f"{SEGMENTATION}/images/{{label}} ({{n}}).png",
    f"{SEGMENTATION}/masks/{{label}} ({{n}}).png",
  ),
  "ending": ("BUSC/images/{label}_{n}.png", "BUSC/masks/{label}_{n}_mask.png"),
  "labels inside": ("BUSC/Images/{Label}/us{n}.bmp", "BUSC/Masks/{Label}/us{n}.png"),
  "labels outside": ("{Label}/images/{n}.png", "{Label}/masks/{n}.png"),
  "itself": ("images/{Label} ({n}).png", "masks/{Label} ({n}).png"),
}


def _busc(root, layout, count=6):
  rng = np.random.default_rng(0)
  masks = {}
  for label in ("benign", "malignant"):
    for n in range(1, count + 1):
      image, mask = picture(rng, (128, 128))
      names = {"label": label, "Label": label.title(), "n": n}
      image_path, mask_path = (root / text.format(**names) for text in LAYOUTS[layout])
      save(image_path, image)
      save(mask_path, 255 * mask)
      masks[label, n] = mask
  return masks


def _synthetic(root, count=6):
  """Writes the download of BUS synthetic, with masks of probabilities."""
  rng = np.random.default_rng(1)
  masks = []
  for n in range(1, count + 1):
    image, mask = picture(rng, (128, 128))
    probabilities = np.where(mask, rng.integers(128, 256, mask.shape), rng.integers(0, 128))
    save(root / "BUS Synthetic Dataset" / "images" / f"{n}out.png", image)
    save(root / "BUS Synthetic Dataset" / "masks" / f"{n}out.png", probabilities)
    masks.append(mask)
  return masks


@pytest.fixture
def any_count(monkeypatch):
  for module in (busc, bus_synthetic):
    monkeypatch.setattr(module, "EXPECTED", ())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_busc_gives_the_same_cases(tmp_path, any_count, layout):
  masks = _busc(tmp_path / "download", layout, count=11)
  data = cases.load("busc", root=str(tmp_path / "download"), diameter=0, cache=tmp_path / "cache")
  assert data.label_names == ("benign", "malignant")
  assert data.labels.tolist() == [0] * 11 + [1] * 11
  assert data.images.shape == (22, 128, 128, 1)
  np.testing.assert_array_equal(data.masks, np.stack(list(masks.values())))  # 2 before 10
  assert len(set(data.ids)) == 22
  assert data.class_names == ("background", "lesion")


def test_classification_pictures_without_masks_are_passed_over(tmp_path):
  _busc(tmp_path, "one folder")
  for n in range(3):
    place = tmp_path / "BUSC Dataset" / "BUSC_Dataset" / "Classification" / "images"
    save(place / "benign" / f"{n}.png", np.zeros((64, 64)))
  found = busc.find_cases(tmp_path)
  assert {label: len(of_label) for label, of_label in found.items()} == {
    "benign": 6, "malignant": 6
  }  # fmt: skip


def test_names_without_a_diagnosis_are_of_unknown_ones(tmp_path, any_count):
  for n in range(5):
    image, mask = picture(np.random.default_rng(n))
    save(tmp_path / "download" / "images" / f"{n}.png", image)
    save(tmp_path / "download" / "masks" / f"{n}.png", 255 * mask)
  data = cases.load("busc", root=str(tmp_path / "download"), cache=tmp_path / "cache")
  assert data.label_names == ("unknown",)
  assert data.labels.tolist() == [0] * 5
  image, mask = picture(np.random.default_rng(9))
  save(tmp_path / "download" / "images" / "benign9.png", image)
  save(tmp_path / "download" / "masks" / "benign9.png", mask)
  with pytest.raises(UserError, match=r"0\.png: its path names none of benign, malignant"):
    busc.find_cases(tmp_path / "download")


def test_bus_synthetic_takes_probabilities_at_one_half(tmp_path, any_count):
  masks = _synthetic(tmp_path / "download")
  data = cases.load("bus_synthetic", root=str(tmp_path / "download"), cache=tmp_path / "cache")
  np.testing.assert_array_equal(data.masks, np.stack(masks))
  assert data.label_names == ("synthetic",)
  assert data.ids[:2] == ("1out", "2out")


def test_what_is_built_says_where_it_is_from(tmp_path, any_count):
  _busc(tmp_path / "download", "ending")
  target = prepare.prepare("busc", tmp_path / "download", tmp_path / "out", "original")
  builder = tfds.builder_from_directory(target)
  assert "vckdnhtw26" in builder.info.homepage
  assert "rodrigues2017" in builder.info.citation
  assert builder.info.splits["malignant"].num_examples == 6


@pytest.mark.parametrize("name", ["busc", "bus_synthetic"])
def test_a_download_with_cases_missing_is_refused(tmp_path, name):
  (_busc(tmp_path, "ending") if name == "busc" else _synthetic(tmp_path))
  wanted, found = {
    "busc": ("100 benign and 150 malignant", "6 benign and 6 malignant"),
    "bus_synthetic": ("500 synthetic", "6 synthetic"),
  }[name]
  message = f"has {wanted} pictures with masks, but {found} are here"
  with pytest.raises(UserError, match=re.escape(message)):
    cases.load(name, root=str(tmp_path), cache=tmp_path / "cache")


def _no_mask(root):
  (root / "BUSC/masks/benign_2_mask.png").unlink()
  return r"images/benign_2\.png: has no mask, expected a file benign_2"


def _no_image(root):
  (root / "BUSC/images/benign_2.png").unlink()
  return r"masks/benign_2_mask\.png: is a mask without a picture"


def _twice(root):
  save(root / "BUSC/images/benign_2.bmp", np.zeros((4, 4)))
  return r"benign_2\.png: is there a second time, as benign_2\.bmp"


def _other_size(root):
  save(root / "BUSC/masks/benign_2_mask.png", np.zeros((64, 128)))
  return r"benign_2_mask\.png: is 64×128, but its picture benign_2\.png is 128×128"


def _damaged(root):
  path = root / "BUSC/images/benign_2.png"
  path.write_bytes(path.read_bytes()[:-9])
  return r"benign_2\.png: is cut short or damaged"


def _other_data(root):
  (root / "BUSC/masks").rename(root / "BUSC/outlines")
  return "is not BUSC: it has no folder 'images' with pictures and 'masks'"


@pytest.mark.parametrize(
  "spoil", [_no_mask, _no_image, _twice, _other_size, _damaged, _other_data],
  ids=lambda f: f.__name__.strip("_"),
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(tmp_path, any_count, spoil):
  _busc(tmp_path / "download", "ending")
  message = spoil(tmp_path / "download")
  with pytest.raises(UserError, match=message):
    prepare.prepare("busc", tmp_path / "download", tmp_path / "out", "original")
  assert list((tmp_path / "out").iterdir()) == []
