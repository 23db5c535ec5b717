"""Average precision of boxes, as the COCO challenge defines it, on the host.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and the challenge's
program: 101 points of recall, greedy matching by score. There are no separate values by the size of
objects, and no limit to the number of boxes in an image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_RECALLS = np.linspace(0, 1, 101)


class ImageBoxes(NamedTuple):
  """The predicted boxes (top, left, bottom, right) of an image, and the true ones."""

  boxes: np.ndarray  # [n, 4]
  classes: np.ndarray  # [n] integer
  scores: np.ndarray  # [n]
  true_boxes: np.ndarray  # [m, 4]
  true_classes: np.ndarray  # [m] integer


def box_average_precision(
  images: Sequence[ImageBoxes], iou_thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[int, np.ndarray]:
  """Returns the average precision of each class at each threshold.

  The boxes of a class are matched in the order of falling score (of equal scores, the earlier image
  first). Each is matched with the true box of its image that has the highest IoU of those still
  unmatched, if that IoU is at least the threshold. The precision at a recall is the highest one at
  that recall or above, and 0 at recalls that are not reached. The average is over the recalls 0,
  0.01, ..., 1.

  Args:
    images: one record per image.
    iou_thresholds: T of them.

  Returns:
    A dict from class to [T] float64, in [0, 1], for each class with a true box. Predicted boxes of
    other classes do not count.

  Raises:
    ValueError: where shapes do not fit, a score is not finite, a box does not begin with its lower
      corner, or a threshold is not in (0, 1].

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
  checked = [_checked(index, image) for index, image in enumerate(images)]
  true = [image.true_classes for image in checked]
  classes = np.unique(np.concatenate(true)) if true else np.zeros(0, int)
  return {int(c): _of_class(checked, c, thresholds) for c in classes}


def summarize_boxes(images: Sequence[ImageBoxes]) -> dict[str, float]:
  """Returns the means over classes of the average precision of boxes.

  Args:
    images: one record per image.

  Returns:
    A dict with `box_ap`, the mean over the IoU thresholds 0.50, 0.55, ..., 0.95, and with
    `box_ap50` and `box_ap75`, at one threshold. They are nan where no image has a true box.

  Raises:
    ValueError: where shapes do not fit, a score is not finite, or a box does not begin with its
      lower corner.

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
  at = {threshold: float(values[index]) for index, threshold in enumerate(IOU_THRESHOLDS)}
  return {"box_ap": float(values.mean()), "box_ap50": at[0.5], "box_ap75": at[0.75]}


def _checked(index: int, image: ImageBoxes) -> ImageBoxes:
  """Returns the record with arrays of the right shapes and types."""
  boxes, true_boxes = (np.asarray(b, np.float64) for b in (image.boxes, image.true_boxes))
  scores = np.asarray(image.scores, np.float64)
  classes, true_classes = np.asarray(image.classes), np.asarray(image.true_classes)
  shapes = (boxes.shape, classes.shape, scores.shape, true_boxes.shape, true_classes.shape)
  num, num_true = len(boxes), len(true_boxes)
  if shapes != ((num, 4), (num,), (num,), (num_true, 4), (num_true,)):
    raise ValueError(f"images[{index}]: shapes must be [n, 4], [n], [n], [m, 4], [m], got {shapes}")
  if not np.isfinite(scores).all():
    raise ValueError(f"images[{index}]: scores must be finite, got {scores.tolist()}")
  for name, own in (("boxes", boxes), ("true_boxes", true_boxes)):
    wrong = own[~(own[:, :2] <= own[:, 2:]).all(axis=1)]
    if len(wrong):
      raise ValueError(
        f"images[{index}]: {name} must have their lower corner first, got {wrong[0].tolist()}"
      )
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
  """Returns [n, T]: which boxes, in the order of falling score, are matched with a true one."""
  num, num_true = overlaps.shape
  hits = np.zeros([num, len(thresholds)], bool)
  if not num_true:
    return hits
  for column, threshold in enumerate(thresholds):
    free = np.ones(num_true, bool)
    for row in range(num):
      candidates = np.where(free, overlaps[row], -1)
      best = num_true - 1 - candidates[::-1].argmax()  # the last of equal ones, as in the program
      if candidates[best] >= min(threshold, 1 - 1e-10):
        hits[row, column], free[best] = True, False
  return hits


def _mean_precision(hits: np.ndarray, num_true: int) -> float:
  """Returns the mean precision over the recalls, for hits [n] in the order of falling score."""
  found = np.cumsum(hits)
  precision = found / np.arange(1, len(hits) + 1)
  best = np.maximum.accumulate(precision[::-1])[::-1]
  indices = np.searchsorted(found / num_true, _RECALLS, side="left")
  return float(np.append(best, 0)[indices].mean())
