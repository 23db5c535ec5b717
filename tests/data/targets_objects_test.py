"""Single objects of masks, against a count by hand and scipy's labels."""

import numpy as np
from scipy import ndimage

from mlseg.data import targets


def test_objects_are_the_connected_parts_of_each_class_from_the_largest_on():
  rng = np.random.default_rng(0)
  masks = (
    (ndimage.gaussian_filter(rng.normal(size=(4, 40, 40)), (0, 2, 2)) * 12).astype(int).clip(0, 2)
  )
  found = targets.number_objects(masks, 255)
  assert found.dtype == np.uint8
  for numbers, mask in zip(found, masks, strict=True):
    np.testing.assert_array_equal(numbers > 0, mask > 0)
    sizes = [(numbers == n).sum() for n in range(1, numbers.max() + 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0
    expected = sum(ndimage.label(mask == c, np.ones((3, 3)))[1] for c in (1, 2))
    assert numbers.max() == expected > 2
    for n in range(1, numbers.max() + 1):
      assert len(np.unique(mask[numbers == n])) == 1
      assert ndimage.label(numbers == n, np.ones((3, 3)))[1] == 1


def test_only_the_largest_are_kept():
  mask = np.zeros((1, 8, 8), int)
  mask[0, 0, 0], mask[0, 2:4, 2:4], mask[0, 6, 5:8] = 1, 1, 2
  found = targets.number_objects(mask, 2)[0]
  assert found.max() == 2
  assert found[0, 0] == 0
  assert (found[2:4, 2:4] == 1).all()
  assert (found[6, 5:8] == 2).all()


def test_masks_without_an_object_stay_empty():
  assert not targets.number_objects(np.zeros((2, 3, 3), np.uint8), 4).any()
