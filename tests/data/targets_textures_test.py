"""Texture: statistics of grey levels against their definitions, and classes of equal size."""

import numpy as np
import pytest
from scipy import stats

from mlseg.data import targets
from mlseg.errors import UserError


@pytest.fixture
def pictures():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (3, 24, 10, 1)).astype(np.uint8)
  masks = (rng.random((3, 24, 10)) < 0.95).astype(np.uint8)
  masks[1, 12:] = 255  # an absent slice
  masks[2] = 0
  return images, masks


def _inner(mask):
  """Returns the pixels whose eight neighbours are there and in the lesion."""
  padded = np.pad(mask, 1)
  found = np.zeros(mask.shape, bool)
  for r in range(mask.shape[0]):
    for c in range(mask.shape[1]):
      found[r, c] = (padded[r : r + 3, c : c + 3] == 1).all()
  return found


def test_deviation_and_entropy_are_those_of_the_lesion(pictures):
  images, masks = pictures
  for n in range(2):
    grey = images[n, ..., 0][_inner(masks[n])].astype(float)
    histogram = np.histogram(grey, bins=32, range=(0, 256))[0]
    assert targets.statistics(*pictures, "deviation")[n] == pytest.approx(grey.std())
    expected = stats.entropy(histogram, base=2)
    assert targets.statistics(*pictures, "entropy")[n] == pytest.approx(expected)


def test_contrast_is_over_neighbours_within_a_slice(pictures):
  images, masks = pictures
  for n in range(2):
    squares, inner = [], np.concatenate([_inner(masks[n, :12]), _inner(masks[n, 12:])])
    for r in range(24):
      for c in range(10):
        for other in ((r + 1, c), (r, c + 1)):
          inside = other[0] < 24 and other[1] < 10 and other[0] // 12 == r // 12
          if inside and inner[r, c] and inner[other]:
            squares.append(
              (float(images[n, r, c, 0]) - float(images[n, other[0], other[1], 0])) ** 2
            )
    found = targets.statistics(images, masks, "contrast", slices=2)[n]
    assert found == pytest.approx(np.mean(squares))


def test_a_lesion_that_is_edge_only_counts_whole(pictures):
  images = pictures[0][:1]
  masks = np.zeros((1, 24, 10), np.uint8)
  masks[0, 3:5, 2:9] = 1
  expected = images[0, 3:5, 2:9, 0].astype(float).std()
  assert targets.statistics(images, masks, "deviation")[0] == pytest.approx(expected)


def test_without_a_lesion_it_is_nothing_and_a_flat_one_has_none(pictures):
  images, masks = pictures
  for name in targets.STATISTICS:
    assert targets.statistics(images, masks, name)[2] == 0
    assert targets.statistics(np.full_like(images, 9), masks, name)[0] == 0


def test_classes_have_the_same_size():
  values = np.random.default_rng(1).lognormal(size=300)
  edges = targets.edges(values, 3)
  assert edges.dtype == np.float32
  counts = np.bincount((values[:, None] >= edges).sum(1))
  assert counts.tolist() == [100, 100, 100]


def test_an_unknown_statistic_is_named(pictures):
  with pytest.raises(UserError, match="deviaton"):
    targets.statistics(*pictures, "deviaton")
