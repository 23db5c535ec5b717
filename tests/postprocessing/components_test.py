"""Small components and holes of masks, against scipy."""

import numpy as np
import pytest
from scipy import ndimage

from mlseg.postprocessing.components import clean, fill_holes, remove_components
from mlseg.postprocessing.decision import Decision, cleaned

EIGHT = np.ones((3, 3))


def _noise(seed, num_classes=2, shape=(48, 61)):
  values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 0.8)
  edges = np.quantile(values, np.linspace(0, 1, num_classes + 1)[1:-1])
  return np.digitize(values, edges).astype(np.uint8)


@pytest.mark.parametrize("least", [2, 5, 12.5, 60])
@pytest.mark.parametrize("seed", range(3))
def test_small_components_go_as_scipy_finds_them(seed, least):
  mask = _noise(seed)
  labels, count = ndimage.label(mask, EIGHT)
  sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
  assert (sizes < least).any()
  kept = np.isin(labels, 1 + np.flatnonzero(sizes >= least))
  found = remove_components(mask, least)
  np.testing.assert_array_equal(found, kept)
  assert found.dtype == np.uint8


@pytest.mark.parametrize("seed", range(3))
def test_all_holes_are_those_of_scipy(seed):
  mask = 1 - _noise(seed)
  expected = ndimage.binary_fill_holes(mask)
  assert expected.sum() > mask.sum()
  np.testing.assert_array_equal(fill_holes(mask, mask.size), expected)


@pytest.mark.parametrize("least", [2, 6])
def test_small_holes_are_filled_and_large_ones_stay(least):
  mask = 1 - _noise(1)
  added = ndimage.binary_fill_holes(mask) & (mask == 0)
  labels, count = ndimage.label(added)
  sizes = ndimage.sum_labels(added, labels, range(1, count + 1))
  assert sizes.min() < least <= sizes.max()
  small = np.isin(labels, 1 + np.flatnonzero(sizes < least))
  np.testing.assert_array_equal(fill_holes(mask, least), np.where(small, 1, mask))


def test_what_goes_gets_the_class_of_most_pixels_around():
  mask = np.zeros((7, 9), np.uint8)
  mask[1:6, 1:6] = 1
  mask[3, 3] = 2  # within class 1
  mask[3, 8] = 2  # on the background
  mask[0, 6] = mask[0, 7] = 3  # beside one pixel of class 1
  found = remove_components(mask, 3)
  assert found[3, 3] == 1
  assert found[3, 8] == found[0, 6] == found[0, 7] == 0
  assert (found == 1).sum() == 25
  mask = np.full((5, 6), 2, np.uint8)
  mask[:, :2] = 1
  mask[2, 2] = 0  # a hole beside one pixel of class 1 and three of class 2
  assert fill_holes(mask, 2)[2, 2] == 2


@pytest.mark.parametrize("seed", range(3))
def test_no_component_of_several_classes_is_small(seed):
  mask = _noise(seed, num_classes=4)
  found = remove_components(mask, 9)
  for label in range(1, 4):
    labels, count = ndimage.label(found == label, EIGHT)
    sizes = ndimage.sum_labels(found == label, labels, range(1, count + 1))
    if label == 3:  # of earlier classes, a later one may leave a part
      assert not (sizes < 9).any()
  kept = mask == found
  assert kept.mean() > 0.7


def test_shares_are_of_the_picture_and_zero_changes_nothing():
  mask = np.zeros((10, 20), np.uint8)
  mask[2:4, 2:4], mask[6:10, 10:14] = 1, 1
  mask[7, 11] = 0
  assert clean(mask, 0.0, 0.0) is mask
  np.testing.assert_array_equal(clean(mask, 0.02, 0.0), mask)  # 4 pixels are not fewer than 4
  assert clean(mask, 0.0201, 0.0).sum() == 15
  assert clean(mask, 0.0201, 0.01).sum() == 16
  everything = np.ones((4, 4), np.uint8)
  np.testing.assert_array_equal(clean(everything, 0.99, 0.99), everything)
  np.testing.assert_array_equal(clean(1 - everything, 0.99, 0.99), 1 - everything)


def test_a_component_is_removed_before_a_hole_is_measured():
  mask = np.ones((9, 9), np.uint8)
  mask[3:6, 3:6] = 0
  mask[4, 4] = 1  # within the hole
  assert clean(mask, 2 / 81, 8.5 / 81).sum() == 72  # the hole has 9 pixels then
  assert clean(mask, 2 / 81, 10 / 81).all()
  assert clean(mask, 0.0, 8.5 / 81).all()  # and 8 pixels before


def test_each_slice_of_a_volume_is_cleaned_by_itself():
  slices = [_noise(seed, shape=(16, 16)) for seed in range(3)]
  decision = Decision(None, 0.05, 0.03)
  found = cleaned(np.concatenate(slices), decision, slices=3)
  expected = np.concatenate([cleaned(own, decision) for own in slices])
  np.testing.assert_array_equal(found, expected)
  assert (found != cleaned(np.concatenate(slices), decision)).any()
