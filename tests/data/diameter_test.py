"""The longest diameter of a lesion: by hand, beside scikit-image, and mistakes."""

import numpy as np
import pytest
from skimage import measure

from mlseg.data.diameter import longest_diameter
from mlseg.errors import UserError


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.9)])
@pytest.mark.parametrize("seed", range(5))
def test_ellipses_beside_the_distances_of_centres_and_scikit_image(seed, spacing):
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:40, :40] - 20
  angle, long, short = rng.uniform(0, np.pi), rng.uniform(8, 15), rng.uniform(3, 7)
  along, across = (np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x)
  mask = (along / long) ** 2 + (across / short) ** 2 <= 1
  found = longest_diameter(mask, spacing)
  rows, columns = np.nonzero(mask)
  centres = np.stack([rows * spacing[0], columns * spacing[1]], 1)
  between = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(-1).max())
  assert between < found < between + np.hypot(*spacing)
  region = measure.regionprops(mask.astype(int), spacing=spacing)[0]
  # Its convex hull has a few pixels more than the region.
  assert found == pytest.approx(region.feret_diameter_max, abs=0.5 * max(spacing))
  assert found <= region.feret_diameter_max + 1e-9


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (10, 2)])
def test_rectangles_by_hand(size):
  height, width = size
  mask = np.zeros((12, 12))
  mask[1 : 1 + height, 2 : 2 + width] = 1
  # From the middle of a side to the farthest middle of another: rows and columns apart.
  expected = max(np.hypot(2 * (height - 1), 3 * width), np.hypot(2 * height, 3 * (width - 1)))
  assert longest_diameter(mask, (2.0, 3.0)) == pytest.approx(expected)


def test_the_largest_region_of_any_slice_counts_and_gaps_do_not():
  mask = np.zeros((3, 20, 20), np.uint8)
  mask[0, 2, 2:6] = 1  # 4 long
  mask[1, 10, 1:4] = mask[1, 10, 12:18] = 3  # 3 and 6 long, 17 from end to end
  mask[2, 5:8, 5] = 1
  assert longest_diameter(mask) == pytest.approx(6)
  assert longest_diameter(mask[0]) == pytest.approx(4)
  assert longest_diameter(mask[2], (2.0, 1.0)) == pytest.approx(6)


def test_pixels_that_touch_at_a_corner_are_one_region():
  assert longest_diameter(np.eye(3)) == pytest.approx(np.hypot(3, 2))


def test_an_empty_mask_has_no_diameter():
  assert longest_diameter(np.zeros((2, 4, 4))) == 0


@pytest.mark.parametrize(
  ("shape", "spacing", "message"),
  [
    ((4,), (1.0, 1.0), r"mask must be \[S, H, W\] or \[H, W\], not \(4,\)"),
    ((4, 4), (1.0, 0.0), "two numbers above 0, not"),
    ((4, 4), (1.0, np.nan), "two numbers above 0, not"),
    ((4, 4), (1.0,), "two numbers above 0, not"),
  ],
)
def test_mistakes(shape, spacing, message):
  with pytest.raises(UserError, match=message):
    longest_diameter(np.zeros(shape), spacing)
