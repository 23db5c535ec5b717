"""Overlap metrics against MONAI, segmentation-models-pytorch and scikit-learn, 120 batches each."""

import functools

import numpy as np
import pytest

from mlseg import metrics
from tests.metrics.random_masks import random_pair

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
monai = pytest.importorskip("monai.metrics")
sklearn = pytest.importorskip("sklearn.metrics")
NUM_CASES = 120
SCIKIT = {"precision": "precision_score", "recall": "recall_score", "dice": "f1_score"}
SCIKIT |= {"f1": "f1_score", "iou": "jaccard_score"}
MONAI = {
  "precision": "precision",
  "recall": "sensitivity",
  "specificity": "specificity",
  "negative_predictive_value": "negative predictive value",
  "false_positive_rate": "fall out",
  "false_negative_rate": "miss rate",
  "accuracy": "accuracy",
  "f1": "f1 score",
}


@functools.cache
def _cases():
  """Returns (predictions, masks, C, counts) of all cases."""
  cases = []
  for seed in range(NUM_CASES):
    num_classes = 2 + seed % 4
    predictions, masks = random_pair(seed, num_classes=num_classes, shape=(16, 13))
    counts = np.asarray(metrics.confusion_counts(predictions, masks, num_classes))
    cases.append((predictions, masks, num_classes, counts))
  return cases


def _one_hot(labels, num_classes):
  return torch.from_numpy(np.moveaxis(np.eye(num_classes)[labels], -1, 1))


@pytest.mark.parametrize("name", ["dice", "iou"])
def test_dice_and_iou_agree_with_monai(name):
  """Where nothing is true MONAI gives nan, unless ignore_empty=False: then 1 or 0, as we do."""
  compute = monai.meandice.compute_dice if name == "dice" else monai.meaniou.compute_iou
  for predictions, masks, num_classes, counts in _cases():
    pair = _one_hot(predictions, num_classes), _one_hot(masks, num_classes)
    ours = getattr(metrics, name)(counts)
    theirs = compute(*pair, include_background=True, ignore_empty=False).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    ignoring = compute(*pair, include_background=True, ignore_empty=True).numpy()
    empty = counts[..., [0, 2]].sum(-1) == 0
    np.testing.assert_array_equal(np.isnan(ignoring), empty)


@pytest.mark.parametrize(("name", "peer"), MONAI.items(), ids=MONAI)
def test_rates_agree_with_monai_where_they_are_defined(name, peer):
  """Where a denominator is 0 MONAI gives nan; we give the value of full or no agreement."""
  num_compared = 0
  for predictions, masks, num_classes, counts in _cases():
    pair = _one_hot(predictions, num_classes), _one_hot(masks, num_classes)
    matrix = monai.get_confusion_matrix(*pair, include_background=True)
    theirs = monai.compute_confusion_matrix_metric(peer, matrix).numpy()
    ours = getattr(metrics, name)(counts)
    defined = np.isfinite(theirs)
    np.testing.assert_allclose(ours[defined], theirs[defined], rtol=1e-6)
    assert np.isin(ours[~defined], [0, 1]).all()
    num_compared += defined.any()
  assert num_compared >= 0.99 * NUM_CASES


@pytest.mark.parametrize(("name", "peer"), SCIKIT.items(), ids=SCIKIT)
def test_ratios_agree_with_scikit_learn_pooled_and_per_image(name, peer):
  """Where the truth and the prediction have no pixel, `zero_division=1` makes it say what we do."""
  compute = functools.partial(getattr(sklearn, peer), average=None)
  for predictions, masks, num_classes, counts in _cases():
    classes = range(num_classes)
    ours = getattr(metrics, name)(counts.sum(0))
    agree = counts.sum(0)[:, [1, 2]].sum(-1) == 0
    theirs = [
      compute(masks.ravel(), predictions.ravel(), labels=classes, zero_division=zero)
      for zero in (0.0, 1.0)
    ]
    np.testing.assert_allclose(ours, np.where(agree, theirs[1], theirs[0]), rtol=1e-6)
    image = compute(masks[0].ravel(), predictions[0].ravel(), labels=classes, zero_division=0.0)
    fair = counts[0][:, [1, 2]].sum(-1) > 0
    np.testing.assert_allclose(getattr(metrics, name)(counts[0])[fair], image[fair], rtol=1e-6)
