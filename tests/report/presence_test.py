"""The table of images with and without a foreground."""

import types

import pytest

from mlseg.report import presence, sections
from mlseg.workdir.results_file import Metric

MIXED = {
  "image_sensitivity": Metric(0.9, 0.05, (0.85, 0.95)),
  "image_specificity": Metric(0.5, 0.0, (0.5, 0.5)),
  "dice_where_present": Metric(0.75, None, (0.75,)),
  "images_true_positive": Metric(18.0, 1.0, (17.0, 19.0)),
  "images_false_negative": Metric(2.0, 1.0, (3.0, 1.0)),
  "images_false_positive": Metric(None, None, (None, 1.0)),
  "images_true_negative": Metric(3.0, 0.0, (3.0, 3.0)),
}


@pytest.fixture
def runs():
  alone = {"ensemble": None, "choices": None}
  return [
    types.SimpleNamespace(name="lesions", metrics={"dice": Metric(0.8, None, (0.8,))}, **alone),
    types.SimpleNamespace(name="mixed", metrics=MIXED, **alone),
  ]


def test_a_run_that_was_tested_on_both_has_a_row(runs):
  table = presence.table(runs)
  (row,) = table.rows
  texts = [cell.text for cell in row]
  assert texts == ["mixed", "75.00", "18 of 20", "90.00 ± 5.00", "–", "50.00 ± 0.00"]
  assert len(row) == len(table.header)
  assert presence.table(runs[:1]) is None


def test_the_table_stands_among_the_scores(runs):
  assert [table.title for table in sections._scores((), (), runs).tables] == [
    "Images with and without a foreground"
  ]
  assert not sections._scores((), (), runs[:1]).tables
