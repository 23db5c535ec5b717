"""Losses, metrics and statistics of predictions that come from anywhere, as NumPy arrays.

Two made-up methods segment the same 40 pictures of 20 patients; the second one is off by two more
pixels. The script prints a table of the worst cases, means with intervals by resampling of the
patients, and a paired test of the patients. Run it with
`python examples/losses_and_metrics_on_numpy.py`.
"""

import numpy as np
from scipy import ndimage

from mlseg import losses, metrics


def make_masks(rng, number):
  """Returns ellipses [N, 64, 64] of 0 and 1."""
  centers, radii = rng.uniform(24, 40, (2, number, 1, 1)), rng.uniform(6, 16, (2, number, 1, 1))
  offsets = (np.mgrid[:64, :64][:, None] - centers) / radii
  return ((offsets**2).sum(0) < 1).astype(np.int32)


def make_logits(rng, masks, shift):
  """Returns logits [N, 64, 64, 2] of masks whose borders are off by smooth noise and by a shift."""
  edt = ndimage.distance_transform_edt
  signed = np.array([edt(mask) - edt(1 - mask) for mask in masks])  # pixels to the border
  noise = ndimage.gaussian_filter(rng.normal(0, 20, masks.shape), (0, 3, 3))
  scores = (np.roll(signed, shift, axis=2) + noise).astype(np.float32)
  return np.stack([-scores, scores], axis=-1) / 2


def score(logits, masks):
  """Returns one number a case, [N], of each measure."""
  predictions = logits.argmax(-1)
  counts = metrics.confusion_counts(predictions, masks, 2)
  surface = metrics.per_case_surface(predictions, masks, 2, spacing=(0.5, 0.5)).metrics  # in mm
  return {
    "soft Dice loss": np.asarray(losses.soft_dice(logits, np.eye(2)[masks])),
    "Dice": metrics.per_case(counts)["dice"][:, 1],
    "HD95 in mm": surface["hausdorff95"][:, 1],
  }


rng = np.random.default_rng(0)
masks, patients = make_masks(rng, 40), np.repeat(np.arange(20), 2)
first, second = (score(make_logits(rng, masks, shift), masks) for shift in (0, 2))
print("worst cases of the first method:")
for case in np.argsort(first["Dice"])[:3]:
  print(f"  case {case:2}:", ", ".join(f"{name} {first[name][case]:.3f}" for name in first))
for name in first:
  for title, values in (("first", first[name]), ("second", second[name])):
    mean, low, high, _ = metrics.bootstrap_interval(values, groups=patients)
    print(f"{name:14} {title:6} {mean:.3f} [{low:.3f}, {high:.3f}]")
per_patient = [scores["Dice"].reshape(20, 2).mean(1) for scores in (first, second)]
test = metrics.paired_tests(*per_patient)
print(f"Dice differs by {test.mean_difference:.3f}, Wilcoxon p = {test.p_wilcoxon:.1e}")
