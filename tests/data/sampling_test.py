"""The groups of training cases that a run sees equally often."""

import numpy as np
import pytest

from mlseg.data import sampling
from mlseg.errors import UserError
from tests.training import made


def _cases(areas, labels=None):
  """Returns cases whose lesions have these numbers of pixels, of 64."""
  cases = made.make_cases(len(areas))
  masks = np.zeros_like(cases.masks)
  for mask, area in zip(masks.reshape(len(areas), -1), areas, strict=True):
    mask[:area] = 1
  labels = cases.labels if labels is None else np.array(labels, np.int32)
  return cases._replace(masks=masks, labels=labels)


def test_a_shuffled_run_has_no_groups():
  assert sampling.groups("shuffle", made.make_cases(), np.arange(9)) is None


def test_groups_of_diagnoses_have_no_gaps():
  cases = _cases([1] * 6, labels=[2, 0, 2, 1, 0, 2])
  assert sampling.groups("labels", cases, np.array([0, 1, 2, 4])).tolist() == [1, 0, 1, 0]
  with pytest.raises(UserError, match="'labels' needs training cases of several diagnoses"):
    sampling.groups("labels", cases, np.array([0, 2, 5]))


def test_sizes_are_thirds_of_the_training_cases_and_empty_masks_a_fourth():
  areas = [64, 1, 0, 5, 9, 2, 30, 0, 3, 4, 8]
  cases = _cases(areas)
  train = np.arange(1, 11)  # the largest lesion is no training case
  found = sampling.groups("lesion_size", cases, train)
  assert found.tolist() == [0, 3, 1, 2, 0, 2, 3, 0, 1, 2]
  # Without empty masks, and where all lesions are alike, there are fewer groups.
  assert set(sampling.groups("lesion_size", cases, np.array([0, 1, 3, 4, 5, 6]))) == {0, 1, 2}
  assert set(sampling.groups("lesion_size", _cases([7] * 5), np.arange(5))) == {0}
  with pytest.raises(UserError, match="'lesion_size' needs training cases with a lesion"):
    sampling.groups("lesion_size", _cases([0] * 5), np.arange(5))


def test_pixels_beyond_an_image_do_not_count():
  masks = np.full((2, 4, 4), 255, np.uint8)
  masks[:, :2, :2] = [[[0, 1], [0, 0]], [[1, 2], [1, 0]]]
  np.testing.assert_allclose(sampling.lesion_shares(masks), [0.25, 0.75])


def test_an_unknown_method_is_named():
  with pytest.raises(UserError, match=r"unknown config\.data\.sampling 'often'"):
    sampling.groups("often", made.make_cases(), np.arange(3))
