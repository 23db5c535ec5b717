"""The same losses from other projects: one value per image, from logits and one-hot masks.

Each function takes numpy arrays [B, ..., C] in float32 and returns B numbers. What a peer does
otherwise is undone here, and the comment says what that is.
"""

import importlib.util
import sys
import types

import numpy as np
import optax
import pytest

torch = pytest.importorskip("torch")
monai = pytest.importorskip("monai.losses")
F = torch.nn.functional


def _smp_losses():
  """Imports segmentation_models_pytorch.losses without its models.

  These need torchvision, whose builds fit one build of torch each; the losses need torch alone.
  """
  spec = importlib.util.find_spec("segmentation_models_pytorch")
  if spec is None:
    pytest.skip("segmentation_models_pytorch is not installed", allow_module_level=True)
  package = types.ModuleType("segmentation_models_pytorch")
  package.__path__ = list(spec.submodule_search_locations)
  sys.modules.setdefault("segmentation_models_pytorch", package)
  import segmentation_models_pytorch.losses

  return segmentation_models_pytorch.losses


smp = _smp_losses()
SMOOTH = 1e-5
TINY = 1e-12


def _t(array):
  """Returns channels first, [B, C, ...], as torch has them, in float64 for an exact answer."""
  return torch.from_numpy(np.moveaxis(array, -1, 1).astype(np.float64))


def _labels(masks):
  return torch.from_numpy(masks.argmax(-1))


def _each(function, logits, masks):
  """Returns a peer's value of each image, for peers that take sums over a batch."""
  pairs = zip(logits, masks, strict=True)
  return np.array([float(function(x[None], g[None])) for x, g in pairs])


def cross_entropy(logits, masks, weights=None, smoothing=0.0):
  weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
  value = F.cross_entropy(
    _t(logits), _labels(masks), weight=weights, reduction="none", label_smoothing=smoothing
  )
  return value.flatten(1).mean(1).numpy()


def optax_cross_entropy(logits, masks):
  return np.asarray(optax.softmax_cross_entropy(logits, masks).mean((1, 2)))


def optax_smoothed_cross_entropy(logits, masks, smoothing):
  return optax_cross_entropy(logits, np.asarray(optax.losses.smooth_labels(masks, smoothing)))


def optax_smoothed_binary_cross_entropy(logits, masks, smoothing):
  # Of two classes, whose logits are 0 and the label's.
  both = np.stack([np.zeros_like(logits), logits], -1)
  true = optax.losses.smooth_labels(np.stack([1 - masks, masks], -1), smoothing)
  return np.asarray(optax.softmax_cross_entropy(both, true).mean((1, 2, 3)))


def optax_binary_cross_entropy(logits, masks):
  return np.asarray(optax.sigmoid_binary_cross_entropy(logits, masks).mean((1, 2, 3)))


def binary_cross_entropy(logits, masks, weight):
  weights = torch.full((logits.shape[-1], 1, 1), weight, dtype=torch.float64)
  loss = torch.nn.BCEWithLogitsLoss(pos_weight=weights, reduction="none")
  return loss(_t(logits), _t(masks)).mean((1, 2, 3)).numpy()


def smp_binary_cross_entropy(logits, masks):
  return _each(lambda x, g: smp.SoftBCEWithLogitsLoss()(_t(x), _t(g)), logits, masks)


def inverse_frequency_cross_entropy(logits, masks):
  def one(x, g):
    counts = torch.from_numpy(g.sum((0, 1, 2)).astype(np.float64))
    # Its mean divides by the sum of the weights of the pixels.
    return F.cross_entropy(_t(x), _labels(g), weight=1 / counts.clamp(min=1))

  return _each(one, logits, masks)


def focal(logits, masks, gamma, alpha):
  # A single alpha would be 1 - alpha for class 0 in MONAI; with one per class both agree.
  alpha = np.full(logits.shape[-1], alpha)
  loss = monai.FocalLoss(gamma=gamma, alpha=alpha.tolist(), use_softmax=True, reduction="none")
  return (
    loss(_t(logits), _t(masks)).sum(1).flatten(1).mean(1).numpy()
  )  # its mean is over classes too


def _dice(logits, masks, activation="softmax", include_background=True, jaccard=False):
  # MONAI's Jaccard is 2 I / 2 U, so that its smoothing weighs half as much.
  smooth = (2 if jaccard else 1) * SMOOTH
  loss = monai.DiceLoss(
    **{activation: True}, include_background=include_background, jaccard=jaccard,
    reduction="none", smooth_nr=smooth, smooth_dr=smooth,
  )  # fmt: skip
  return loss(_t(logits), _t(masks)).reshape(len(logits), -1).numpy()


def dice(logits, masks, **options):
  return _dice(logits, masks, **options).mean(-1)


def optax_dice(logits, masks):
  return np.asarray(optax.losses.dice_loss(logits, masks, smooth=SMOOTH / 2))  # TP, not 2 TP


def smp_dice(logits, masks):
  """Returns the mean over the classes that the image has: smp gives others a loss of 0."""
  return _each(
    lambda x, g: smp.DiceLoss("multiclass", smooth=SMOOTH, eps=0)(_t(x), _labels(g)) * g.shape[-1]
    / len(np.unique(g.argmax(-1))),
    logits, masks,
  )  # fmt: skip


def smp_iou(logits, masks):
  return _each(
    lambda x, g: smp.JaccardLoss("multiclass", smooth=SMOOTH, eps=0)(_t(x), _labels(g))
    * g.shape[-1] / len(np.unique(g.argmax(-1))),
    logits, masks,
  )  # fmt: skip


def tversky(logits, masks, alpha, beta):
  loss = monai.TverskyLoss(
    softmax=True, alpha=alpha, beta=beta, reduction="none", smooth_nr=SMOOTH, smooth_dr=SMOOTH
  )
  return loss(_t(logits), _t(masks)).reshape(len(logits), -1).mean(-1).numpy()


def focal_tversky(logits, masks, alpha, beta, gamma):
  """Returns the mean over the classes that the image has, class by class.

  smp raises the mean over classes to the power, not each class, and gives absent ones a loss of 0.
  """
  loss = smp.TverskyLoss(
    "binary", from_logits=False, alpha=alpha, beta=beta, gamma=1 / gamma, smooth=SMOOTH, eps=0
  )

  def one(x, g):
    p, g = torch.softmax(_t(x), 1), _t(g)
    present = [c for c in range(p.shape[1]) if g[:, c].any()]
    return np.mean([float(loss(p[:, c : c + 1], g[:, c : c + 1])) for c in present])

  return _each(one, logits, masks)


def class_balanced_dice(logits, masks):
  weights = 1 - masks.mean((1, 2), dtype=np.float64)
  weights /= weights.sum(-1, keepdims=True)
  return (weights * _dice(logits, masks)).sum(-1)


def generalized_dice(logits, masks, w_type):
  # MONAI smooths sums whose unit depends on the weights; with next to no smoothing both agree.
  loss = monai.GeneralizedDiceLoss(
    softmax=True, w_type=w_type, reduction="none", smooth_nr=TINY, smooth_dr=TINY
  )
  return loss(_t(logits), _t(masks)).reshape(-1).numpy()


def lovasz_softmax(logits, masks):
  loss = smp.LovaszLoss("multiclass", per_image=True)  # knows float32 alone
  return _each(lambda x, g: loss(_t(x).float(), _labels(g)), logits, masks)


def lovasz_hinge(logits, masks):
  loss = smp.LovaszLoss("binary", per_image=True)
  per_class = [
    _each(lambda x, g: loss(_t(x)[:, 0].float(), _t(g)[:, 0]), logits[..., [c]], masks[..., [c]])
    for c in range(logits.shape[-1])
  ]
  return np.mean(per_class, axis=0)


def boundary(logits, masks, include_background):
  loss = monai.BoundaryLoss(softmax=True, include_background=include_background, reduction="none")
  return loss(_t(logits), _t(masks)).mean(-1).numpy()


def hausdorff(logits, masks, alpha):
  loss = monai.HausdorffDTLoss(softmax=True, alpha=alpha, reduction="none")
  return loss(_t(logits), _t(masks)).reshape(len(logits), -1).mean(-1).numpy()


def cl_dice(logits, masks, iterations):
  """Returns the mean over classes, one at a time: MONAI adds up the classes before its ratios."""
  loss = monai.SoftclDiceLoss(iter_=iterations, smooth=TINY, reduction="none")
  p, g = torch.softmax(_t(logits), 1), _t(masks)
  classes = range(1, p.shape[1])
  return np.mean([loss(p[:, c : c + 1], g[:, c : c + 1]).numpy() for c in classes], axis=0)


def sum_of_binary_cross_entropies(logits, masks):
  value = F.binary_cross_entropy_with_logits(_t(logits), _t(masks), reduction="none")
  return value.sum(1).mean((1, 2)).numpy()
