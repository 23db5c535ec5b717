"""Average precision of boxes, as the COCO challenge defines it, on the host.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, with the challenge's
program: 101 points of recall, greedy matching by score. Sizes of objects are not told apart, and
there is no limit to the boxes of an image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_RECALLS = np.linspace(0, 1, 101)


class ImageBoxes(NamedTuple):
  """The boxes (top, left, bottom, right) that were found in an image, and the true ones."""

  boxes: np.ndarray  # [n, 4]
  classes: np.ndarray  # [n] integer
  scores: np.ndarray  # [n]
  true_boxes: np.ndarray  # [m, 4]
  true_classes: np.ndarray  # [m] integer


def box_average_precision(
  images: Sequence[ImageBoxes], iou_thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[int, np.ndarray]:
  """Returns the average precision of each class at each threshold.

  All boxes of a class are taken by falling score (of equals the earlier image's first); each finds
  the true box of its image with the highest IoU that is still free, if that is at least the
  threshold. Precision at a recall is the best that is reached at that recall or a higher one, 0 at
  recalls never reached; the mean is over the recalls 0, 0.01, ..., 1.

  Args:
    images: one record for each.
    iou_thresholds: T of them.

  Returns:
    From class to [T] float64, in [0, 1], for each class that has a true box. Others are left out:
    boxes found of them count nowhere.

  Raises:
    ValueError: where shapes break these rules, a score is not finite, or a threshold is not in
      (0, 1].

  Example:
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])  # the second is wrong
    >>> scores, classes = np.array([0.6, 0.9]), np.array([1, 1])
    >>> image = ImageBoxes(boxes, classes, scores, boxes[:1], classes[:1])
    >>> box_average_precision([image], (0.5,))
    {1: array([0.5])}
  """
  thresholds = np.asarray(iou_thresholds, np.float64)
  if not ((thresholds > 0) & (thresholds <= 1)).all():
    raise ValueError(f"iou_thresholds: must be in (0, 1], got {tuple(iou_thresholds)}")
  checked = [_checked(place, image) for place, image in enumerate(images)]
  true = [image.true_classes for image in checked]
  classes = np.unique(np.concatenate(true)) if true else np.zeros(0, int)
  return {int(c): _of_class(checked, c, thresholds) for c in classes}


def summarize_boxes(images: Sequence[ImageBoxes]) -> dict[str, float]:
  """Returns the means over classes of the average precision of boxes.

  Args:
    images: one record for each.

  Returns:
    `box_ap`: the mean over IoU thresholds 0.50, 0.55, ..., 0.95; `box_ap50` and `box_ap75`: at one.
    No true box in any image: nan.

  Raises:
    ValueError: where shapes break the rules, or a score is not finite.

  Example:
    >>> boxes, one = np.array([[0.0, 0.0, 4.0, 4.0]]), np.array([1])
    >>> image = ImageBoxes(boxes, one, np.array([0.9]), boxes + [0.0, 0.0, 0.0, 1.0], one)
    >>> {name: round(value, 3) for name, value in summarize_boxes([image]).items()}
    {'box_ap': 0.7, 'box_ap50': 1.0, 'box_ap75': 1.0}
  """
  per_class = list(box_average_precision(images).values())
  if not per_class:
    return dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), float("nan"))
  values = np.mean(per_class, axis=0)
  at = {threshold: float(values[place]) for place, threshold in enumerate(IOU_THRESHOLDS)}
  return {"box_ap": float(values.mean()), "box_ap50": at[0.5], "box_ap75": at[0.75]}


def _checked(place: int, image: ImageBoxes) -> ImageBoxes:
  """Returns the record with arrays of the right shapes and types."""
  boxes, true_boxes = (np.asarray(b, np.float64) for b in (image.boxes, image.true_boxes))
  scores = np.asarray(image.scores, np.float64)
  classes, true_classes = np.asarray(image.classes), np.asarray(image.true_classes)
  shapes = (boxes.shape, classes.shape, scores.shape, true_boxes.shape, true_classes.shape)
  num, num_true = len(boxes), len(true_boxes)
  if shapes != ((num, 4), (num,), (num,), (num_true, 4), (num_true,)):
    raise ValueError(f"images[{place}]: shapes must be [n, 4], [n], [n], [m, 4], [m], got {shapes}")
  if not np.isfinite(scores).all():
    raise ValueError(f"images[{place}]: scores must be finite, got {scores.tolist()}")
  return ImageBoxes(boxes, classes, scores, true_boxes, true_classes)


def _of_class(images: Sequence[ImageBoxes], label: int, thresholds: np.ndarray) -> np.ndarray:
  """Returns the average precision [T] of one class."""
  scores, hits, num_true = [np.zeros(0)], [np.zeros([0, len(thresholds)], bool)], 0
  for image in images:
    own, true = image.classes == label, image.true_boxes[image.true_classes == label]
    order = np.argsort(-image.scores[own], kind="stable")
    scores.append(image.scores[own][order])
    hits.append(_matched(_overlaps(image.boxes[own][order], true), thresholds))
    num_true += len(true)
  order = np.argsort(-np.concatenate(scores), kind="stable")
  all_hits = np.concatenate(hits)[order]
  return np.array([_mean_precision(column, num_true) for column in all_hits.T])


def _overlaps(boxes: np.ndarray, true: np.ndarray) -> np.ndarray:
  """Returns the IoU [n, m] of every pair."""
  lower = np.maximum(boxes[:, None, :2], true[None, :, :2])
  upper = np.minimum(boxes[:, None, 2:], true[None, :, 2:])
  overlap = np.maximum(upper - lower, 0).prod(axis=-1)
  areas, true_areas = (np.maximum(b[:, 2:] - b[:, :2], 0).prod(axis=-1) for b in (boxes, true))
  union = areas[:, None] + true_areas[None] - overlap
  return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _matched(overlaps: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
  """Returns which boxes, best first, find a true one that is free: [n, T]."""
  num, num_true = overlaps.shape
  hits = np.zeros([num, len(thresholds)], bool)
  if not num_true:
    return hits
  for column, threshold in enumerate(thresholds):
    free = np.ones(num_true, bool)
    for row in range(num):
      candidates = np.where(free, overlaps[row], -1)
      best = num_true - 1 - candidates[::-1].argmax()  # of equals the last, as the program does
      if candidates[best] >= min(threshold, 1 - 1e-10):
        hits[row, column], free[best] = True, False
  return hits


def _mean_precision(hits: np.ndarray, num_true: int) -> float:
  """Returns the mean over the recalls, of boxes [n] by falling score."""
  found = np.cumsum(hits)
  precision = found / np.arange(1, len(hits) + 1)
  best = np.maximum.accumulate(precision[::-1])[::-1]
  places = np.searchsorted(found / num_true, _RECALLS, side="left")
  return float(np.append(best, 0)[places].mean())
