"""Classes of a mask by grey value and by colour."""

import numpy as np
import pytest

from mlseg.data.datasets import classes
from mlseg.errors import UserError


def test_the_nearest_class_within_the_tolerance(tmp_path):
  meaning = classes.parse((("a", 10), ("b", 20), ("c", 200)), 5)
  mask = np.array([[5, 14, 16, 25, 195, 205]], np.uint8)
  found = classes.by_value(mask, tmp_path, meaning, range(3))
  assert found.tolist() == [[0, 0, 1, 1, 2, 2]]
  for value in (4, 26, 194, 206):
    with pytest.raises(UserError, match=f"value {value},"):
      classes.by_value(np.full((2, 2), value, np.uint8), tmp_path, meaning, range(3))


def test_colours_may_differ_in_every_channel_by_the_tolerance(tmp_path):
  meaning = classes.parse((("a", "#000000"), ("b", "#ff8000")), 6)
  mask = np.array([[[6, 0, 5], [250, 134, 6]]], np.uint8)
  assert classes.by_value(mask, tmp_path, meaning, range(2)).tolist() == [[0, 1]]
  with pytest.raises(UserError, match="#f88000"):
    classes.by_value(np.array([[[248, 128, 0]]], np.uint8), tmp_path, meaning, range(2))
