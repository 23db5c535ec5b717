"""Metrics of segmentation, of objects and of classification, and statistics of their values.

Metrics of overlap are ratios of counts, which `confusion_counts` computes under jit. Metrics of
surfaces and objects are computed on the host, in several processes. Metrics of classification take
labels and probabilities. `mlseg.metrics.statistics` has confidence intervals and tests. Cosines
between the gradients of losses come from their Gram matrix, under jit.
`docs/reference/metrics.md` lists formulas, ranges, pitfalls and values on empty masks.
"""

from mlseg.metrics.calibration import calibration_curve, wilson_interval
from mlseg.metrics.class_means import is_present, mean_over_classes
from mlseg.metrics.classification import (
  balanced_accuracy,
  classification_accuracy,
  classification_confusion,
  classification_f1,
  classification_precision,
  classification_recall,
)
from mlseg.metrics.classification_findings import average_findings, summarize_findings
from mlseg.metrics.classification_probabilities import (
  brier,
  expected_calibration_error,
  summarize_classification,
)
from mlseg.metrics.classification_scores import (
  average_precision,
  roc_auc,
  sensitivity_at_specificity,
)
from mlseg.metrics.conflict import ConflictStatistics, conflict_statistics, gradient_cosines
from mlseg.metrics.counts import confusion_counts, confusion_matrix
from mlseg.metrics.lesions import lesion_f1, lesion_ious, panoptic_quality
from mlseg.metrics.multi_objective import delta_m, hypervolume, pareto_front
from mlseg.metrics.object_masks import split_objects
from mlseg.metrics.object_scores import (
  object_dice,
  object_f1,
  object_hausdorff,
  per_case_objects,
  pooled_objects,
  summarize_objects,
  summarize_objects_of_classes,
)
from mlseg.metrics.objects import label_objects, match_objects
from mlseg.metrics.overlap import (
  accuracy,
  class_balanced_dice,
  dice,
  f1,
  false_negative_rate,
  false_positive_rate,
  foreground_dice_per_case,
  iou,
  negative_predictive_value,
  precision,
  recall,
  specificity,
  volumetric_similarity,
)
from mlseg.metrics.presence import has_foreground, predicts_foreground, summarize_presence
from mlseg.metrics.reliability import Reliability, error_detection_auc, reliability
from mlseg.metrics.roc import auc_permutation_test, best_f1_threshold, roc_curve
from mlseg.metrics.selection import (
  SEGMENTATION_SCORES,
  foreground_dice,
  mean_class_balanced_dice,
  pooled_class_balanced_dice,
  pooled_foreground_dice,
)
from mlseg.metrics.statistics import (
  bootstrap_interval,
  cliffs_delta,
  compare,
  delong_interval,
  delong_test,
  format_mean_and_deviation,
  holm,
  mean_and_deviation,
  paired_tests,
)
from mlseg.metrics.summary import per_case, summarize, summarize_classes
from mlseg.metrics.surface import (
  average_symmetric_surface_distance,
  hausdorff,
  hausdorff95,
  normalized_surface_dice,
  pooled_distances,
  surface_distances,
)
from mlseg.metrics.surface_cases import per_case_surface, summarize_surface

__all__ = [
  "SEGMENTATION_SCORES",
  "ConflictStatistics",
  "Reliability",
  "accuracy",
  "auc_permutation_test",
  "average_findings",
  "average_precision",
  "average_symmetric_surface_distance",
  "balanced_accuracy",
  "best_f1_threshold",
  "bootstrap_interval",
  "brier",
  "calibration_curve",
  "class_balanced_dice",
  "classification_accuracy",
  "classification_confusion",
  "classification_f1",
  "classification_precision",
  "classification_recall",
  "cliffs_delta",
  "compare",
  "conflict_statistics",
  "confusion_counts",
  "confusion_matrix",
  "delong_interval",
  "delong_test",
  "delta_m",
  "dice",
  "error_detection_auc",
  "expected_calibration_error",
  "f1",
  "false_negative_rate",
  "false_positive_rate",
  "foreground_dice",
  "foreground_dice_per_case",
  "format_mean_and_deviation",
  "gradient_cosines",
  "has_foreground",
  "hausdorff",
  "hausdorff95",
  "holm",
  "hypervolume",
  "iou",
  "is_present",
  "label_objects",
  "lesion_f1",
  "lesion_ious",
  "match_objects",
  "mean_and_deviation",
  "mean_class_balanced_dice",
  "mean_over_classes",
  "negative_predictive_value",
  "normalized_surface_dice",
  "object_dice",
  "object_f1",
  "object_hausdorff",
  "paired_tests",
  "panoptic_quality",
  "pareto_front",
  "per_case",
  "per_case_objects",
  "per_case_surface",
  "pooled_class_balanced_dice",
  "pooled_distances",
  "pooled_foreground_dice",
  "pooled_objects",
  "precision",
  "predicts_foreground",
  "recall",
  "reliability",
  "roc_auc",
  "roc_curve",
  "sensitivity_at_specificity",
  "specificity",
  "split_objects",
  "summarize",
  "summarize_classes",
  "summarize_classification",
  "summarize_findings",
  "summarize_objects",
  "summarize_objects_of_classes",
  "summarize_presence",
  "summarize_surface",
  "surface_distances",
  "volumetric_similarity",
  "wilson_interval",
]
