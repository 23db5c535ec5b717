"""The same metrics of masks from other projects, of one batch at a time.

The functions that have options return f(batch). What a peer does otherwise is undone here, and the
comment says what that is. Where a peer has no value it gives nan.
"""

import dataclasses
import functools

import numpy as np
import pytest
import skimage.measure
import skimage.metrics
from scipy import ndimage
from scipy.spatial.distance import directed_hausdorff

from mlseg import metrics
from tests.smp import part_of_smp

torch = pytest.importorskip("torch")
monai = pytest.importorskip("monai.metrics")
sklearn = pytest.importorskip("sklearn.metrics")
smp = part_of_smp("metrics")
TOLERANCE = 1.3  # of surfaces, between the distances that the spacings make possible


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
  """Predictions and masks of one batch."""

  predictions: np.ndarray  # [B, ...]
  masks: np.ndarray  # [B, ...]
  num_classes: int
  spacing: tuple[float, ...]

  @functools.cached_property
  def counts(self):
    """[B, C, 4]."""
    return np.asarray(metrics.confusion_counts(self.predictions, self.masks, self.num_classes))

  @functools.cached_property
  def regions(self):
    """Predictions and masks as torch has them, [B, C, ...] of zeros and ones."""
    return tuple(
      torch.from_numpy(np.moveaxis(np.eye(self.num_classes)[labels], -1, 1))
      for labels in (self.predictions, self.masks)
    )

  @property
  def indicators(self):
    """Masks and predictions as scikit-learn has them, [pixels, B C] bool."""
    return tuple(one.flatten(2).flatten(0, 1).T.numpy() > 0 for one in self.regions[::-1])

  @property
  def filled(self):
    """Whether both regions have pixels, [B, C]."""
    return np.logical_and(*(one.flatten(2).any(2).numpy() for one in self.regions))

  @functools.cached_property
  def surfaces(self):
    """The surface metrics, from name to [B, C]."""
    return metrics.per_case_surface(
      self.predictions, self.masks, self.num_classes, spacing=self.spacing, tolerance=TOLERANCE,
      num_processes=1,
    ).metrics  # fmt: skip


def monai_rate(name):
  def rate(batch):
    matrix = monai.get_confusion_matrix(*batch.regions, include_background=True)
    return monai.compute_confusion_matrix_metric(name, matrix)

  return rate


def monai_overlap(compute):
  # With ignore_empty=True it has no value where nothing is true, whatever is predicted.
  return lambda batch: compute(*batch.regions, include_background=True, ignore_empty=False)


def monai_mean(reduction):
  def mean(batch):
    metric = monai.DiceMetric(include_background=False, ignore_empty=False, reduction=reduction)
    metric(*batch.regions)
    return metric.aggregate().squeeze()

  return mean


def smp_score(name, zero_division=np.nan, **options):
  def value(batch):
    given = (torch.from_numpy(one) for one in (batch.predictions, batch.masks))
    stats = smp.get_stats(*given, mode="multiclass", num_classes=batch.num_classes)
    return getattr(smp, name)(*stats, zero_division=zero_division, **options)

  return value


def sklearn_score(name, outside=False):
  """Returns a score of each region, or of its outside."""

  def value(batch):
    true, predicted = (~one if outside else one for one in batch.indicators)
    score = getattr(sklearn, name)(true, predicted, average=None, zero_division=np.nan)
    return score.reshape(batch.counts.shape[:2])

  return value


def sklearn_iou(batch):
  """Returns the Jaccard score, whose zero_division is not nan, with nan for two empty regions."""
  true, predicted = batch.indicators
  score = sklearn.jaccard_score(true, predicted, average=None, zero_division=0)
  return np.where((true | predicted).any(0), score, np.nan).reshape(batch.counts.shape[:2])


def monai_counts(batch):
  matrix = monai.get_confusion_matrix(*batch.regions, include_background=True)
  return matrix[..., [0, 1, 3, 2]]  # its order is tp, fp, tn, fn


def sklearn_counts(batch):
  matrices = sklearn.multilabel_confusion_matrix(*batch.indicators)
  return matrices.reshape(batch.counts.shape)[..., [3, 1, 2, 0]]


def smp_counts(batch):
  given = (torch.from_numpy(one) for one in (batch.predictions, batch.masks))
  return torch.stack(smp.get_stats(*given, "multiclass", num_classes=batch.num_classes), -1)


def confusion_matrices(batch):
  pairs = zip(batch.masks, batch.predictions, strict=True)
  classes = range(batch.num_classes)
  return [sklearn.confusion_matrix(g.ravel(), p.ravel(), labels=classes) for g, p in pairs]


def monai_volumetric_similarity(batch):
  regions = batch.regions
  apart = monai.compute_absolute_volume_difference(*regions, ignore_empty=False)
  return 1 - apart / sum(one.flatten(2).sum(2) for one in regions)


def monai_class_balanced_dice(batch):
  weights = 1 - batch.regions[1].flatten(2).mean(2)
  values = monai_overlap(monai.meandice.compute_dice)(batch)
  return (weights * values).sum(1) / weights.sum(1)


def monai_surface(name, **options):
  """Returns a metric of surfaces, of the regions that have pixels in both images.

  Where one is empty MONAI gives infinity or nan, and we give `missing`.
  """

  def value(batch):
    values = np.full(batch.filled.shape, np.nan)
    filled = (one[batch.filled][:, None] for one in batch.regions)
    compute = getattr(monai, f"compute_{name}")
    found = compute(*filled, include_background=True, spacing=batch.spacing, **options)
    values[batch.filled] = found[:, 0]
    return values

  return value


def of_each_surface(metric, batch):
  """Returns metric(predicted surface, true surface) of each region, nan where one is empty."""
  values = np.full(batch.filled.shape, np.nan)
  for index in zip(*np.nonzero(batch.filled), strict=True):
    regions = [one[index].numpy() > 0 for one in batch.regions]
    values[index] = metric(*(region & ~ndimage.binary_erosion(region) for region in regions))
  return values


def scipy_hausdorff(batch):
  def of_surfaces(*surfaces):
    points = [np.argwhere(surface) * np.array(batch.spacing) for surface in surfaces]
    return max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])

  return of_each_surface(of_surfaces, batch)


def skimage_hausdorff(batch):
  return of_each_surface(skimage.metrics.hausdorff_distance, batch)


def skimage_label(mask):
  return skimage.measure.label(mask, connectivity=2)


def lesions(score):
  """Returns a score f(predicted ids, true ids) of the connected foreground of each image."""

  def value(batch):
    pairs = zip(batch.predictions > 0, batch.masks > 0, strict=True)
    return np.array([score(ndimage.label(p)[0], ndimage.label(g)[0]) for p, g in pairs])

  return value


def monai_lesions(name, threshold):
  def score(prediction, mask):
    if not prediction.any() and not mask.any():
      return np.nan  # 0 / 0
    ids = torch.from_numpy(prediction), torch.from_numpy(mask)
    return float(monai.compute_panoptic_quality(
      *ids, metric_name=name, match_iou_threshold=threshold, smooth_numerator=1e-12
    ))  # fmt: skip

  return lesions(score)


monai_dice, monai_iou = map(monai_overlap, (monai.meandice.compute_dice, monai.meaniou.compute_iou))
