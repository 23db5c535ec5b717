"""Segmentation losses: logits and one-hot masks in, one float32 value per image out.

Every loss is `f(logits [B, H, W, C], masks [B, H, W, C], *, ..., valid=None) -> [B]`: computed in
float32 (float64 where the logits are), finite with finite gradients for every mask and every logit
but NaN. `valid` [B, H, W] marks the pixels that count; an image without any has the loss 0.
`reduce` turns the values of a batch into one number.
"""

from mlseg.losses.cross_entropy import cross_entropy, focal
from mlseg.losses.overlap import class_balanced_dice, soft_dice, soft_iou, tversky
from mlseg.losses.reduction import pixel_mean, pixel_sum, reduce

__all__ = [
  "class_balanced_dice",
  "cross_entropy",
  "focal",
  "pixel_mean",
  "pixel_sum",
  "reduce",
  "soft_dice",
  "soft_iou",
  "tversky",
]
