"""The same losses from other projects: one value per image, with its derivative.

Each function takes logits and masks [B, C, ...] as torch tensors and returns [B]; those of optax
take arrays [B, ..., C]. What a peer does otherwise is undone here, and the comment says what that
is.
"""

import functools
from unittest import mock

import jax.numpy as jnp
import optax
import pytest

from tests.smp import part_of_smp

torch = pytest.importorskip("torch")
monai = pytest.importorskip("monai.losses")
F = torch.nn.functional
smp = part_of_smp("losses")
SMOOTH = 1e-5  # of mlseg, MONAI and nnU-Net
TINY = 1e-12
_IGNORED = 255


def _in_float64(peer):
  """Returns a peer that makes float32 of what it is given, such that it keeps float64."""

  @functools.wraps(peer)
  def wide(*tensors, **options):
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
      with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        return peer(*tensors, **options)
    finally:
      torch.set_default_dtype(default)

  return wide


def _of_images(values):
  """Returns the mean over all but the first axis."""
  return values.flatten(1).mean(1)


def _of_valid(values, valid):
  """Returns the mean over the pixels that count, of values that are 0 elsewhere."""
  return values.flatten(1).sum(1) / (_of_images(values) * 0 + valid.flatten(1).sum(1))


def _each(loss, *tensors):
  """Returns the values of single images, for peers that take sums or means over a batch."""
  images = zip(*(tensor.split(1) for tensor in tensors), strict=True)
  return torch.stack([loss(*image) for image in images])


def _labels(g, valid=None):
  labels = g.argmax(1)
  return labels if valid is None else torch.where(valid > 0, labels, _IGNORED)


def cross_entropy(x, g, valid=None, *, weights=None, smoothing=0.0):
  weight = None if weights is None else torch.tensor(weights, dtype=x.dtype)[: x.shape[1]]
  values = F.cross_entropy(
    x, _labels(g, valid), weight=weight, reduction="none", label_smoothing=smoothing,
    ignore_index=_IGNORED,
  )  # fmt: skip
  return _of_images(values) if valid is None else _of_valid(values, valid)


def cross_entropy_of_shares(x, g, *, smoothing=0.0):
  return _of_images(F.cross_entropy(x, g, reduction="none", label_smoothing=smoothing))


def smp_cross_entropy(x, g, *, smoothing):
  loss = smp.SoftCrossEntropyLoss(smooth_factor=smoothing, ignore_index=None)
  return _each(lambda x, g: loss(x, _labels(g)), x, g)


def binary_cross_entropy(x, g, *, weights=1.0):
  weight = torch.full((x.shape[1],) + (1,) * (x.dim() - 2), weights, dtype=x.dtype)
  return _of_images(F.binary_cross_entropy_with_logits(x, g, pos_weight=weight, reduction="none"))


def sum_of_binary_cross_entropies(x, g):
  return _of_images(F.binary_cross_entropy_with_logits(x, g, reduction="none").sum(1))


def smp_binary_cross_entropy(x, g, *, smoothing):
  # Its smoothing is the share of a label that goes to the other one, half of ours.
  return _each(smp.SoftBCEWithLogitsLoss(smooth_factor=smoothing / 2), x, g)


def inverse_frequency_cross_entropy(x, g):
  def one(x, g):
    # Its mean divides by the sum of the weights of the pixels.
    return F.cross_entropy(x, _labels(g), weight=1 / g.flatten(2).sum((0, 2)).clamp(min=1))

  return _each(one, x, g)


@_in_float64
def focal(x, g, valid=None, *, gamma, alpha):
  # A single alpha would be 1 - alpha for class 0 in MONAI; with one per class both agree.
  alphas = list(alpha)[: x.shape[1]]
  ignored = None if valid is None else _IGNORED
  loss = monai.FocalLoss(
    gamma=gamma, alpha=alphas, use_softmax=True, reduction="none", ignore_index=ignored
  )
  values = loss(x, g if valid is None else g * valid[:, None]).sum(
    1
  )  # its mean is over classes too
  return _of_images(values) if valid is None else _of_valid(values, valid)


def smp_focal(x, g, *, gamma):
  softmax_focal = smp._functional.softmax_focal_loss_with_logits
  return _each(lambda x, g: softmax_focal(x, _labels(g), gamma=gamma), x, g)


def _dice_of_classes(x, g, valid=None, *, activation="softmax", jaccard=False, **options):
  # MONAI's Jaccard is 2 I / 2 U, so that its smoothing weighs half as much.
  smooth = (2 if jaccard else 1) * SMOOTH
  if valid is not None:  # it leaves out the pixels without a class
    options["ignore_index"], g = _IGNORED, g * valid[:, None]
  loss = monai.DiceLoss(
    **{activation: True}, jaccard=jaccard, reduction="none", smooth_nr=smooth, smooth_dr=smooth,
    **options,
  )  # fmt: skip
  return loss(x, g).flatten(1)


def dice(x, g, valid=None, **options):
  return _dice_of_classes(x, g, valid, **options).mean(1)


def hard_dice(x, g, *, jaccard=False):
  def most_likely(x):  # `x * 0` gives it the derivative 0, without which torch has none
    return F.one_hot(x.argmax(1), x.shape[1]).movedim(-1, 1).to(x.dtype) + x * 0

  smooth = (2 if jaccard else 1) * SMOOTH
  loss = monai.DiceLoss(
    other_act=most_likely, jaccard=jaccard, reduction="none", smooth_nr=smooth, smooth_dr=smooth
  )
  return _of_images(loss(x, g))


def class_balanced_dice(x, g):
  """Returns MONAI's loss of each class, with the weights of the formula."""
  weights = 1 - g.flatten(2).mean(2)
  return (weights * _dice_of_classes(x, g)).sum(1) / weights.sum(1)


def smp_overlap(x, g, *, alpha=0.5, beta=0.5, gamma=1.0, activation="softmax"):
  """Returns the mean over classes of (1 - Tversky index)^gamma; with 1/2 and 1/2 it is the Dice.

  The classes DiceLoss, JaccardLoss and TverskyLoss of smp give absent classes a loss of 0, and the
  last raises the mean over classes to the power, not each class. The index is the same.
  """
  p = torch.softmax(x, 1) if activation == "softmax" else torch.sigmoid(x)
  smooth = SMOOTH / 2 if alpha == beta == 0.5 else SMOOTH  # Dice is (2 TP + s) / (2 TP + ...)
  index = smp._functional.soft_tversky_score(
    p.flatten(2), g.flatten(2), alpha, beta, smooth=smooth, eps=0, dims=2
  )
  return ((1 - index) ** gamma).mean(1)


def tversky(x, g, valid=None, *, alpha, beta):
  ignored = None if valid is None else _IGNORED
  loss = monai.TverskyLoss(
    softmax=True, alpha=alpha, beta=beta, reduction="none", smooth_nr=SMOOTH, smooth_dr=SMOOTH,
    ignore_index=ignored,
  )  # fmt: skip
  return _of_images(loss(x, g if valid is None else g * valid[:, None]))


@_in_float64
def generalized_dice(x, g, *, w_type, **options):
  # MONAI smooths sums whose unit depends on the weights; with next to no smoothing both agree.
  loss = monai.GeneralizedDiceLoss(
    softmax=True, w_type=w_type, reduction="none", smooth_nr=TINY, smooth_dr=TINY, **options
  )
  return _of_images(loss(x, g))


@_in_float64
def lovasz_softmax(x, g, valid=None):
  ignored = None if valid is None else _IGNORED
  loss = smp.LovaszLoss("multiclass", per_image=True, ignore_index=ignored)
  return _each(loss, x, _labels(g, valid))


@_in_float64
def lovasz_hinge(x, g):
  loss = smp.LovaszLoss("binary", per_image=True)
  of_labels = [_each(loss, x[:, c], g[:, c]) for c in range(x.shape[1])]
  return torch.stack(of_labels).mean(0)


def boundary(x, g, *, include_background, activation="softmax"):
  loss = monai.BoundaryLoss(
    **{activation: True}, include_background=include_background, reduction="none"
  )
  return _of_images(loss(x, g))


@_in_float64
def hausdorff(x, g, *, alpha, include_background=False):
  loss = monai.HausdorffDTLoss(
    softmax=True, alpha=alpha, include_background=include_background, reduction="none"
  )
  return _of_images(loss(x, g))


def cl_dice(x, g, *, iterations):
  """Returns the mean over classes, one at a time: MONAI adds up the classes before its ratios."""
  loss = monai.SoftclDiceLoss(iter_=iterations, smooth=TINY, reduction="none")
  p = torch.softmax(x, 1)
  classes = [loss(p[:, [c]], g[:, [c]]) for c in range(1, p.shape[1])]
  return torch.stack(classes).mean(0)


def matthews(x, g, *, activation="softmax"):
  # Its smoothing is added to the product of four counts, ours to their root over the pixels.
  smooth = (x[0, 0].numel() * SMOOTH) ** 2
  loss = monai.MCCLoss(**{activation: True}, reduction="none", smooth_dr=smooth)
  return _of_images(loss(x, g))


def smp_matthews(x, g):
  # It takes one class of one image, and adds its smoothing to each of the four counts.
  loss, p = smp.MCCLoss(eps=1e-30), torch.softmax(x, 1)
  classes = [_each(loss, p[:, c], g[:, c]) for c in range(p.shape[1])]
  return torch.stack(classes).mean(0)


@_in_float64
def neighbor_aware_calibration(x, g, *, kernel_size=3, distance_type="l1"):
  loss = monai.NACLLoss(
    classes=g.shape[1], dim=g.dim() - 2, kernel_size=kernel_size, distance_type=distance_type
  )
  return _each(lambda x, g: loss(x, _labels(g)), x, g)


def average_calibration_error(x, g, *, num_bins):
  """Returns the mean over classes; of a metric, whose bins hold float32 alone."""
  from monai.metrics import CalibrationErrorMetric

  error = CalibrationErrorMetric(num_bins=num_bins, calibration_reduction="average")
  return _of_images(error._compute_tensor(torch.softmax(x, 1), g))


def unified_focal(x, g, *, weight, delta, gamma):
  """Returns it with the sum over classes of the focal part, as the authors; MONAI has the mean."""
  options = {"delta": delta, "gamma": gamma, "epsilon": TINY, "reduction": "none"}
  focal = monai.unified_focal_loss.AsymmetricFocalLoss(**options)
  region = monai.unified_focal_loss.AsymmetricFocalTverskyLoss(**options)
  p = torch.softmax(x, 1)
  return weight * 2 * _of_images(focal(p, g)) + (1 - weight) * _of_images(region(p, g))


@_in_float64
def deep_supervision(x, g):
  loss = monai.DeepSupervisionLoss(
    monai.DiceLoss(softmax=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH), weights=[0.75, 0.25]
  )
  coarse = x[(slice(None),) * 2 + (slice(None, None, 2),) * (x.dim() - 2)]
  return _each(lambda *images: loss(list(images[:2]), images[2]), x, coarse, g)


def _mean_of_optax(values):
  return values.mean(tuple(range(1, values.ndim)))


def optax_cross_entropy(x, g, *, smoothing=0.0):
  return _mean_of_optax(optax.softmax_cross_entropy(x, optax.losses.smooth_labels(g, smoothing)))


def optax_poly_cross_entropy(x, g, *, epsilon):
  return _mean_of_optax(optax.losses.poly_loss_cross_entropy(x, g, epsilon=epsilon))


def optax_binary_cross_entropy(x, g, *, smoothing=0.0):
  both = jnp.stack([1 - g, g], -1)  # of two classes
  true = optax.losses.smooth_labels(both, smoothing)[..., 1]
  return _mean_of_optax(optax.sigmoid_binary_cross_entropy(x, true))


def optax_overlap(x, g, *, smooth=SMOOTH / 2, **options):
  return optax.losses.dice_loss(x, g, smooth=smooth, **options)  # of TP, where ours is of 2 TP
