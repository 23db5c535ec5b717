"""Losses again, in numpy and scipy, one image of any rank at a time, in float64.

`x` are logits [..., C], `g` masks [..., C]; each function returns a number.
"""

import numpy as np
from scipy import ndimage

SMOOTH = 1e-5


def _flat(x, g):
  """Returns softmax probabilities and masks, [N, C]."""
  powers = np.exp(x - x.max(-1, keepdims=True))
  p = powers / powers.sum(-1, keepdims=True)
  return p.reshape(-1, p.shape[-1]), g.reshape(-1, p.shape[-1])


def top_k_cross_entropy(x, g, share=0.1):
  p, g = _flat(x, g)
  worst_first = sorted((-(g * np.log(p)).sum(-1)).tolist(), reverse=True)
  wanted = left = share * len(worst_first)
  total = 0.0
  for value in worst_first:
    total += min(left, 1) * value
    left -= min(left, 1)
  return total / wanted


def poly_cross_entropy(x, g, epsilon=1.0):
  p, g = _flat(x, g)
  return np.mean(
    [-np.log(q[c]) + epsilon * (1 - q[c]) for q, c in zip(p, g.argmax(-1), strict=True)]
  )


def generalized_cross_entropy(x, g, q=0.7):
  p, g = _flat(x, g)
  return np.mean((1 - p[g > 0] ** q) / q)


def symmetric_cross_entropy(x, g, alpha=0.1, beta=1.0, log_of_zero=-4.0):
  p, g = _flat(x, g)
  clipped = np.clip(g, np.exp(log_of_zero), 1)
  return -(alpha * g * np.log(p) + beta * p * np.log(clipped)).sum(-1).mean()


def margin_based_label_smoothing(x, g, margin=10.0, penalty=0.1):
  p, flat = _flat(x, g)
  distances = x.max(-1, keepdims=True) - x
  return -np.log(p[flat > 0]).mean() + penalty * np.maximum(distances - margin, 0).mean()


def neighbor_aware_calibration(x, g, kernel_size=3, power=1, penalty=0.1):
  p, flat = _flat(x, g)
  size = (*[kernel_size] * (g.ndim - 1), 1)
  shares = ndimage.uniform_filter(g, size, mode="constant")
  return -np.log(p[flat > 0]).mean() + penalty * (np.abs(shares - x) ** power).mean()


def average_calibration_error(x, g, num_bins=20, first=0):
  p, g = _flat(x, g)
  errors = []
  for c in range(first, p.shape[-1]):
    bins = np.minimum((p[:, c] * num_bins).astype(int), num_bins - 1)
    gaps = [abs(g[bins == m, c].mean() - p[bins == m, c].mean()) for m in np.unique(bins)]
    errors.append(np.mean(gaps))
  return np.mean(errors)


def unified_focal(x, g, weight=0.5, delta=0.6, gamma=0.5, asymmetric=True):
  p, g = _flat(x, g)
  of_pixels = of_region = 0.0
  for c in range(p.shape[-1]):
    rare = c > 0
    focus = 0 if asymmetric and rare else gamma
    alpha = delta if rare else 1 - delta
    of_pixels -= (alpha * g[:, c] * (1 - p[:, c]) ** focus * np.log(p[:, c])).mean()
    tp, fp, fn = (p * g)[:, c].sum(), (p * (1 - g))[:, c].sum(), ((1 - p) * g)[:, c].sum()
    index = (tp + SMOOTH) / (tp + delta * fn + (1 - delta) * fp + SMOOTH)
    of_region += (1 - index) ** (1 if asymmetric and not rare else 1 - gamma) / p.shape[-1]
  return weight * of_pixels + (1 - weight) * of_region


def jaccard_metric(x, g):
  p, g = _flat(x, g)
  both, apart = (p + g).sum(0), np.abs(p - g).sum(0)
  return 1 - ((both - apart + 2 * SMOOTH) / (both + apart + 2 * SMOOTH)).mean()


def dice_semimetric(x, g):
  p, g = _flat(x, g)
  both, apart = (p + g).sum(0), np.abs(p - g).sum(0)
  return 1 - ((both - apart + SMOOTH) / (both + SMOOTH)).mean()


def matthews(x, g):
  p, g = _flat(x, g)
  values = []
  for q, t in zip(p.T, g.T, strict=True):
    tp, tn, fp, fn = (
      (q * t).sum(),
      ((1 - q) * (1 - t)).sum(),
      (q * (1 - t)).sum(),
      ((1 - q) * t).sum(),
    )
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn) + (SMOOTH * len(q)) ** 2
    values.append((tp * tn - fp * fn) / np.sqrt(product))
  return 1 - np.mean(values)


def _soft_skeleton(region, iterations):
  cross, box = ndimage.generate_binary_structure(region.ndim, 1), np.ones((3,) * region.ndim)
  result = np.zeros(region.shape)
  for step in range(iterations + 1):
    if step:
      region = ndimage.grey_erosion(region, footprint=cross, mode="nearest")
    opened = ndimage.grey_erosion(region, footprint=cross, mode="nearest")
    lost = np.maximum(region - ndimage.grey_dilation(opened, footprint=box, mode="nearest"), 0)
    result = result + np.maximum(lost - result * lost, 0)
  return result


def skeleton_recall(x, g, iterations=3, radius=2):
  p, values = _flat(x, g)[0].reshape(x.shape), []
  for c in range(1, x.shape[-1]):
    side = 2 * radius + 1
    lines = ndimage.maximum_filter(_soft_skeleton(g[..., c], iterations), side, mode="nearest")
    lines = lines * g[..., c]
    values.append(((lines * p[..., c]).sum() + SMOOTH) / (lines.sum() + SMOOTH))
  return 1 - np.mean(values)
