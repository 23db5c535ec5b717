"""Metrics of classes and scores against scikit-learn and MONAI, and calibration in a plain loop.

Where conventions differ the test says so: scikit-learn gives 0 (with a warning) where a class has
nothing to find, and refuses or gives nan for averages of an AUC over classes of which one is
absent. What these metrics give there is held by `classification_test`.
"""

import functools
import warnings

import numpy as np
import pytest

from mlseg.metrics import classification as of_classes
from mlseg.metrics import classification_probabilities as of_probabilities
from mlseg.metrics import classification_scores as of_scores

pytestmark = pytest.mark.slow

peer = pytest.importorskip("sklearn.metrics")
torch = pytest.importorskip("torch")
monai = pytest.importorskip("monai.metrics")

NUM_TASKS = 500
ONE_CALL = {"rtol": 1e-10, "atol": 1e-12}


def _tasks(seed, num_classes=(2, 3, 4, 5), all_present=False):
  """Yields rng, labels [N], probabilities [N, C]: few cases and many, rare classes, ties."""
  rng, num_yielded = np.random.default_rng(seed), 0
  while num_yielded < NUM_TASKS:
    classes = int(rng.choice(num_classes))
    num_cases = int(rng.integers(1, 60))
    rarity = rng.dirichlet(np.full(classes, rng.choice([0.3, 1, 10])))
    labels = rng.choice(classes, num_cases, p=rarity)
    if all_present and len(np.unique(labels)) < classes:
      continue
    # Parts of 8 or of 16 make many ties; continuous ones make none.
    parts = rng.choice([8, 16, 0])
    probabilities = rng.dirichlet(np.ones(classes), num_cases)
    if parts:
      probabilities = np.array([rng.multinomial(parts, row) for row in probabilities]) / parts
    yield rng, labels, probabilities
    num_yielded += 1


def _quietly(call, *arguments, **options):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    return call(*arguments, **options)


def test_metrics_of_classes():
  for _, labels, probabilities in _tasks(0):
    predictions, classes = probabilities.argmax(axis=1), range(probabilities.shape[1])
    pair, many = (labels, predictions), {"num_classes": len(classes)}
    matrix = peer.confusion_matrix(*pair, labels=classes)
    np.testing.assert_array_equal(of_classes.classification_confusion(*pair, **many), matrix)
    accuracy = peer.accuracy_score(*pair)
    np.testing.assert_allclose(of_classes.classification_accuracy(*pair), accuracy, **ONE_CALL)
    balanced = _quietly(peer.balanced_accuracy_score, *pair)
    np.testing.assert_allclose(of_classes.balanced_accuracy(*pair), balanced, **ONE_CALL)


def test_ratios_of_classes():
  ratios = [getattr(of_classes, f"classification_{name}") for name in ("precision", "recall", "f1")]
  num_absent = 0
  for _, labels, probabilities in _tasks(1):
    predictions, classes = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
    theirs = functools.partial(
      peer.precision_recall_fscore_support, labels, predictions, zero_division=0
    )
    # scikit-learn: 0 for a class that is nowhere to find and nowhere found; here 1.
    absent = ~np.isin(classes, np.union1d(labels, predictions))
    expected = {name: theirs(average=name)[:3] for name in ("macro", "micro", "weighted")}
    expected["none"] = np.where(absent, 1, theirs(labels=classes, average=None)[:3])
    for average, values in expected.items():
      options = {"average": average, "num_classes": len(classes)}
      found = [ratio(labels, predictions, **options) for ratio in ratios]
      np.testing.assert_allclose(found, values, **ONE_CALL)
    num_absent += absent.sum()
  assert num_absent > 5


def _by_monai(compute, labels, scores, **options):
  true = labels if scores.ndim == 1 else np.eye(scores.shape[1], dtype=int)[labels]
  return compute(torch.from_numpy(scores), torch.from_numpy(true), **options)


def test_auc_of_two_classes():
  for _, labels, probabilities in _tasks(3, num_classes=[2], all_present=True):
    scores = probabilities[:, 1]
    expected = peer.roc_auc_score(labels, scores)
    np.testing.assert_allclose(of_scores.roc_auc(labels, scores), expected, **ONE_CALL)
    by_monai = _by_monai(monai.compute_roc_auc, labels, scores)
    np.testing.assert_allclose(of_scores.roc_auc(labels, scores), by_monai, **ONE_CALL)
    # Two columns that sum to 1 rank both classes alike.
    np.testing.assert_allclose(of_scores.roc_auc(labels, probabilities), expected, rtol=1e-9)


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", "none"])
def test_auc_of_many_classes(average):
  for _, labels, probabilities in _tasks(4, num_classes=[3, 4, 5], all_present=True):
    expected = peer.roc_auc_score(
      labels, probabilities, multi_class="ovr", average=None if average == "none" else average
    )
    value = of_scores.roc_auc(labels, probabilities, average=average)
    np.testing.assert_allclose(value, expected, **ONE_CALL)
    by_monai = _by_monai(monai.compute_roc_auc, labels, probabilities, average=average)
    np.testing.assert_allclose(value, by_monai, **ONE_CALL)


def test_average_precision_of_two_classes():
  for _, labels, probabilities in _tasks(5, num_classes=[2]):
    scores = probabilities[:, 1]
    value = of_scores.average_precision(labels, scores)
    if labels.any():
      expected = peer.average_precision_score(labels, scores)
      np.testing.assert_allclose(value, expected, **ONE_CALL)
    else:
      assert np.isnan(value)  # scikit-learn: 0 and a warning


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", "none"])
def test_average_precision_of_many_classes(average):
  for _, labels, probabilities in _tasks(6, num_classes=[3, 4, 5], all_present=True):
    true = np.eye(probabilities.shape[1], dtype=int)[labels]
    expected = peer.average_precision_score(
      true, probabilities, average=None if average == "none" else average
    )
    value = of_scores.average_precision(labels, probabilities, average=average)
    np.testing.assert_allclose(value, expected, **ONE_CALL)
    by_monai = _by_monai(monai.compute_average_precision, labels, probabilities, average=average)
    np.testing.assert_allclose(value, by_monai, **ONE_CALL)


def test_averages_over_classes_leave_out_those_without_cases():
  num_absent = 0
  for _, labels, probabilities in _tasks(7, num_classes=[3, 4, 5]):
    present = np.unique(labels)
    if len(present) in (1, probabilities.shape[1]):
      continue
    num_absent += 1
    for ours, theirs in (
      (of_scores.roc_auc, peer.roc_auc_score),
      (of_scores.average_precision, peer.average_precision_score),
    ):
      expected = np.mean([theirs(labels == c, probabilities[:, c]) for c in present])
      np.testing.assert_allclose(ours(labels, probabilities), expected, **ONE_CALL)
  assert num_absent > 20


def test_sensitivity_at_specificity_is_the_best_point_of_the_roc_curve():
  for rng, labels, probabilities in _tasks(8, num_classes=[2], all_present=True):
    scores, num_negative = probabilities[:, 1], (labels == 0).sum()
    specificity = rng.choice([0, 0.5, 0.8, 0.9, 0.95, 1])
    fpr, tpr, _ = peer.roc_curve(labels, scores, drop_intermediate=False)
    # Counts undo the rounding of 1 - fpr, which is below 0.9 for some 0.1.
    true_negatives = num_negative - np.round(fpr * num_negative)
    expected = tpr[true_negatives / num_negative >= specificity].max()
    value = of_scores.sensitivity_at_specificity(labels, scores, specificity)
    np.testing.assert_allclose(value, expected, **ONE_CALL)


def test_brier():
  for _, labels, probabilities in _tasks(9):
    classes = np.arange(probabilities.shape[1])
    expected = peer.brier_score_loss(labels, probabilities, labels=classes)
    np.testing.assert_allclose(of_probabilities.brier(labels, probabilities), expected, **ONE_CALL)
    if len(classes) == 2:
      expected = peer.brier_score_loss(labels, probabilities[:, 1], pos_label=1)
      value = of_probabilities.brier(labels, probabilities[:, 1])
      np.testing.assert_allclose(value, expected, **ONE_CALL)


def _plain_calibration_error(labels, probabilities, num_bins):
  total = 0.0
  for low in range(num_bins):
    hits, confidences = [], []
    for label, row in zip(labels, probabilities, strict=True):
      if low / num_bins < row.max() <= (low + 1) / num_bins:
        hits.append(row.argmax() == label)
        confidences.append(row.max())
    if hits:
      total += len(hits) / len(labels) * abs(np.mean(hits) - np.mean(confidences))
  return total


def test_calibration_error_is_that_of_a_plain_loop():
  for rng, labels, probabilities in _tasks(10):
    num_bins = int(rng.choice([1, 4, 8, 15]))
    value = of_probabilities.expected_calibration_error(labels, probabilities, num_bins=num_bins)
    expected = _plain_calibration_error(labels, probabilities, num_bins)
    np.testing.assert_allclose(value, expected, **ONE_CALL)


def test_calibration_error_of_equal_mass_without_ties_is_that_of_equal_parts():
  rng = np.random.default_rng(11)
  for _ in range(NUM_TASKS):
    num_bins, size, classes = rng.integers(1, 8), rng.integers(1, 6), rng.integers(2, 6)
    probabilities = rng.dirichlet(np.ones(classes), num_bins * size)
    labels = rng.integers(0, classes, num_bins * size)
    confidence = probabilities.max(axis=1)
    excess = (probabilities.argmax(axis=1) == labels) - confidence
    parts = excess[np.argsort(confidence)].reshape(num_bins, size)
    value = of_probabilities.expected_calibration_error(
      labels, probabilities, num_bins=int(num_bins), bins="equal_mass"
    )
    expected = np.abs(parts.mean(axis=1)).mean()
    np.testing.assert_allclose(value, expected, **ONE_CALL)
