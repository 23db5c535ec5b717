"""COCO's annotations: polygons and run lengths become classes of pixels."""

import json

import cv2
import numpy as np
import pytest

from mlseg.data.datasets import coco
from mlseg.data.datasets.coco import CocoOptions
from mlseg.errors import UserError

SIZE = (20, 24)
SQUARE = [[6, 4, 15, 4, 15, 9, 6, 9]]  # columns 6 to 14, rows 4 to 8


def _content():
  counts = [4 + 20 * 6] + [5, 15] * 8 + [5, 20 * 24 - 124 - 8 * 20 - 5]
  return {
    "images": [
      {"id": 7, "file_name": "a.png", "height": 20, "width": 24},
      {"id": 3, "file_name": "b.png", "height": 20, "width": 24},
    ],
    "categories": [{"id": 5, "name": "mass"}, {"id": 2, "name": "cyst"}],
    "annotations": [
      {"id": 1, "image_id": 7, "category_id": 5, "segmentation": SQUARE, "iscrowd": 0},
      {"id": 2, "image_id": 7, "category_id": 2, "iscrowd": 1,
       "segmentation": {"size": [20, 24], "counts": counts}},
    ],
  }  # fmt: skip


def _write(folder, content):
  (folder / "images").mkdir(exist_ok=True)
  for n, name in enumerate("ab"):
    image = np.random.default_rng(n).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
  (folder / "annotations.json").write_text(json.dumps(content))
  return folder


def _square():
  mask = np.zeros(SIZE, bool)
  mask[4:9, 6:15] = True
  return mask


def test_images_have_the_classes_of_their_annotations(tmp_path):
  content = _content()
  content["annotations"] = content["annotations"][:1]
  source = coco.open_source(_write(tmp_path, content), CocoOptions())
  assert source.class_names == ("background", "cyst", "mass")
  first, second = source.read()
  assert (first.id, second.id) == ("a", "b")
  np.testing.assert_array_equal(first.mask, 2 * _square())
  assert not second.mask.any()
  assert first.image.shape == (*SIZE, 3)


def test_the_later_annotation_is_on_top(tmp_path):
  first = next(coco.open_source(_write(tmp_path, _content()), CocoOptions(channels=1)).read())
  np.testing.assert_array_equal(first.mask, 1 * _square())  # the run lengths, of the same square
  assert first.image.ndim == 2


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_and_runs_agree_with_cocos_own_code():
  peer = pytest.importorskip("pycocotools.mask")
  rng = np.random.default_rng(0)
  for _ in range(20):
    mask = np.asfortranarray(rng.random(SIZE) < 0.3, dtype=np.uint8)
    packed = peer.encode(mask)
    text = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(coco.region_of(text, SIZE), mask)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    points = np.stack([12 + 9 * np.cos(angles), 10 + 8 * np.sin(angles)], -1)
    polygon = [points.ravel().tolist()]
    theirs = peer.decode(peer.frPyObjects(polygon, *SIZE))[..., 0]
    ours = coco.region_of(polygon, SIZE)
    # They differ in pixels that the border crosses alone.
    inner = cv2.erode(theirs, np.ones((3, 3), np.uint8)).astype(bool)
    outer = cv2.dilate(theirs, np.ones((3, 3), np.uint8)).astype(bool)
    assert ours[inner].all()
    assert not ours[~outer].any()


def _changed(change):
  content = _content()
  change(content)
  return content


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda c: c.pop("categories"), r"annotations\.json"),
    (lambda c: c["annotations"][0].update(category_id=9), "has the unknown category 9"),
    (
      lambda c: c["annotations"][0].update(image_id=9),
      "name the image 9, which is not in 'images'",
    ),
    (
      lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3]]),
      "annotation 1: a polygon must",
    ),
    (lambda c: c["annotations"][0].update(segmentation=5), "must be polygons or run lengths"),
    (
      lambda c: c["annotations"][1]["segmentation"].update(counts=[5]),
      "its run lengths are not of",
    ),
    (lambda c: c["images"][0].update(height=21), "is 20×24, and its annotations say 21×24"),
    (lambda c: c["images"][0].update(file_name="../a.png"), "is not below"),
    (lambda c: c.update(images=[], annotations=[]), "names no image"),
  ],
)
def test_a_wrong_file_gets_one_line(tmp_path, change, message):
  with pytest.raises(UserError, match=message):
    list(coco.open_source(_write(tmp_path, _changed(change)), CocoOptions()).read())


def test_missing_images_are_faults(tmp_path):
  root = _write(tmp_path, _content())
  (root / "images" / "b.png").unlink()
  source = coco.open_source(root, CocoOptions())
  assert [fault.reason for fault in source.faults] == [
    "does not exist, which annotations.json names"
  ]
  with pytest.raises(
    UserError, match=r"config\.data\.coco\.annotations .*/none\.json does not exis"
  ):
    coco.open_source(root, CocoOptions(annotations="none.json"))
