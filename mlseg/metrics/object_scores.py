"""Metrics of single objects, as the gland segmentation challenge defines them, on the host.

Source: Sirinukunwattana et al. 2017, Medical Image Analysis 35, arXiv 1603.00275, section on
evaluation.
"""

from collections.abc import Sequence

import numpy as np

from mlseg import process_pool
from mlseg.metrics.class_means import mean_over_present
from mlseg.metrics.objects import ObjectMatches, ObjectRecords, match_objects
from mlseg.metrics.surface_cases import pair_cases

_SERIAL_BELOW = 20_000_000  # pixels, whose matching takes about as long as starting processes


def object_f1(matches: ObjectMatches) -> float:
  """Returns the F1 score of finding objects: 2 tp / (2 tp + fp + fn).

  Args:
    matches: of one image or `pooled_objects`.

  Returns:
    In [0, 1]. No object in either image: 1; in one of them only: 0.

  Example:
    >>> prediction, mask = np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]])
    >>> print(f"{object_f1(match_objects(prediction, mask)):.3f}")
    0.667
  """
  wrong = matches.fp + matches.fn
  return 2 * matches.tp / (2 * matches.tp + wrong) if matches.tp + wrong else 1.0


def object_dice(matches: ObjectMatches) -> float:
  """Returns the mean Dice of objects with their partners, weighted by area.

    1/2 [sum_i |G_i| / sum |G| Dice(G_i, partner) + sum_j |S_j| / sum |S| Dice(S_j, partner)]

  with G_i the true and S_j the predicted objects.

  Args:
    matches: of one image or `pooled_objects`.

  Returns:
    In [0, 1]. No object in either image: 1; in one of them only: 0.

  Example:
    >>> prediction, mask = np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]])
    >>> print(f"{object_dice(match_objects(prediction, mask)):.3f}")  # (3/4 0.8 + 1/4 0 + 0.8) / 2
    0.700
  """
  return _mean_both_ways(matches, lambda records: records.dice, 1.0)


def object_hausdorff(matches: ObjectMatches) -> float:
  """Returns the mean Hausdorff distance of objects to their partners, weighted by area.

    1/2 [sum_i |G_i| / sum |G| H(G_i, partner) + sum_j |S_j| / sum |S| H(S_j, partner)]

  with G_i the true and S_j the predicted objects; for an object without partner, H is that to the
  nearest object.

  Args:
    matches: of one image or `pooled_objects`.

  Returns:
    In units of spacing, >= 0. No object in either image: 0; in one of them only: `missing` of
    `match_objects`.

  Example:
    >>> prediction, mask = np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]])
    >>> object_hausdorff(match_objects(prediction, mask))  # (3/4 1 + 1/4 4 + 1) / 2
    1.375
  """
  return _mean_both_ways(matches, lambda records: records.hausdorff, 0.0)


def pooled_objects(matches: Sequence[ObjectMatches]) -> ObjectMatches:
  """Joins the records of several images; a metric of the result is their pooled value.

  Args:
    matches: one per image.

  Returns:
    The records of all objects, and the sums of the counts. No image: as for an image without
    objects.

  Example:
    >>> one = match_objects(np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]]))
    >>> both = pooled_objects([one, one])
    >>> both.true.areas.tolist(), both.tp, both.fp, both.fn
    ([3.0, 1.0, 3.0, 1.0], 2, 0, 2)
  """
  return ObjectMatches(
    _joined([one.true for one in matches]),
    _joined([one.predicted for one in matches]),
    sum(one.tp for one in matches),
    sum(one.fp for one in matches),
    sum(one.fn for one in matches),
  )


def per_case_objects(
  predictions: Sequence[np.ndarray] | np.ndarray,
  masks: Sequence[np.ndarray] | np.ndarray,
  *,
  spacing: Sequence[float] | np.ndarray | None = None,
  missing: float | None = None,
  num_processes: int | None = None,
  progress: process_pool.Progress | None = None,
) -> list[ObjectMatches]:
  """Matches the objects of many images: `match_objects`, in several processes.

  Args:
    predictions: N label maps [H, W] of predicted objects, one array or a sequence of arrays.
    masks: N label maps of true objects, each with the shape of its prediction.
    spacing: [2], or [N, 2] with one per image; None: 1.
    missing: the Hausdorff distance where the other image has no object; None: the image's diagonal.
    num_processes: as in `process_pool.run`, with the same conditions on scripts; None: one per
      usable CPU, or only this process for few pixels.
    progress: called as progress(number of images done, N).

  Returns:
    The matches of each image.

  Raises:
    ValueError: where the numbers of images differ, or an argument breaks its rule.

  Example:
    >>> prediction, mask = np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]])
    >>> [matches.tp for matches in per_case_objects([prediction, mask], [mask, mask])]
    [1, 2]
  """
  tasks = [(*pair, missing) for pair in pair_cases(predictions, masks, spacing)]
  if num_processes is None and sum(mask.size for _, mask, *_ in tasks) < _SERIAL_BELOW:
    num_processes = 1
  return process_pool.run(_match, tasks, num_processes=num_processes, progress=progress)


def summarize_objects(matches: Sequence[ObjectMatches]) -> dict[str, float]:
  """Returns all object metrics, each as the mean over images, and pooled over all objects.

  The names are object_f1, object_dice and object_hausdorff for the means over images, and the same
  with `_pooled`.

  Args:
    matches: one per image, at least one.

  Returns:
    A dict from name to value: object_hausdorff in units of spacing, the others in [0, 1]. For
    images without objects see each metric.

  Raises:
    ValueError: where there is no image.

  Example:
    >>> prediction, mask = np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]])
    >>> summary = summarize_objects(per_case_objects([prediction, mask], [mask, mask]))
    >>> print(f"{summary['object_f1']:.3f} {summary['object_f1_pooled']:.3f}")
    0.833 0.857
  """
  if not matches:
    raise ValueError("matches: must have at least one image, got none")
  joined = pooled_objects(matches)
  summary = {}
  for metric in (object_f1, object_dice, object_hausdorff):
    summary[metric.__name__] = float(np.mean([metric(one) for one in matches]))
    summary[metric.__name__ + "_pooled"] = metric(joined)
  return summary


def summarize_objects_of_classes(
  matches: Sequence[Sequence[ObjectMatches]],
) -> dict[str, float]:
  """Returns the metrics of `summarize_objects`, as means over classes.

  The mean over the classes of an image, and then over images; pooled ones are of all objects of a
  class, and then the mean over classes. A mean over classes leaves out those without any object,
  true or predicted, as in `summarize`.

  Args:
    matches: of each class, of each image; at least one of each.

  Returns:
    A dict from name to value, as `summarize_objects` gives it.

  Raises:
    ValueError: where there is no class or no image.

  Example:
    >>> nothing, all_found = np.zeros((1, 3), int), np.array([[1, 1, 0]])
    >>> missed = per_case_objects([nothing], [all_found])
    >>> absent = per_case_objects([nothing], [nothing])
    >>> summarize_objects_of_classes([missed, absent])["object_f1"]
    0.0
  """
  if not matches or not matches[0]:
    raise ValueError("matches: must have at least one class and one image, got none")
  joined = [[pooled_objects(of_class)] for of_class in matches]
  summary = {}
  for metric in (object_f1, object_dice, object_hausdorff):
    for pooling, table in (("", matches), ("_pooled", joined)):
      values = np.array([[metric(one) for one in of_class] for of_class in table]).T
      present = np.array([[_has_objects(one) for one in of_class] for of_class in table]).T
      means = mean_over_present(values.astype(float), present)
      summary[metric.__name__ + pooling] = float(means.mean())
  return summary


def _has_objects(matches: ObjectMatches) -> bool:
  return bool(matches.true.areas.size or matches.predicted.areas.size)


def _joined(records: list[ObjectRecords]) -> ObjectRecords:
  nothing = ObjectRecords(*np.zeros([3, 0]))
  return ObjectRecords(*map(np.concatenate, zip(nothing, *records, strict=True)))


def _mean_both_ways(matches: ObjectMatches, values, both_empty: float) -> float:
  """Returns the mean of both sides' means weighted by area; of one side if the other is empty."""
  sides = [side for side in (matches.true, matches.predicted) if side.areas.size]
  means = [np.average(values(side), weights=side.areas) for side in sides]
  return float(np.mean(means)) if means else both_empty


def _match(task: tuple) -> ObjectMatches:
  prediction, mask, spacing, missing = task
  return match_objects(prediction, mask, spacing=spacing, missing=missing)
