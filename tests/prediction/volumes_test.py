"""Rows of the table of slices."""

import numpy as np

from mlseg.prediction import volumes


def test_slices_are_numbered_from_1_and_absent_ones_left_out():
  rows = volumes._rows("p", np.array([0.25, 0.0, 0.75], np.float32))
  assert rows == [
    {"file": "p", "slice": 1, "attention": 0.25},
    {"file": "p", "slice": 3, "attention": 0.75},
  ]
