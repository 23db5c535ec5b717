"""Objects of a mask: bridges are cut where they are thin, and nothing else is changed."""

import numpy as np
import pytest

from mlseg.metrics import label_objects, split_objects


def _discs(*discs, shape=(60, 90)):
  rows, columns = np.mgrid[: shape[0], : shape[1]]
  parts = [(rows - r) ** 2 + (columns - c) ** 2 <= radius**2 for r, c, radius in discs]
  return np.logical_or.reduce(parts), parts


def test_two_discs_and_a_bridge_are_cut_in_its_middle():
  mask, discs = _discs((30, 25, 15), (30, 65, 15))
  mask[28:33, 25:65] = True  # five pixels wide
  objects = split_objects(mask, neck=4)
  assert objects.max() == 2
  np.testing.assert_array_equal(objects > 0, mask)
  for disc in discs:
    assert len(np.unique(objects[disc])) == 1
  columns = np.nonzero((objects == objects[30, 25]).any(0))[0]
  assert 42 <= columns.max() <= 48
  assert split_objects(mask, neck=2).max() == 1  # the bridge is wider than that
  assert split_objects(mask).max() == 1


def test_discs_that_overlap_a_little_are_told_apart():
  mask, discs = _discs((30, 30, 16), (30, 58, 16))
  objects = split_objects(mask, neck=9)
  assert objects.max() == 2
  for number, disc in enumerate(discs):
    alone = disc & ~discs[1 - number]
    assert (objects[alone] == np.bincount(objects[alone]).argmax()).mean() > 0.97


def test_shallow_objects_stay_whole():
  mask, _ = _discs((15, 15, 12))
  mask[40:43, 5:80] = True  # a strip, nowhere deeper than two
  objects = split_objects(mask, neck=5)
  assert objects.max() == 2
  assert len(np.unique(objects[40:43, 5:80])) == 1
  np.testing.assert_array_equal(objects > 0, mask)


def test_holes_are_filled_and_specks_left_out():
  mask, _ = _discs((30, 30, 16))
  hole, _ = _discs((30, 30, 5))
  mask &= ~hole
  mask[5, 70:72] = True
  for neck in (0, 3):
    objects = split_objects(mask, neck=neck, min_size=3)
    assert objects.max() == 1
    np.testing.assert_array_equal(objects > 0, _discs((30, 30, 16))[0])
  assert not split_objects(mask, fill_holes=False, min_size=3)[hole].any()


def test_an_object_at_the_border_is_as_deep_as_if_it_went_on():
  mask = np.zeros((30, 40), bool)
  mask[:5] = True  # of a large one, of which five rows are seen
  mask[12:, 5:25] = True
  mask[5:12, 14:17] = True
  assert split_objects(mask, neck=2.5).max() == 2


def test_without_a_neck_objects_are_the_connected_regions():
  mask = np.random.default_rng(0).random((40, 50)) < 0.4
  for connectivity in (4, 8):
    np.testing.assert_array_equal(
      split_objects(mask, connectivity=connectivity, fill_holes=False),
      label_objects(mask, connectivity=connectivity),
    )


@pytest.mark.parametrize("neck", [0.0, 2.0])
def test_an_empty_and_a_full_mask(neck):
  assert not split_objects(np.zeros((9, 9)), neck=neck).any()
  assert (split_objects(np.ones((9, 9)), neck=neck) == 1).all()


@pytest.mark.parametrize("neck", [1.0, 2.0, 4.0])
def test_ids_follow_each_other_and_cover_the_mask(neck):
  rng = np.random.default_rng(1)
  discs = [(*rng.integers(5, 55, 2), rng.integers(3, 9)) for _ in range(20)]
  mask, _ = _discs(*discs)
  objects = split_objects(mask, neck=neck, fill_holes=False)
  np.testing.assert_array_equal(objects > 0, mask)
  assert sorted(np.unique(objects)) == list(range(objects.max() + 1))
  assert objects.max() >= label_objects(mask).max()
  for number in range(1, objects.max() + 1):
    assert label_objects(objects == number).max() == 1  # in one piece


@pytest.mark.parametrize("neck", [-1.0, float("nan")])
def test_a_wrong_neck_is_named(neck):
  with pytest.raises(ValueError, match="neck: must be at least 0"):
    split_objects(np.ones((4, 4)), neck=neck)
