"""The page `docs/reference/metrics.md` is made from the code, and has every metric."""

import csv
import inspect

import numpy as np
import pytest

from mlseg import metrics
from tests.reference import generator

page = generator("metrics")
TABLES = (page.OVERLAP, page.SURFACE, page.OBJECTS, page.CLASSIFICATION)
NAMES = {row.name for table in TABLES for row in table}


def test_the_page_is_up_to_date():
  assert page.PAGE.read_text() == page.render()


def test_every_public_function_is_on_the_page_or_a_helper():
  public = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
  assert public == NAMES | page.HELPERS | set(page.STATISTICS)


def test_values_on_empty_masks_are_those_of_the_code():
  text = page.render()
  for line in (
    "| `dice` | 2 tp / (2 tp + fp + fn) | [0, 1] | up | 1, 0, 0 |",
    "| `specificity` | tn / (tn + fp) | [0, 1] | up | 1, 0.6, 1 |",
    "| `hausdorff95` | max of the two 95th percentiles | [0, ∞) | down | 0, `missing`, `missing` |",
    "| `object_f1` | 2 tp / (2 tp + fp + fn) of objects | [0, 1] | up | 1, 0, 0 |",
    "| `roc_auc` | P(s+ > s-) + ½ P(s+ = s-) | [0, 1] | up | nan, nan |",
  ):
    assert line in text


@pytest.mark.parametrize("row", [row for table in TABLES for row in table], ids=lambda r: r.name)
def test_a_row_is_complete(row):
  assert all(row)
  assert row.better in ("up", "down")


def test_the_worked_example_is_one_set_of_predictions():
  with page.CONVENTIONS.open(newline="") as file:
    rows = {row["convention"]: float(row["percent"]) for row in csv.DictReader(file)}
  lesion = rows["Dice of the lesion, mean over images"]
  both = rows["Dice, mean of lesion and background, mean over images"]
  assert both > lesion + 5
  few = [value for name, value in rows.items() if "each" in name]
  # 20 pictures that score 1 or 0 beside 98.
  np.testing.assert_allclose(sorted(few), [98 * lesion / 118, (98 * lesion + 2000) / 118], atol=0.1)
