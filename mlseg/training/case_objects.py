"""Single objects in the test cases of a run: found in masks, matched, scored."""

from collections.abc import Callable, Sequence

import numpy as np

from mlseg.metrics import (
  label_objects,
  object_dice,
  object_f1,
  object_hausdorff,
  per_case_objects,
  split_objects,
  summarize_objects_of_classes,
)
from mlseg.metrics.objects import ObjectMatches
from mlseg.recipe.experiment import Metrics

METRICS: tuple[Callable[[ObjectMatches], float], ...] = (object_f1, object_dice, object_hausdorff)
Matches = list[list[ObjectMatches]]  # of each class but the background, of each case


def match(
  predictions: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  num_classes: int,
  options: Metrics,
  known: Sequence[np.ndarray] | None = None,
) -> Matches:
  """Returns how the objects of each class agree.

  Args:
    predictions: N of [H, W], classes.
    masks: N of [H, W], classes.
    num_classes: C.
    options: of the recipe.
    known: N of [H, W], the numbers of the true objects; None: they are the connected regions.
  """
  found = []
  for label in range(1, num_classes):
    predicted = [
      split_objects(mask == label, neck=options.object_neck, min_size=options.object_size)
      for mask in predictions
    ]
    if known is None:
      true = [label_objects(mask == label) for mask in masks]
    else:
      true = [np.where(mask == label, own, 0) for mask, own in zip(masks, known, strict=True)]
    found.append(
      per_case_objects(
        predicted, true, spacing=options.spacing, num_processes=options.num_processes or None
      )
    )
  return found


def of_cases(matches: Matches) -> dict[str, np.ndarray]:
  """Returns every metric [N, C]; the background has none (NaN)."""
  nothing = np.full(len(matches[0]), np.nan)
  return {
    metric.__name__: np.stack(
      [nothing, *(np.array([metric(one) for one in of_class]) for of_class in matches)], -1
    )
    for metric in METRICS
  }


def summarize(matches: Matches) -> dict[str, float]:
  """Returns every metric of `summarize_objects`, mean over the classes that have objects."""
  return summarize_objects_of_classes(matches)
