"""Classes of a mask by grey value and by colour."""

import numpy as np
import pytest

from mlseg.data import padding
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


def test_a_large_mask_is_read_in_parts(tmp_path, monkeypatch):
  meaning = classes.parse((("a", 0), ("b", (7, 9)), ("c", 200)), 0)
  mask = np.random.default_rng(0).choice([0, 7, 9, 200], (23, 11)).astype(np.uint16)
  expected = classes.by_value(mask, tmp_path, meaning, range(3))
  monkeypatch.setattr(classes, "_PIXELS", 30)
  found = classes.by_value(mask, tmp_path, meaning, range(3))
  np.testing.assert_array_equal(found, expected)
  np.testing.assert_array_equal(expected, (mask > 0) + (mask == 200).astype(int))


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_values_that_are_no_whole_numbers_are_refused(tmp_path, value):
  meaning = classes.parse((("a", 0), ("b", 1)), 0)
  with pytest.raises(UserError, match="has values of float64, but classes need whole numbers"):
    classes.by_value(np.array([[0.0, value]]), tmp_path, meaning, range(2))


@pytest.mark.parametrize(
  ("table", "ignored", "mask", "expected"),
  [
    ((("a", 0), ("b", 1)), 255, [[0, 1, 255]], [[0, 1, padding.UNLABELLED]]),
    (
      (("a", "#000000"), ("b", "#ff0000")), ("#ffffff", "#00ff00"),
      [[[0, 0, 0], [255, 0, 0], [255, 255, 255], [0, 255, 0]]],
      [[0, 1, padding.UNLABELLED, padding.UNLABELLED]],
    ),
  ],
)  # fmt: skip
def test_values_without_a_class(tmp_path, table, ignored, mask, expected):
  meaning = classes.parse(table, 0, ignored)
  classes.check_distinct(meaning)
  found = classes.by_value(np.array(mask, np.uint8), tmp_path, meaning, range(2))
  assert found.tolist() == expected
  # A file of one class has them too.
  assert classes.by_value(np.array(mask, np.uint8), tmp_path, meaning, [0, 1]).tolist() == expected


def test_masks_with_pixels_of_no_class_are_read_by_their_values():
  lesion = (("background", 0), ("lesion", 255))
  assert classes.lesion_of(classes.parse(lesion, 0), None) == 1
  assert classes.lesion_of(classes.parse(lesion, 0, 127), None) is None
  assert classes.lesion_of(classes.parse(lesion, 0, 127), "lesion") is None


@pytest.mark.parametrize(
  ("ignored", "message"),
  [
    (256, "ignore_label: a value must be 0 to 255 or '#rrggbb', not 256"),
    ("#ffffff", "values must be all grey or all colours"),
    (1, "ignore_label: 1 is of a class too"),
  ],
)
def test_a_wrong_value_of_pixels_without_a_class_is_refused(ignored, message):
  with pytest.raises(UserError, match=message):
    classes.check_distinct(classes.parse((("a", 0), ("b", 1)), 0, ignored))


def test_an_unknown_value_names_what_a_mask_may_have(tmp_path):
  meaning = classes.parse((("a", 0), ("b", 1)), 0, 255)
  with pytest.raises(UserError, match=r"\(a 0, b 1, ignore_label 255\)"):
    classes.by_value(np.full((2, 2), 7, np.uint8), tmp_path, meaning, range(2))
