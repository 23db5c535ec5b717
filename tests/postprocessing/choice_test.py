"""What is chosen on validation, against a search through all values."""

import numpy as np
import pytest
from scipy import ndimage

from mlseg import metrics
from mlseg.postprocessing import choice
from mlseg.postprocessing.choice import SHARES, THRESHOLDS, Predicted
from mlseg.postprocessing.decision import Decision, above, cleaned, decide


def _cases(count=6, shape=(20, 24)):
  """Returns probabilities of a lesion, which are too low, and the true masks."""
  rng = np.random.default_rng(0)
  masks = np.zeros((count, *shape), np.uint8)
  for n in range(count - 1):  # the last has no lesion
    masks[n, 3 + n : 11 + n, 4:14] = 1
  noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 1, 1))
  probabilities = 0.12 + 0.3 * masks + 0.5 * noise
  return probabilities.clip(0, 1).astype(np.float32), masks


def _levels(probabilities):
  return (probabilities[..., None] > np.float32(THRESHOLDS)).sum(-1).astype(np.uint8)


def _score(predictions, masks, num_classes=2, absent="left_out"):
  counts = metrics.confusion_counts(np.stack(predictions), np.stack(masks), num_classes)
  return metrics.summarize(np.asarray(counts), absent)["dice"]


def _choose(probabilities, masks, sizes=False, thresholds=True, absent="left_out"):
  levels = _levels(probabilities) if thresholds else None
  predicted = Predicted(above(probabilities, 0.5), levels)
  return choice.choose(predicted, masks, 2, sizes=sizes, absent=absent)


@pytest.mark.parametrize("absent", ["left_out", "one"])
def test_the_threshold_is_the_best_of_all(absent):
  probabilities, masks = _cases()
  found = _choose(probabilities, masks, absent=absent)
  scores = {t: _score(above(probabilities, t), masks, absent=absent) for t in THRESHOLDS}
  assert found.thresholds == pytest.approx(scores)
  assert found.decision == Decision(max(scores, key=scores.get))
  assert found.decision.threshold < 0.5
  assert found.score == pytest.approx(max(scores.values()))
  assert found.without == pytest.approx(scores[0.5])
  assert found.without < found.score
  assert (found.components, found.holes, found.num_cases) == ({}, {}, 6)


def test_components_then_holes_are_the_best_of_all_with_what_was_chosen_before():
  probabilities, masks = _cases()
  found = _choose(probabilities, masks, sizes=True)
  labels = above(probabilities, found.decision.threshold)

  def of(component, hole):
    decision = Decision(None, component, hole)
    return _score([cleaned(own, decision) for own in labels], masks)

  components = {share: of(share, 0.0) for share in SHARES}
  assert found.components == pytest.approx(components)
  assert found.decision.component_share == max(components, key=components.get) > 0
  holes = {share: of(found.decision.component_share, share) for share in SHARES}
  assert found.holes == pytest.approx(holes)
  assert found.decision.hole_share == max(holes, key=holes.get) > 0
  assert found.score == pytest.approx(max(holes.values()))


def test_sizes_alone_leave_the_most_probable_class():
  probabilities, masks = _cases()
  found = _choose(probabilities, masks, sizes=True, thresholds=False)
  assert found.decision.threshold is None
  assert found.thresholds == {}
  assert found.components[0.0] == found.without


def test_of_equal_scores_the_least_intervention_wins():
  mask = np.zeros((10, 10), np.uint8)
  mask[2:6, 2:6] = 1
  found = _choose(np.where(mask, 0.97, 0.02).astype(np.float32)[None], [mask], sizes=True)
  assert found.decision == Decision(0.5, 0.0, 0.0)
  found = _choose(np.where(mask, 0.32, 0.02).astype(np.float32)[None], [mask])
  assert found.decision.threshold == 0.3  # 0.05 to 0.3 are the same
  split = np.where(mask, 0.62, np.where(np.arange(10) > 7, 0.41, 0.02)).astype(np.float32)
  assert _choose(split[None], [mask]).decision.threshold == 0.5


def test_several_classes_are_cleaned_by_the_mean_over_the_classes():
  rng = np.random.default_rng(1)
  masks = np.zeros((4, 20, 20), np.uint8)
  masks[:, 2:9, 2:9], masks[:, 11:18, 8:18] = 1, 2
  masks[0] = 0
  noisy = np.where(rng.random(masks.shape) < 0.04, rng.integers(0, 3, masks.shape), masks)
  predicted = Predicted(noisy.astype(np.uint8))
  found = choice.choose(predicted, masks, 3, sizes=True)
  assert found.without == pytest.approx(_score(noisy, masks, 3))
  done = [cleaned(own, found.decision) for own in noisy]
  assert found.score == pytest.approx(_score(done, masks, 3))
  assert found.score > found.without


def test_counts_are_those_of_the_metrics_also_where_pixels_do_not_count():
  rng = np.random.default_rng(2)
  labels, mask = rng.integers(0, 3, (2, 9, 11)).astype(np.uint8)
  mask[:, 7:] = 255
  expected = metrics.confusion_counts(labels[None], mask[None], 3, valid=(mask != 255)[None])[0]
  np.testing.assert_array_equal(choice.count(labels, mask, 3), expected)


def test_a_decision_on_probabilities_is_that_on_levels():
  probabilities, _ = _cases()
  levels = _levels(probabilities)
  for decision in (Decision(0.3, 0.01, 0.005), Decision(0.95), Decision(None, 0.01)):
    predicted = Predicted(above(probabilities, 0.5), levels)
    for mask, own in zip(choice.masks_of(predicted, decision), probabilities, strict=True):
      np.testing.assert_array_equal(mask, decide(np.stack([1 - own, own], -1), decision))


def test_the_grids_are_those_that_are_documented():
  assert tuple(n / 100 for n in range(5, 100, 5)) == THRESHOLDS
  assert THRESHOLDS[len(THRESHOLDS) // 2] == 0.5
  assert SHARES[0] == 0.0
  assert list(SHARES) == sorted(SHARES)
