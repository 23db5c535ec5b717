"""The choice of a decision on validation cases: a threshold, then the sizes, from fixed grids."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.metrics import dice, mean_over_classes
from mlseg.metrics.class_means import Absent
from mlseg.postprocessing.decision import PLAIN, Choice, Decision, cleaned, in_words

# The grids. The middle of the thresholds is that of the most probable class.
THRESHOLDS = tuple(percent / 100 for percent in range(5, 100, 5))
SHARES = (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)  # of the pixels of an image


class Predicted(NamedTuple):
  """What a model predicts of N images of any sizes.

  Attributes:
    labels: N of [H, W] uint8, the most probable classes.
    levels: N of [H, W] uint8, of two classes: how many of `THRESHOLDS` are below the probability
      of the second; None: no threshold is chosen.
    slices: number of slices of a volume, which lie one below the other in its image.
  """

  labels: Sequence[np.ndarray]
  levels: Sequence[np.ndarray] | None = None
  slices: int = 1


def choose(
  predicted: Predicted,
  masks: Sequence[np.ndarray],
  num_classes: int,
  *,
  sizes: bool,
  absent: Absent = "left_out",
) -> Choice:
  """Returns the decision with the best mean Dice.

  The threshold is chosen first, then the smallest component, then the smallest hole, each from its
  grid with what was chosen before. Of equal scores the least intervention wins: the threshold that
  is nearest to the middle (of two, the lower one), and the smallest size.

  Args:
    predicted: of N >= 1 validation cases; the threshold is chosen where there are levels.
    masks: N of [H, W], the true classes; pixels of other values than the classes do not count.
    num_classes: C.
    sizes: whether sizes of components and holes are chosen.
    absent: what a class counts that is neither true nor predicted; see `metrics.summarize`.

  Example:
    >>> mask = np.zeros((10, 10), np.uint8)
    >>> mask[2:6, 2:6] = 1
    >>> noisy = mask.copy()
    >>> noisy[9, 9] = 1
    >>> choose(Predicted([noisy]), [mask], 2, sizes=True).decision
    Decision(threshold=None, component_share=0.02, hole_share=0.0)
  """

  def score(labels: Iterator[np.ndarray]) -> float:
    pairs = zip(labels, masks, strict=True)
    return mean_dice(np.stack([count(one, mask, num_classes) for one, mask in pairs]), absent)

  without, decision = score(iter(predicted.labels)), PLAIN
  thresholds, components, holes = {}, {}, {}
  if predicted.levels is not None:
    thresholds = _of_thresholds(predicted.levels, masks, absent)
    middle = len(THRESHOLDS) // 2
    ranks = {own: abs(n - middle) for n, own in enumerate(THRESHOLDS)}
    decision = decision._replace(threshold=_best(thresholds, ranks.__getitem__))
  if sizes:

    def of_share(**share: float) -> float:
      return score(masks_of(predicted, decision._replace(**share)))

    components = {share: of_share(component_share=share) for share in SHARES}
    decision = decision._replace(component_share=_best(components, float))
    holes = {share: of_share(hole_share=share) for share in SHARES}
    decision = decision._replace(hole_share=_best(holes, float))
  last = score(masks_of(predicted, decision))
  return Choice(decision, len(masks), without, last, thresholds, components, holes)


def describe(choice: Choice) -> str:
  """Returns a choice and its scores, as text.

  Example:
    >>> describe(Choice(Decision(0.45, 0.002), 97, 0.7712, 0.779, {}, {}, {}))
    'threshold 0.45, no components below 0.2 %; validation Dice 77.12, with it 77.90'
  """
  return (
    f"{in_words(choice.decision)}; validation Dice {100 * choice.without:.2f},"
    f" with it {100 * choice.score:.2f}"
  )


def masks_of(predicted: Predicted, decision: Decision) -> Iterator[np.ndarray]:
  """Yields the masks of a decision, whose threshold is one of the grid or None."""
  if decision.threshold is None or predicted.levels is None:
    labels: Iterator[np.ndarray] = iter(predicted.labels)
  else:
    index = THRESHOLDS.index(decision.threshold)
    labels = ((own > index).astype(np.uint8) for own in predicted.levels)
  return (cleaned(own, decision, predicted.slices) for own in labels)


def count(labels: np.ndarray, mask: np.ndarray, num_classes: int) -> np.ndarray:
  """Returns the counts of `metrics.confusion_counts` of one image, [C, 4] int32.

  Args:
    labels: [H, W], predicted classes.
    mask: [H, W], true classes; pixels of other values do not count.
    num_classes: C.

  Example:
    >>> count(np.array([[1, 1, 0]]), np.array([[1, 0, 255]]), 2).tolist()
    [[0, 0, 1, 1], [1, 1, 0, 0]]
  """
  return _counts(_table(labels, mask, num_classes, num_classes))


def mean_dice(counts: np.ndarray, absent: Absent) -> float:
  """Returns the mean over cases of the mean Dice over the foreground classes.

  Args:
    counts: [N, C, 4], pixels.
    absent: as in `metrics.summarize`.
  """
  own = counts[:, 1:]
  return float(mean_over_classes(dice(own), own, absent).mean())


def _table(labels: np.ndarray, mask: np.ndarray, num_true: int, num_found: int) -> np.ndarray:
  """Returns the number of pixels of each true class and each predicted value, [true, found]."""
  counts = mask < num_true
  codes = mask[counts].astype(np.int64) * num_found + labels[counts]
  return np.bincount(codes, minlength=num_true * num_found).reshape(num_true, num_found)


def _counts(table: np.ndarray) -> np.ndarray:
  """Returns tp, fp, fn and tn of each class [..., C, 4] from pixels [..., true, predicted]."""
  tp = np.diagonal(table, axis1=-2, axis2=-1)
  fp, fn = table.sum(-2) - tp, table.sum(-1) - tp
  tn = table.sum((-2, -1))[..., None] - tp - fp - fn
  return np.stack([tp, fp, fn, tn], -1).astype(np.int32)


def _of_thresholds(
  levels: Sequence[np.ndarray], masks: Sequence[np.ndarray], absent: Absent
) -> dict[float, float]:
  """Returns the score of each threshold."""
  number = len(THRESHOLDS)
  tables = np.stack(
    [_table(own, mask, 2, number + 1) for own, mask in zip(levels, masks, strict=True)]
  )
  scores = {}
  for index, threshold in enumerate(THRESHOLDS):
    parts = tables[..., : index + 1].sum(-1), tables[..., index + 1 :].sum(-1)
    scores[threshold] = mean_dice(_counts(np.stack(parts, -1)), absent)
  return scores


def _best(scores: Mapping[float, float], effort: Callable[[float], float]) -> float:
  """Returns the value of the best score; of equal ones that of least effort, then the lowest."""
  return min(scores, key=lambda value: (-scores[value], effort(value), value))
