"""Post-processing of the parts of a split: images of several sizes, and volumes."""

import numpy as np

from mlseg import metrics
from mlseg.data import padding
from mlseg.postprocessing.decision import cleaned
from mlseg.training.postprocess import Part, postprocess
from tests.training import made


def _part(seed, count=4, sizes=((12, 16), (16, 9))):
  """Returns noisy predictions of lesions in images of two sizes, mirrored to a common one."""
  rng = np.random.default_rng(seed)
  images, masks = [], []
  for n in range(count):
    mask = np.zeros(sizes[n % 2], np.uint8)
    mask[2:9, 2:8] = 1
    noisy = np.where(rng.random(mask.shape) < 0.06, 1 - mask, mask)
    images.append(noisy.astype(np.uint8))
    masks.append(mask)
  predictions, truth = padding.stack(images, masks)
  return Part(predictions, None, truth)


def test_images_are_cleaned_within_their_borders():
  validation, test = _part(0), _part(1)
  experiment = made.make_experiment(components="validation")
  found = postprocess(experiment, 2, validation, test)
  decision = found.choice.decision
  assert decision.component_share
  assert decision.hole_share
  for n, own in enumerate(padding.own_parts(found.predictions, test.masks)):
    height, width = own.shape
    assert (height, width) == ((12, 16), (16, 9))[n % 2]
    expected = cleaned(test.predictions[n, :height, :width], decision)
    np.testing.assert_array_equal(own, expected)
  expected = metrics.confusion_counts(
    found.predictions, test.masks, 2, valid=test.masks != padding.IGNORED
  )
  np.testing.assert_array_equal(found.counts, expected)


def test_the_slices_of_a_volume_are_cleaned_one_by_one():
  rng = np.random.default_rng(0)
  masks = np.zeros((3, 2 * 10, 10), np.uint8)
  masks[:, 2:8, 2:8], masks[:, 13:17, 2:8] = 1, 1
  predictions = np.where(rng.random(masks.shape) < 0.05, 1 - masks, masks).astype(np.uint8)
  masks[2, 10:] = padding.IGNORED  # a slice that the volume lacks
  experiment = made.make_experiment(components="validation")
  data = experiment.data._replace(name="cohort", options=type("Options", (), {"slices": 2}))
  part = Part(predictions, None, masks)
  found = postprocess(experiment._replace(data=data), 2, part, part)
  assert found.choice.decision.component_share
  for whole, own in zip(predictions, found.predictions, strict=True):
    np.testing.assert_array_equal(own, cleaned(whole, found.choice.decision, slices=2))
  assert found.counts[2].sum() == 2 * 100
