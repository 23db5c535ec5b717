"""Lesions matched one to one: against all ways to pair them."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from mlseg.metrics import confusion_counts, lesion_f1, lesion_ious, panoptic_quality
from mlseg.metrics import volumetric_similarity as similarity


def _random(seed, shape):
  """Returns the ids of two images of a few blobs that overlap in part."""
  rng = np.random.default_rng(seed)
  smooth = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
  noise = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
  return tuple(ndimage.label(part > 0.12)[0] for part in (smooth + 0.5 * noise, smooth))


@pytest.mark.parametrize("shape", [(24, 24), (12, 12, 12)])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5])
def test_scores_are_those_of_the_best_of_all_pairings(shape, threshold):
  for seed in range(20):
    prediction, mask = _random(seed, shape)
    ious = lesion_ious(prediction, mask)
    num_true, num_found = mask.max(), prediction.max()
    assert ious.shape == (num_true, num_found)
    for t, p in itertools.product(range(num_true), range(num_found)):
      a, b = mask == t + 1, prediction == p + 1
      assert ious[t, p] == pytest.approx((a & b).sum() / (a | b).sum())
    ious = ious[:5, :5]  # so that all pairings can be tried
    wide = ious if ious.shape[0] <= ious.shape[1] else ious.T
    best = (0, 0.0)
    for chosen in itertools.permutations(range(wide.shape[1]), wide.shape[0]):
      own = np.array([wide[i, j] for i, j in enumerate(chosen)])
      best = max(best, (int((own > threshold).sum()), float(own[own > threshold].sum())))
    total = sum(ious.shape)
    assert lesion_f1(ious, threshold=threshold) == pytest.approx(2 * best[0] / total)
    assert panoptic_quality(ious, threshold=threshold) == pytest.approx(2 * best[1] / total)


@pytest.mark.parametrize(("true", "found", "value"), [(0, 0, 1.0), (2, 0, 0.0), (0, 3, 0.0)])
def test_images_without_lesions(true, found, value):
  ious = lesion_ious(np.arange(5) % (found + 1), np.arange(5) % (true + 1))
  assert ious.shape == (true, found)
  assert lesion_f1(ious) == panoptic_quality(ious) == value


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: lesion_ious(np.zeros(3, int), np.zeros(4, int)), "must have one shape"),
    (lambda: lesion_ious(np.zeros(3), np.zeros(3, int)), "prediction: must be integers"),
    (lambda: lesion_ious(np.zeros(3, int), np.full(3, -1)), "mask: must be integers"),
    (lambda: lesion_f1(np.zeros(3)), "ious: must be"),
    (lambda: panoptic_quality(np.full((1, 1), np.nan)), "ious: must be"),
    (lambda: lesion_f1(np.zeros((1, 1)), threshold=1.0), "threshold: must be in"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_the_volumetric_similarity_compares_sizes_alone():
  rng = np.random.default_rng(0)
  prediction, mask = rng.integers(0, 2, (2, 6, 9, 9))
  counts = np.asarray(confusion_counts(prediction, mask, num_classes=2))[:, 1]
  a, b = prediction.sum((1, 2)), mask.sum((1, 2))
  np.testing.assert_allclose(similarity(counts), 1 - np.abs(a - b) / (a + b))
