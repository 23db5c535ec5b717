"""Average precision of boxes against hand-made cases and COCO's own program."""

import contextlib
import io

import numpy as np
import pytest

from mlseg.metrics.detection import (
  IOU_THRESHOLDS,
  ImageBoxes,
  box_average_precision,
  summarize_boxes,
)

BOX = (0.0, 0.0, 10.0, 10.0)
FAR = (50.0, 50.0, 60.0, 60.0)


def _image(found=(), true=()):
  """Returns the record of boxes (box, class, score) that were found, and true ones (box, class)."""
  boxes, classes, scores = zip(*found, strict=True) if found else ((), (), ())
  true_boxes, true_classes = zip(*true, strict=True) if true else ((), ())
  return ImageBoxes(
    np.array(boxes, float).reshape(-1, 4),
    np.array(classes, int),
    np.array(scores, float),
    np.array(true_boxes, float).reshape(-1, 4),
    np.array(true_classes, int),
  )


def _wide(share):
  """Returns a box that covers a share of BOX, so that this is their IoU."""
  return (0.0, 0.0, 10.0, 10.0 * share)


HALF = _image([(BOX, 1, 0.9)], [(BOX, 1), (FAR, 1)])
CASES = {
  # One of two is found at precision 1: recalls 0 to 0.50 are 51 of 101 points.
  "half": ([HALF], 0.5, 51 / 101),
  # A wrong box first, then a right one: precision 1/2 at every recall.
  "wrong_first": ([_image([(FAR, 1, 0.9), (BOX, 1, 0.8)], [(BOX, 1)])], 0.5, 0.5),
  "wrong_last": ([_image([(FAR, 1, 0.7), (BOX, 1, 0.8)], [(BOX, 1)])], 0.5, 1.0),
  "twice": ([_image([(BOX, 1, 0.9), (BOX, 1, 0.8)], [(BOX, 1), (FAR, 1)])], 0.5, 51 / 101),
  "just_enough": ([_image([(_wide(0.5), 1, 0.9)], [(BOX, 1)])], 0.5, 1.0),
  "not_enough": ([_image([(_wide(0.49), 1, 0.9)], [(BOX, 1)])], 0.5, 0.0),
  "wrong_class": ([_image([(BOX, 2, 0.9)], [(BOX, 1)])], 0.5, 0.0),
  "nothing_found": ([_image([], [(BOX, 1)])], 0.5, 0.0),
  # The better score takes the box, though the other overlaps it more.
  "greedy": ([_image([(_wide(0.8), 1, 0.9), (BOX, 1, 0.8)], [(BOX, 1)])], 0.9, 0.5),
  # Found in the second image with a lower score than a wrong box of the first, without true boxes.
  "two_images": ([_image([(BOX, 1, 0.9)]), _image([(BOX, 1, 0.8)], [(BOX, 1)])], 0.5, 0.5),
}


@pytest.mark.parametrize("name", CASES)
def test_hand_made_cases(name):
  images, threshold, expected = CASES[name]
  np.testing.assert_allclose(box_average_precision(images, (threshold,))[1], [expected])


def test_the_mean_is_over_classes_that_have_true_boxes():
  image = _image([(BOX, 1, 0.9), (BOX, 3, 0.9)], [(BOX, 1), (FAR, 2)])
  assert {c: v.tolist() for c, v in box_average_precision([image], (0.5,)).items()} == {
    1: [1.0],
    2: [0.0],
  }
  assert summarize_boxes([image]) == {"box_ap": 0.5, "box_ap50": 0.5, "box_ap75": 0.5}


def test_the_mean_is_over_thresholds():
  image = _image([(_wide(0.72), 1, 0.9)], [(BOX, 1)])
  summary = summarize_boxes([image])
  assert summary["box_ap50"] == 1
  assert summary["box_ap75"] == 0
  np.testing.assert_allclose(summary["box_ap"], 0.5)  # 0.50, 0.55, 0.60, 0.65 and 0.70


@pytest.mark.parametrize("images", [[], [_image()], [_image([(BOX, 1, 0.9)])]])
def test_no_true_box_is_nan(images):
  assert box_average_precision(images) == {}
  assert all(np.isnan(value) for value in summarize_boxes(images).values())


def test_mistakes_are_named():
  with pytest.raises(ValueError, match=r"iou_thresholds: must be in \(0, 1\], got \(50,\)"):
    box_average_precision([HALF], (50,))
  with pytest.raises(ValueError, match=r"images\[1\]: shapes must be"):
    box_average_precision([HALF, HALF._replace(scores=np.zeros(3))])
  with pytest.raises(ValueError, match=r"images\[0\]: scores must be finite, got \[nan\]"):
    box_average_precision([HALF._replace(scores=np.array([np.nan]))])
  with pytest.raises(ValueError, match=r"images\[0\]: true_boxes must have their lower"):
    box_average_precision([HALF._replace(true_boxes=HALF.true_boxes[:, [2, 3, 0, 1]])])


def _drawn(rng):
  """Returns an image with true boxes, some of them found about where they are, and wrong ones."""

  def boxes(count):
    corners = rng.integers(0, 60, [count, 2])
    return np.hstack([corners, corners + rng.integers(7, 40, [count, 2])]).astype(float)

  true = boxes(rng.integers(0, 5))
  true_classes = rng.integers(1, 4, len(true))
  near = np.repeat(true, 2, axis=0) + rng.integers(-3, 4, [2 * len(true), 4])
  wrong = boxes(rng.integers(0, 4))
  classes = np.concatenate([np.repeat(true_classes, 2), rng.integers(1, 4, len(wrong))])
  scores = rng.integers(1, 20, len(classes)) / 20  # with ties
  return ImageBoxes(np.concatenate([near, wrong]), classes, scores, true, true_classes)


def _coco(images):
  """Returns the precision [T, classes], -1 where a class has no true box, of COCO's program."""
  coco = pytest.importorskip("pycocotools.coco")
  cocoeval = pytest.importorskip("pycocotools.cocoeval")

  def entry(i, box, label):
    top, left, bottom, right = map(float, box)
    sides = [left, top, right - left, bottom - top]
    return {"image_id": i, "category_id": int(label), "bbox": sides, "area": sides[2] * sides[3]}

  true = [
    entry(i, box, label) | {"iscrowd": 0}
    for i, image in enumerate(images)
    for box, label in zip(image.true_boxes, image.true_classes, strict=True)
  ]
  found = [
    entry(i, box, label) | {"score": float(score)}
    for i, image in enumerate(images)
    for box, label, score in zip(image.boxes, image.classes, image.scores, strict=True)
  ]
  with contextlib.redirect_stdout(io.StringIO()):
    truth = coco.COCO()
    truth.dataset = {
      "images": [{"id": i} for i in range(len(images))],
      "categories": [{"id": c} for c in (1, 2, 3)],
      "annotations": [one | {"id": i + 1} for i, one in enumerate(true)],
      "info": {},
    }
    truth.createIndex()
    evaluation = cocoeval.COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
  return evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_equals_coco(seed):
  rng = np.random.default_rng(seed)
  images = [_drawn(rng) for _ in range(25)]
  expected = _coco(images)
  actual = box_average_precision(images)
  assert set(actual) == {c + 1 for c in range(3) if expected[0, c] >= 0}
  for label, values in actual.items():
    np.testing.assert_allclose(values, expected[:, label - 1], atol=1e-12)
  np.testing.assert_allclose(IOU_THRESHOLDS, np.arange(0.5, 1, 0.05))
