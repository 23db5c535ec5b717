"""The scores of a model's test cases, from what its program predicts."""

import types

import jax
import numpy as np
import pytest

from mlseg import metrics
from mlseg.console import Reporter
from mlseg.data import padding
from mlseg.data.cases import evenly_spaced
from mlseg.data.splits.grouped import Split
from mlseg.training import case_tables, scoring
from mlseg.training.evaluation import Evaluation
from tests.training import made

SPLIT = Split(np.arange(12), np.arange(12, 16), np.array([20, 17, 23]))


def _test(experiment, cases, predictions, logits=None):
  """Returns the scores of these predictions, and the indices of the cases that were predicted."""
  seen = []

  def test(variables, images, masks, covariates):
    assert variables == "variables"
    seen.extend(next(n for n, own in enumerate(cases.images) if own is image or
                     np.array_equal(own, image)) for image in images)  # fmt: skip
    counts = None
    if predictions is not None:
      valid = padding.counted(masks)
      counts = metrics.confusion_counts(predictions[seen], masks, 2, valid=valid)
    found = None if predictions is None else predictions[seen]
    return Evaluation(counts, {}, found, None if logits is None else logits[seen], None)

  programs = types.SimpleNamespace(test=test, explain=None)
  scores = scoring.score_seed(programs, experiment, cases, SPLIT, "variables", Reporter(quiet=True))
  return scores, seen


def _shifted(cases):
  """Returns predictions that are wrong by one column."""
  return np.roll(cases.masks, 1, axis=2)


def test_masks_are_measured_within_their_images():
  cases = made.make_cases()
  cases.masks[17, :, 6:] = padding.IGNORED  # an image that is narrower
  experiment = made.make_experiment(
    "metrics.surface=True", "metrics.objects=True", "metrics.num_processes=1"
  )
  predictions = _shifted(cases) % padding.IGNORED
  scores, seen = _test(experiment, cases, predictions)
  assert seen == SPLIT.test.tolist()  # without diagnoses nobody asks for the validation part
  assert scores.counts.sum((1, 2)).tolist() == [2 * 64, 2 * 48, 2 * 64]
  assert scores.probabilities is None
  surface = metrics.per_case_surface(
    [predictions[20], predictions[17, :, :6], predictions[23]],
    [cases.masks[20], cases.masks[17, :, :6], cases.masks[23]],
    2,
    spacing=experiment.metrics.spacing,
    tolerance=experiment.metrics.tolerance,
    num_processes=1,
  )
  for name, values in surface.metrics.items():
    np.testing.assert_array_equal(scores.surfaces.metrics[name], values)
  rows = case_tables.case_rows(cases, SPLIT.test, scores, 3)
  assert {"dice", "hausdorff", "object_dice"} <= rows[0].keys()
  summary = scoring.summarize_seeds(experiment, {3: scores}, cases.class_names)["metrics"]
  assert summary["dice"]["mean"] == pytest.approx(
    np.mean([row["dice"] for row in rows if row["class"] == "lesion"]), abs=1e-6
  )
  assert {"hausdorff95", "object_f1"} <= summary.keys()


def test_pixels_without_a_class_count_in_no_metric():
  cases = made.make_cases()
  experiment = made.make_experiment(
    "metrics.surface=True", "metrics.objects=True", "metrics.num_processes=1"
  )
  predictions = _shifted(cases)
  unknown = np.zeros(cases.masks.shape, bool)
  unknown[17, 2:5] = True
  marked = cases._replace(masks=np.where(unknown, np.uint8(padding.UNLABELLED), cases.masks))
  scores, _ = _test(experiment, marked, predictions)
  other, _ = _test(experiment, marked, np.where(unknown, 1 - predictions, predictions))
  assert scores.counts.sum((1, 2)).tolist() == [2 * 64, 2 * 40, 2 * 64]
  for one, two in (
    (scores.counts, other.counts),
    (scores.surfaces.metrics["hausdorff95"], other.surfaces.metrics["hausdorff95"]),
    (scores.surfaces.metrics["hausdorff"], other.surfaces.metrics["hausdorff"]),
  ):
    np.testing.assert_array_equal(one, two)  # fmt: skip
  assert scores.objects == other.objects


def test_the_metrics_of_each_class_are_over_the_cases_that_have_it():
  cases = made.make_cases()
  scores, _ = _test(made.make_experiment(), cases, _shifted(cases))
  counts = np.concatenate([scores.counts, np.zeros_like(scores.counts[:, :1])], axis=1)
  for absent, factor in (("left_out", 1.0), ("one", 0.5)):
    experiment = made.make_experiment(f"metrics.absent={absent}")
    found = scoring.summarize_seeds(
      experiment,
      {seed: scores._replace(counts=counts) for seed in (3, 4)},
      ("background", "lesion", "lumen"),
    )
    dice = metrics.dice(counts)[:, 1]
    assert found["classes"]["lesion"]["dice"]["per_seed"] == pytest.approx([dice.mean()] * 2)
    assert found["classes"]["lesion"]["num_true"]["mean"] == 3
    assert np.isnan(found["classes"]["lumen"]["dice"]["mean"])
    # A class that is in no case neither raises nor lowers the mean, unless a recipe asks for it.
    expected = factor * dice.mean() + 1 - factor
    assert found["metrics"]["dice"]["mean"] == pytest.approx(expected)


def test_images_without_a_lesion_bring_metrics_of_their_own():
  cases = made.make_cases()
  experiment = made.make_experiment()
  with_lesions, _ = _test(experiment, cases, _shifted(cases))
  cases.masks[[17, 20]] = 0
  predictions = _shifted(cases)
  predictions[17, 0, 0] = 1  # a false alarm
  mixed, _ = _test(experiment, cases, predictions)

  def summary(**seeds):
    named = {int(name[1:]): scores for name, scores in seeds.items()}
    return scoring.summarize_seeds(experiment, named, cases.class_names)["metrics"]

  assert not any("image" in name for name in summary(s0=with_lesions))
  both = summary(s0=mixed, s1=with_lesions)
  assert both["image_specificity"]["per_seed"][0] == 0.5
  assert np.isnan(both["image_specificity"]["per_seed"][1])
  assert both["images_false_positive"]["per_seed"] == [1.0, 0.0]
  assert both["images_true_positive"]["mean"] == 2.0
  expected = metrics.dice(mixed.counts)[2, 1]  # of the case with a lesion
  assert both["dice_where_present"]["per_seed"][0] == pytest.approx(expected)
  assert both["dice"]["per_seed"][0] == pytest.approx((expected + 1 + 0) / 3)  # as before


def test_a_recipe_that_asks_for_neither_measures_neither():
  cases = made.make_cases()
  scores, _ = _test(made.make_experiment(), cases, _shifted(cases))
  assert scores.surfaces is None
  assert scores.objects is None


def test_diagnoses_are_predicted_of_the_validation_part_too():
  cases = made.make_cases()
  logits = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
  experiment = made.make_experiment(classifies=True)
  scores, seen = _test(experiment, cases, None, logits)
  assert seen == [*SPLIT.test, *SPLIT.validation]
  chances = np.asarray(jax.nn.softmax(logits, -1))
  np.testing.assert_allclose(scores.probabilities, chances[SPLIT.test], rtol=1e-6)
  np.testing.assert_allclose(scores.validation, chances[SPLIT.validation], rtol=1e-6)
  assert scores.counts is None
  assert case_tables.case_rows(cases, SPLIT.test, scores, 3) == []
  summary = scoring.summarize_seeds(experiment, {3: scores}, cases.class_names)["metrics"]
  expected = metrics.roc_auc(cases.labels[SPLIT.test], scores.probabilities[:, 1])
  assert summary["roc_auc"]["mean"] == pytest.approx(expected)


@pytest.mark.parametrize(
  ("count", "most", "expected"),
  [(5, 24, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8]), (1, 24, [0])],
)
def test_shown_cases_are_evenly_spaced(count, most, expected):
  assert evenly_spaced(count, most).tolist() == expected
