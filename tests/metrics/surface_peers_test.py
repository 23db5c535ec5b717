"""Surface metrics and DeepMind's surface-distance, which has another surface.

Other peers are in `metric_peers_test`.
"""

import numpy as np
import pytest

from mlseg.metrics import surface
from tests.metrics.random_masks import random_pair

deepmind = pytest.importorskip("surface_distance")

pytestmark = [
  pytest.mark.slow,
  pytest.mark.filterwarnings("ignore:.*scipy.ndimage:DeprecationWarning"),
]


def _deepmind(prediction, mask, spacing):
  return deepmind.compute_surface_distances(mask, prediction, spacing)


def test_hausdorff_of_a_moved_rectangle_equals_deepmind():
  for seed in range(30):
    rng = np.random.default_rng(seed)
    mask = np.zeros([16, 19], bool)
    height, width = rng.integers(2, 8, 2)
    mask[3 : 3 + height, 4 : 4 + width] = True
    prediction = np.roll(mask, tuple(rng.integers(-3, 4, 2)), (0, 1))
    spacing = tuple(rng.uniform(0.5, 2, 2))
    expected = deepmind.compute_robust_hausdorff(_deepmind(prediction, mask, spacing), 100)
    measured = surface.surface_distances(prediction, mask, spacing=spacing)
    np.testing.assert_allclose(surface.hausdorff(measured), expected, rtol=1e-12)


def test_hausdorff_differs_from_deepmind_by_a_pixel_at_most():
  # DeepMind's surface is made of elements at the corners of pixels. Each is half a diagonal of a
  # pixel away from the centre of a surface pixel, and the other way round; so the Hausdorff
  # distance differs by one diagonal at most. (Regions are not empty here: with numpy 2 the package
  # fails on them, as it asks for `np.Inf`.)
  num_compared = 0
  for seed in range(120):
    for prediction, mask in zip(*(labels > 0 for labels in random_pair(seed)), strict=True):
      if prediction.any() and mask.any():
        num_compared += 1
        expected = deepmind.compute_robust_hausdorff(_deepmind(prediction, mask, (0.7, 1.9)), 100)
        measured = surface.surface_distances(prediction, mask, spacing=(0.7, 1.9))
        assert abs(surface.hausdorff(measured) - expected) <= np.hypot(0.7, 1.9) + 1e-9
  assert num_compared >= 100


def test_mean_distance_and_surface_dice_are_not_those_of_deepmind():
  # One pixel, predicted one column too far. Pixel to pixel the distance is 1, and nothing is within
  # 0.5. Of the four corners two are shared, so with elements at corners (all of one length here)
  # half of both surfaces is at distance 0 and half at distance 1.
  mask = np.zeros([4, 5], bool)
  mask[1, 1] = True
  prediction = np.roll(mask, 1, axis=1)
  theirs, ours = _deepmind(prediction, mask, (1, 1)), surface.surface_distances(prediction, mask)
  assert surface.average_symmetric_surface_distance(ours) == 1
  assert deepmind.compute_average_surface_distance(theirs) == (0.5, 0.5)
  assert surface.normalized_surface_dice(ours, 0.5) == 0
  assert deepmind.compute_surface_dice_at_tolerance(theirs, 0.5) == 0.5
