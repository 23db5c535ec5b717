"""Newer losses from MONAI: one value per image, from logits and one-hot masks [B, ..., C]."""

import numpy as np

from tests.losses.peers import _each, _t, monai, torch


def matthews(logits, masks):
  # Its smoothing is of the product of four counts, and larger than ours.
  loss = monai.MCCLoss(softmax=True, reduction="none", smooth_dr=1e-12)
  return loss(_t(logits), _t(masks)).reshape(len(logits), -1).mean(-1).numpy()


def neighbor_aware_calibration(logits, masks):
  loss = monai.NACLLoss(classes=masks.shape[-1], dim=masks.ndim - 2)
  return _each(lambda x, g: loss(_t(x).float(), torch.from_numpy(g.argmax(-1))), logits, masks)


def unified_focal(logits, masks, weight=0.3, delta=0.6, gamma=0.5):
  """Returns it with the sum over classes of the focal part, as the authors; MONAI has the mean."""
  focal = monai.unified_focal_loss.AsymmetricFocalLoss(delta=delta, gamma=gamma)
  tversky = monai.unified_focal_loss.AsymmetricFocalTverskyLoss(delta=delta, gamma=gamma)

  def one(x, g):
    p, g = torch.softmax(_t(x), 1), _t(g)
    return weight * 2 * focal(p, g) + (1 - weight) * tversky(p, g)

  return np.asarray(_each(one, logits, masks))
