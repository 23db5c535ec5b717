"""The entry of an ensemble in `results.json`, for networks with masks and with diagnoses."""

import numpy as np
import pytest

from mlseg import metrics
from mlseg.training import ensemble
from mlseg.training.scoring import SeedScores

LABELS = np.array([0, 1, 1, 0, 1], np.int32)


def _counts(empty=False):
  """Returns the counts of five images; in the last one nothing is true if `empty`."""
  rng = np.random.default_rng(0)
  truth = rng.integers(0, 2, (5, 8, 8))
  if empty:
    truth[-1] = 0
  return np.asarray(metrics.confusion_counts(rng.integers(0, 2, truth.shape), truth, 2))


def _probabilities(count):
  return np.random.default_rng(1).dirichlet(np.ones(count), 5).astype(np.float32)


def _scores(counts=None, probabilities=None):
  return SeedScores(counts, None, None, LABELS, probabilities)


def _entry(scores, groups=None):
  groups = np.arange(5) if groups is None else groups
  found = ensemble.summarize(scores, "left_out", groups, num_models=3)
  assert found["num_models"] == 3
  return found["metrics"]


def test_masks_have_the_mean_dice_and_its_interval():
  counts = _counts()
  entry = _entry(_scores(counts))
  dice = np.asarray(metrics.dice(counts))[:, 1]
  expected = metrics.bootstrap_interval(dice, num_resamples=ensemble.NUM_RESAMPLES)
  assert entry["dice"]["value"] == pytest.approx(dice.mean())
  assert (entry["dice"]["low"], entry["dice"]["high"]) == pytest.approx(expected[1:3])
  assert not {"image_sensitivity", "roc_auc"} & entry.keys()


def test_images_without_a_lesion_bring_the_metrics_of_presence():
  counts = _counts(empty=True)
  entry = _entry(_scores(counts))
  for name, value in metrics.summarize_presence(counts).items():
    assert entry[name] == {"value": value, "low": None, "high": None}


def test_cases_that_belong_together_are_drawn_together():
  alone, pairs = (
    _entry(_scores(_counts()), groups) for groups in (None, np.array([0, 0, 1, 1, 2]))
  )
  assert alone["dice"]["value"] == pairs["dice"]["value"]
  assert alone["dice"]["low"] != pairs["dice"]["low"]


def test_two_diagnoses_have_an_auc_with_an_interval_and_three_have_not():
  two, three = (_entry(_scores(probabilities=_probabilities(count))) for count in (2, 3))
  right = _probabilities(2).argmax(-1) == LABELS
  assert two["classification_accuracy"]["value"] == pytest.approx(right.mean())
  assert two["roc_auc"]["low"] <= two["roc_auc"]["value"] <= two["roc_auc"]["high"]
  assert three["classification_accuracy"]["low"] is not None
  assert three.get("roc_auc", {"low": None})["low"] is None
  assert "dice" not in two
