"""The metrics of masks that another project has too, each with the options under which both agree.

Of `mlseg.metrics`, no installed project has `object_f1`, `object_dice`, `object_hausdorff` (their
definition by plain loops is in `objects_test`) and `split_objects`. Metrics of whole cases are in
`classification_peers_test`; statistics are compared with scipy in their own tests.

These have the name of one and are other metrics:

- `GeneralizedDiceScore` of MONAI weights classes by 1 / N_c^2; `class_balanced_dice` does not.
- `compute_panoptic_quality` of MONAI below a threshold of 1/2 pairs lesions to the largest sum of
  IoUs; `lesion_f1` and `panoptic_quality` to the most pairs.
- `CalibrationErrorMetric` of MONAI is of each class by itself; `expected_calibration_error` of the
  most probable one.
- `surface_distance` of DeepMind has another surface: see `surface_peers_test`.
- `DiceMetric` of MONAI by default leaves out classes that are not true, whether or not they are
  predicted; `summarize` those that are neither, or with `absent="one"` none.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from mlseg import metrics
from tests.metrics import metric_peers as of


class Row(NamedTuple):
  """A metric f(batch) -> array of any shape, and peers, which give nan where they have no value."""

  metric: Callable[[of.Masks], Any]
  peers: dict[str, Callable[[of.Masks], Any]]  # from project
  # Where a peer has no value [B, C], ours is 1 or 0: that of a prediction that is right, or the
  # other one. Or it is not looked at.
  undefined: Literal["1 if right", "0 if right", "any"] = "any"
  tolerance: float = 1e-6  # MONAI and smp compute in float32
  ranks: tuple[str, ...] = ("images", "volumes")


def _rate(metric, monai, smp, sklearn=None, undefined="1 if right"):
  """Returns the row of a ratio of counts, of which the arguments are the names."""
  peers = {"monai": of.monai_rate(monai), "smp": of.smp_score(smp)}
  if sklearn:
    peers["sklearn"] = sklearn
  return Row(lambda batch: metric(batch.counts), peers, undefined)


def _summary(name):
  return lambda batch: metrics.summarize(batch.counts, absent="one")[name]


def _hausdorff_of_pixels(prediction, mask):
  return metrics.hausdorff(metrics.surface_distances(prediction, mask))


def _lesions(metric, threshold):
  return of.lesions(lambda p, g: metric(metrics.lesion_ious(p, g), threshold=threshold))


def _objects(label):
  return lambda batch: [label(mask) for mask in batch.masks > 0]


ROWS = {
  "confusion_counts": Row(
    lambda batch: batch.counts,
    {"monai": of.monai_counts, "smp": of.smp_counts, "sklearn": of.sklearn_counts},
  ),
  "confusion_matrix": Row(
    lambda batch: metrics.confusion_matrix(batch.predictions, batch.masks, batch.num_classes),
    {"sklearn": of.confusion_matrices},
  ),
  "dice": Row(
    lambda batch: metrics.dice(batch.counts),
    {"monai": of.monai_dice, "smp": of.smp_score("f1_score", zero_division=1)},
  ),
  "iou": Row(
    lambda batch: metrics.iou(batch.counts),
    {
      "monai": of.monai_iou, "smp": of.smp_score("iou_score", zero_division=1),
      "sklearn": of.sklearn_iou,
    }, "1 if right",
  ),
  "f1": _rate(metrics.f1, "f1 score", "f1_score", of.sklearn_score("f1_score")),
  "precision": _rate(
    metrics.precision, "precision", "precision", of.sklearn_score("precision_score")
  ),
  "recall": _rate(metrics.recall, "sensitivity", "recall", of.sklearn_score("recall_score")),
  "specificity": _rate(
    metrics.specificity, "specificity", "specificity",
    of.sklearn_score("recall_score", outside=True),
  ),
  "negative_predictive_value": _rate(
    metrics.negative_predictive_value, "negative predictive value", "negative_predictive_value",
    of.sklearn_score("precision_score", outside=True),
  ),
  "false_positive_rate": _rate(
    metrics.false_positive_rate, "fall out", "false_positive_rate", undefined="0 if right"
  ),
  "false_negative_rate": _rate(
    metrics.false_negative_rate, "miss rate", "false_negative_rate", undefined="0 if right"
  ),
  "accuracy": _rate(metrics.accuracy, "accuracy", "accuracy"),
  "volumetric_similarity": Row(
    lambda batch: metrics.volumetric_similarity(batch.counts),
    {"monai": of.monai_volumetric_similarity}, "1 if right",
  ),
  "class_balanced_dice": Row(
    lambda batch: metrics.class_balanced_dice(batch.counts, absent="one"),
    {"monai": of.monai_class_balanced_dice},
  ),
  "foreground_dice_per_case": Row(
    lambda batch: metrics.foreground_dice_per_case(metrics.dice(batch.counts)),
    {"monai": of.monai_mean("mean_channel")},
  ),
  "summarize_dice": Row(_summary("dice"), {"monai": of.monai_mean("mean")}),
  "summarize_dice_with_background": Row(
    _summary("dice_with_background"),
    {"smp": of.smp_score("f1_score", zero_division=1, reduction="macro-imagewise")},
  ),
  "summarize_dice_pooled": Row(
    _summary("dice_with_background_pooled"),
    {"smp": of.smp_score("f1_score", zero_division=1, reduction="macro")},
  ),
  "summarize_iou_pooled": Row(
    _summary("iou_with_background_pooled"),
    {"smp": of.smp_score("iou_score", zero_division=1, reduction="macro")},
  ),
  "hausdorff": Row(
    lambda batch: batch.surfaces["hausdorff"],
    {"monai": of.monai_surface("hausdorff_distance"), "scipy": of.scipy_hausdorff},
  ),
  "hausdorff_of_pixels": Row(
    functools.partial(of.of_each_surface, _hausdorff_of_pixels), {"skimage": of.skimage_hausdorff}
  ),
  "hausdorff95": Row(  # torch finds the place of a quantile in float32
    lambda batch: batch.surfaces["hausdorff95"],
    {"monai": of.monai_surface("hausdorff_distance", percentile=95)}, tolerance=1e-5,
  ),
  "average_symmetric_surface_distance": Row(
    lambda batch: batch.surfaces["average_symmetric_surface_distance"],
    {"monai": of.monai_surface("average_surface_distance", symmetric=True)},
  ),
  "normalized_surface_dice": Row(
    lambda batch: batch.surfaces["normalized_surface_dice"],
    {"monai": of.monai_surface("surface_dice", class_thresholds=[of.TOLERANCE])},
  ),
  "lesion_f1": Row(
    _lesions(metrics.lesion_f1, 0.7), {"monai": of.monai_lesions("rq", 0.7)}, "1 if right"
  ),
  "panoptic_quality": Row(
    _lesions(metrics.panoptic_quality, 0.5), {"monai": of.monai_lesions("pq", 0.5)}, "1 if right"
  ),
  "label_objects": Row(
    _objects(metrics.label_objects), {"skimage": _objects(of.skimage_label)}, ranks=("images",)
  ),
}  # fmt: skip
