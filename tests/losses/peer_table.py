"""The losses that another project has too, each with the options under which both are the same.

Of `mlseg.losses`, no installed project has `blob`, `dynamically_weighted_balanced`,
`generalized_cross_entropy`, `geometry`, `margin_based_label_smoothing`,
`ordered_weighted_cross_entropy`, `skeleton_recall`, `symmetric_cross_entropy` and
`top_k_cross_entropy`. Those are compared with formulas, in `loss_formulas_test` and
`newer_losses_test`; `supervised_contrastive` and `triplet_hard` with peers in `contrastive_test`.

These have the name of one and are other losses:

- `FocalLoss` of smp, and `sigmoid_focal_loss` of torchvision and optax: of each class against the
  rest, under a sigmoid.
- `DiceLoss`, `JaccardLoss` and `TverskyLoss` of smp: a class that an image lacks has no loss. The
  index of which they are made is the same, and is compared.
- `multiclass_generalized_dice_loss` of optax: a weighted mean of Dice losses.
- `LogHausdorffDTLoss`, `DiceCELoss` and `DiceFocalLoss` of MONAI: functions or sums of losses here.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple

from mlseg import losses
from tests.losses import peers

ALPHAS = (0.25, 0.75, 0.5, 1.0, 0.1)
WEIGHTS = (0.3, 4.0, 1.0, 0.0, 2.0)


class Row(NamedTuple):
  """A loss f(logits, masks, valid=), and the functions of `peers` that are the same."""

  loss: Callable
  peers: dict[str, Callable]  # from project
  masks: Literal["one_hot", "several", "shares"] = "one_hot"  # several labels, or shares of them
  ignores: bool = False  # whether there are pixels that do not count
  num_classes: int | None = None  # None: 2 to 5
  tolerance: float = 1e-9  # larger where a peer has a step in float32


def _row(
  loss, options=(), *, masks="one_hot", ignores=False, num_classes=None, tolerance=1e-9, **of
):
  own = functools.partial(loss, **dict(options))
  return Row(own, of, masks, ignores, num_classes, tolerance)


def _with(peer, **options):
  return functools.partial(peer, **options)


def _of_classes(loss, name, values):
  """Returns a loss that has one number for each class as an option."""
  return lambda x, g, **options: loss(x, g, **{name: values[: x.shape[-1]]}, **options)


def _exclusive(logits, masks):
  """Returns the topology loss of labels of which each pixel has exactly one."""
  pairs = tuple(itertools.combinations(range(logits.shape[-1]), 2))
  return losses.topology(logits, masks, exclusion=pairs, need_label=True)


def _at_two_resolutions(logits, masks):
  coarse = logits[(slice(None), *[slice(None, None, 2)] * (logits.ndim - 2))]
  loss = losses.deep_supervision(losses.soft_dice, weights=(0.75, 0.25))
  return loss([logits, coarse], masks)


_SMOOTHED, _SIGMOID = {"label_smoothing": 0.1}, {"activation": "sigmoid"}
_FOREGROUND, _ALL = {"include_background": False}, {"include_background": True}
_TVERSKY, _FOCAL_TVERSKY = {"alpha": 0.7, "beta": 0.3}, {"alpha": 0.3, "beta": 0.7}
_UNIFIED = {"weight": 0.3, "delta": 0.7, "gamma": 0.4}
_WEIGHTED = _of_classes(losses.weighted_cross_entropy, "class_weights", WEIGHTS)
_IOU = _with(peers.dice, jaccard=True)
_SMP_IOU = _with(peers.smp_overlap, alpha=1.0, beta=1.0)

ROWS = {
  "cross_entropy": _row(losses.cross_entropy, torch=peers.cross_entropy),
  "cross_entropy_ignoring": _row(losses.cross_entropy, ignores=True, torch=peers.cross_entropy),
  "cross_entropy_smoothed": _row(
    losses.cross_entropy, _SMOOTHED,
    torch=_with(peers.cross_entropy, smoothing=0.1),
    smp=_with(peers.smp_cross_entropy, smoothing=0.1),
    optax=_with(peers.optax_cross_entropy, smoothing=0.1),
  ),
  "cross_entropy_of_shares": _row(
    losses.cross_entropy, _SMOOTHED, masks="shares",
    torch=_with(peers.cross_entropy_of_shares, smoothing=0.1),
  ),
  "weighted_cross_entropy": _row(_WEIGHTED, torch=_with(peers.cross_entropy, weights=WEIGHTS)),
  "weighted_cross_entropy_ignoring": _row(
    _WEIGHTED, ignores=True, torch=_with(peers.cross_entropy, weights=WEIGHTS)
  ),
  "dynamic_weighted_cross_entropy": _row(
    losses.dynamic_weighted_cross_entropy, torch=peers.inverse_frequency_cross_entropy
  ),
  "binary_cross_entropy": _row(
    losses.binary_cross_entropy, {"positive_weight": 3.0}, masks="several",
    torch=_with(peers.binary_cross_entropy, weights=3.0),
  ),
  "binary_cross_entropy_summed": _row(
    losses.binary_cross_entropy, {"label_reduction": "sum"}, masks="several",
    torch=peers.sum_of_binary_cross_entropies,
  ),
  "binary_cross_entropy_smoothed": _row(
    losses.binary_cross_entropy, _SMOOTHED, masks="several",
    smp=_with(peers.smp_binary_cross_entropy, smoothing=0.1),
    optax=_with(peers.optax_binary_cross_entropy, smoothing=0.1),
  ),
  "poly_cross_entropy": _row(
    losses.poly_cross_entropy, {"epsilon": -0.5}, masks="shares",
    optax=_with(peers.optax_poly_cross_entropy, epsilon=-0.5),
  ),
  "focal": _row(
    losses.focal, {"gamma": 2.0, "alpha": 1.0},
    monai=_with(peers.focal, gamma=2.0, alpha=(1.0,) * 5), smp=_with(peers.smp_focal, gamma=2.0),
  ),
  "focal_ignoring": _row(
    _of_classes(_with(losses.focal, gamma=1.5), "alpha", ALPHAS), ignores=True,
    monai=_with(peers.focal, gamma=1.5, alpha=ALPHAS),
  ),
  "soft_dice": _row(
    losses.soft_dice, monai=peers.dice, smp=peers.smp_overlap, optax=peers.optax_overlap
  ),
  "soft_dice_ignoring": _row(losses.soft_dice, ignores=True, monai=peers.dice),
  "soft_dice_sigmoid": _row(
    losses.soft_dice, _SIGMOID, masks="several", monai=_with(peers.dice, **_SIGMOID)
  ),
  "soft_dice_foreground": _row(
    losses.soft_dice, _FOREGROUND, monai=_with(peers.dice, **_FOREGROUND),
    optax=_with(peers.optax_overlap, ignore_background=True),
  ),
  "soft_iou": _row(losses.soft_iou, monai=_IOU, smp=_SMP_IOU),
  "soft_iou_ignoring": _row(losses.soft_iou, ignores=True, monai=_IOU),
  "soft_iou_sigmoid": _row(
    losses.soft_iou, _SIGMOID, masks="several", smp=_with(_SMP_IOU, **_SIGMOID)
  ),
  "hard_dice": _row(losses.hard_dice, monai=peers.hard_dice),
  "hard_iou": _row(losses.hard_iou, monai=_with(peers.hard_dice, jaccard=True)),
  "tversky": _row(
    losses.tversky, _TVERSKY, monai=_with(peers.tversky, **_TVERSKY),
    smp=_with(peers.smp_overlap, **_TVERSKY),
    optax=_with(peers.optax_overlap, smooth=peers.SMOOTH, **_TVERSKY),
  ),
  "tversky_ignoring": _row(
    losses.tversky, _TVERSKY, ignores=True, monai=_with(peers.tversky, **_TVERSKY)
  ),
  "focal_tversky": _row(
    losses.focal_tversky, {"gamma": 4 / 3, **_FOCAL_TVERSKY},
    smp=_with(peers.smp_overlap, gamma=3 / 4, **_FOCAL_TVERSKY),
  ),
  "class_balanced_dice": _row(losses.class_balanced_dice, monai=peers.class_balanced_dice),
  **{
    f"generalized_dice_{weights}": _row(
      losses.generalized_dice, {"smooth": peers.TINY, "class_weights": weights},
      monai=_with(peers.generalized_dice, w_type=weights),
    )
    for weights in ("square", "simple", "uniform")
  },
  "jaccard_metric": _row(
    losses.jaccard_metric, masks="shares", monai=_with(_IOU, soft_label=True), smp=_SMP_IOU
  ),
  "dice_semimetric": _row(
    losses.dice_semimetric, masks="shares", monai=_with(peers.dice, soft_label=True),
    smp=peers.smp_overlap,
  ),
  "matthews": _row(losses.matthews, monai=peers.matthews, smp=peers.smp_matthews),
  "matthews_sigmoid": _row(
    losses.matthews, _SIGMOID, masks="several", monai=_with(peers.matthews, **_SIGMOID)
  ),
  "lovasz_softmax": _row(losses.lovasz_softmax, smp=peers.lovasz_softmax),
  "lovasz_softmax_ignoring": _row(losses.lovasz_softmax, ignores=True, smp=peers.lovasz_softmax),
  "lovasz_hinge": _row(losses.lovasz_hinge, masks="several", smp=peers.lovasz_hinge),
  "boundary": _row(
    losses.boundary, tolerance=1e-6, monai=_with(peers.boundary, **_FOREGROUND)
  ),
  "boundary_sigmoid": _row(
    losses.boundary, _ALL | _SIGMOID, masks="several", tolerance=1e-6,
    monai=_with(peers.boundary, **_ALL, **_SIGMOID),
  ),
  "hausdorff_distance_transform": _row(
    losses.hausdorff_distance_transform, {"alpha": 2.0}, monai=_with(peers.hausdorff, alpha=2.0)
  ),
  "cl_dice": _row(losses.cl_dice, monai=_with(peers.cl_dice, iterations=3)),
  "neighbor_aware_calibration": _row(
    losses.neighbor_aware_calibration, tolerance=1e-6, monai=peers.neighbor_aware_calibration
  ),
  "neighbor_aware_calibration_squared": _row(
    losses.neighbor_aware_calibration, {"kernel_size": 5, "distance": "l2"}, tolerance=1e-6,
    monai=_with(peers.neighbor_aware_calibration, kernel_size=5, distance_type="l2"),
  ),
  "average_calibration_error": _row(
    losses.average_calibration_error, {"num_bins": 7}, tolerance=5e-4,
    monai=_with(peers.average_calibration_error, num_bins=7),
  ),
  "unified_focal": _row(
    losses.unified_focal, {"smooth": peers.TINY, **_UNIFIED}, num_classes=2,
    monai=_with(peers.unified_focal, **_UNIFIED),
  ),
  "deep_supervision": _row(_at_two_resolutions, tolerance=1e-6, monai=peers.deep_supervision),
  "topology_exclusive": _row(_exclusive, torch=peers.cross_entropy),
  "topology_free": _row(
    losses.topology, masks="several", torch=peers.sum_of_binary_cross_entropies
  ),
}  # fmt: skip
