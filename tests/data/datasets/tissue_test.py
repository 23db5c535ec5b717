"""Which tiles of a slide have tissue, against a tile-by-tile count."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlseg.data.datasets import tissue


@given(
  st.integers(0, 2**31), st.integers(3, 40), st.integers(3, 40), st.sampled_from([2, 3, 5, 8]),
  st.floats(0.05, 1.0),
)  # fmt: skip
def test_shares_are_those_of_a_count_tile_by_tile(seed, height, width, size, least):
  overview = np.random.default_rng(seed).random((height, width)) < 0.5
  level = overview.repeat(4, 0).repeat(4, 1)  # the overview shows a quarter
  expected = []
  for row in range(-(-height // size)):
    for column in range(-(-width // size)):
      tile = level[
        4 * size * row : 4 * size * (row + 1), 4 * size * column : 4 * size * (column + 1)
      ]
      if tile.sum() / (4 * size) ** 2 >= least:
        expected.append((row, column))
  found = tissue.best_tiles(overview, *level.shape, 4 * size, least=least, most=0)
  assert found == expected


def test_those_with_most_are_kept_in_reading_order():
  overview = np.zeros((4, 16), bool)
  for column, rows in enumerate((2, 4, 1, 3)):
    overview[:rows, 4 * column : 4 * column + 4] = True
  kept = [tissue.best_tiles(overview, 4, 16, 4, least=0.2, most=most) for most in (1, 2, 3, 0)]
  assert kept == [[(0, 1)], [(0, 1), (0, 3)], [(0, 0), (0, 1), (0, 3)], [(0, n) for n in range(4)]]


def test_glass_and_ink_are_no_tissue_and_stains_are():
  colours = {"white": (255, 255, 255), "grey": (190, 188, 192), "ink": (12, 10, 22)}
  assert not any(tissue.is_tissue(np.array([[c]], np.uint8)).any() for c in colours.values())
  for stain in ((221, 160, 196), (120, 70, 150), (240, 220, 235)):
    assert tissue.is_tissue(np.array([[stain]], np.uint8)).all()
