"""Losses of segmentation, from logits and masks to one float32 value per image.

Every loss is `f(logits [B, ..., C], masks [B, ..., C], *, ..., valid=None) -> [B]`, of signals,
images or volumes. It is computed in float32 (float64 where the logits are), and it is finite with
finite gradients for every mask and every logit but NaN. `valid` [B, ...] marks the pixels that
count, or with a floating dtype has their weights; the loss of an image without any is 0. `reduce`
averages the values of a batch, `deep_supervision` applies a loss at several resolutions, and
`one_hot_masks` turns label maps into masks. `supervised_contrastive` and `triplet_hard` are losses
of embeddings [B, D].

A compound such as Dice + cross-entropy is not a loss here: combine the two losses by
`mlseg.weighting.fixed`, or by any other weighting.
"""

from mlseg.losses.balanced_overlap import class_balanced_dice, generalized_dice
from mlseg.losses.blob import blob, label_blobs
from mlseg.losses.boundary import boundary, hausdorff_distance_transform
from mlseg.losses.calibration import (
  average_calibration_error,
  margin_based_label_smoothing,
  neighbor_aware_calibration,
)
from mlseg.losses.centerline import cl_dice, skeleton_recall, soft_skeleton
from mlseg.losses.contrastive import has_partner, supervised_contrastive, triplet_hard
from mlseg.losses.cross_entropy import (
  balanced_class_weights,
  binary_cross_entropy,
  cross_entropy,
  focal,
  weighted_cross_entropy,
)
from mlseg.losses.deep_supervision import deep_supervision
from mlseg.losses.distance_transform import distance_to, signed_distances
from mlseg.losses.hard_overlap import hard_dice, hard_iou
from mlseg.losses.imbalance import (
  dynamic_weighted_cross_entropy,
  dynamically_weighted_balanced,
  ordered_weighted_cross_entropy,
)
from mlseg.losses.lovasz import lovasz_hinge, lovasz_softmax
from mlseg.losses.masks import one_hot_masks
from mlseg.losses.metric_overlap import dice_semimetric, jaccard_metric, matthews
from mlseg.losses.overlap import focal_tversky, soft_dice, soft_iou, tversky
from mlseg.losses.reduction import class_sum, pixel_count, pixel_mean, pixel_sum, reduce
from mlseg.losses.robust import (
  generalized_cross_entropy,
  poly_cross_entropy,
  symmetric_cross_entropy,
  top_k_cross_entropy,
)
from mlseg.losses.topology import geometry, label_vectors, topology
from mlseg.losses.unified_focal import unified_focal

__all__ = [
  "average_calibration_error",
  "balanced_class_weights",
  "binary_cross_entropy",
  "blob",
  "boundary",
  "cl_dice",
  "class_balanced_dice",
  "class_sum",
  "cross_entropy",
  "deep_supervision",
  "dice_semimetric",
  "distance_to",
  "dynamic_weighted_cross_entropy",
  "dynamically_weighted_balanced",
  "focal",
  "focal_tversky",
  "generalized_cross_entropy",
  "generalized_dice",
  "geometry",
  "hard_dice",
  "hard_iou",
  "has_partner",
  "hausdorff_distance_transform",
  "jaccard_metric",
  "label_blobs",
  "label_vectors",
  "lovasz_hinge",
  "lovasz_softmax",
  "margin_based_label_smoothing",
  "matthews",
  "neighbor_aware_calibration",
  "one_hot_masks",
  "ordered_weighted_cross_entropy",
  "pixel_count",
  "pixel_mean",
  "pixel_sum",
  "poly_cross_entropy",
  "reduce",
  "signed_distances",
  "skeleton_recall",
  "soft_dice",
  "soft_iou",
  "soft_skeleton",
  "supervised_contrastive",
  "symmetric_cross_entropy",
  "top_k_cross_entropy",
  "topology",
  "triplet_hard",
  "tversky",
  "unified_focal",
  "weighted_cross_entropy",
]
