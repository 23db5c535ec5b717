"""What is chosen on the validation cases of a model, and its masks of the test cases by that."""

from typing import NamedTuple

import numpy as np

from mlseg.data import padding
from mlseg.postprocessing.choice import Predicted, choose, count, masks_of
from mlseg.postprocessing.decision import Choice, Decision
from mlseg.recipe.experiment import Experiment
from mlseg.recipe.prediction import VALIDATION


class Postprocessed(NamedTuple):
  """The masks of N test cases by the decision that was chosen on the validation cases."""

  choice: Choice
  predictions: np.ndarray  # [N, H, W] uint8, classes
  counts: np.ndarray  # [N, C, 4] int32, pixels, as `metrics.confusion_counts` has them


class Part(NamedTuple):
  """What a model predicts of one part of a split."""

  predictions: np.ndarray  # [N, H, W] uint8, the most probable classes
  levels: np.ndarray | None  # [N, H, W] uint8, as in `Predicted`
  masks: np.ndarray  # [N, H, W], the true classes


def postprocess(
  experiment: Experiment, num_classes: int, validation: Part, test: Part
) -> Postprocessed:
  """Returns the masks of the test cases.

  Args:
    experiment: the recipe, in which something is to be chosen.
    num_classes: C.
    validation: the cases on which the decision is chosen; the only ones whose truth counts for it.
    test: the cases to which it is applied.
  """
  choice = chosen(experiment, num_classes, validation)
  return Postprocessed(choice, *applied(experiment, num_classes, choice.decision, test))


def chosen(experiment: Experiment, num_classes: int, validation: Part) -> Choice:
  """Returns the decision that is best on the validation cases, with its scores."""
  slices = experiment.data.num_slices
  return choose(
    _predicted(validation, slices),
    _parts(validation.masks, validation.masks, slices),
    num_classes,
    sizes=experiment.prediction.components == VALIDATION,
    absent=experiment.metrics.absent,
  )


def applied(
  experiment: Experiment, num_classes: int, decision: Decision, test: Part
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the masks of cases by a decision, and their counts, as `Postprocessed` has them."""
  predictions = test.predictions.copy()
  masks = masks_of(_predicted(test, experiment.data.num_slices), decision)
  for whole, own in zip(predictions, masks, strict=True):
    height, width = own.shape
    whole[:height, :width] = own
  pairs = zip(predictions, test.masks, strict=True)
  counts = np.stack([count(own, mask, num_classes) for own, mask in pairs])
  return predictions, counts


def _predicted(part: Part, slices: int) -> Predicted:
  labels, levels = (
    None if array is None else _parts(array, part.masks, slices)
    for array in (part.predictions, part.levels)
  )
  return Predicted(labels or (), levels, slices)


def _parts(arrays: np.ndarray, masks: np.ndarray, slices: int) -> list[np.ndarray]:
  """Returns arrays [N, H, W] cropped to their images; volumes stay whole, with absent slices."""
  return padding.own_parts(arrays, masks) if slices == 1 else list(arrays)
