"""Object metrics against hand-made cases and against their definition on sets of pixels."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mlseg.metrics import object_scores, objects
from tests.metrics.random_masks import random_labels, random_pair


def _sets(labels):
  """Returns from id to the set of its pixels."""
  return {
    int(i): set(map(tuple, np.argwhere(labels == i).tolist())) for i in np.unique(labels) if i
  }


def _hausdorff(a, b, spacing):
  distances = cdist(np.array(sorted(a)) * spacing, np.array(sorted(b)) * spacing)
  return max(distances.min(axis=0).max(), distances.min(axis=1).max())


def _partner(region, others):
  """Returns the id of the object with the largest overlap, of equals the smallest, or None."""
  overlaps = {i: len(region & other) for i, other in others.items()}
  largest = max(overlaps.values(), default=0)
  return min((i for i in overlaps if overlaps[i] == largest), default=None) if largest else None


def _records(own, others, spacing, missing):
  """Returns areas, Dice and Hausdorff distances of the own objects, [n, 3]."""
  rows = []
  for _, region in sorted(own.items()):
    partner = others.get(_partner(region, others))
    distances = [_hausdorff(region, other, spacing) for other in others.values()]
    if partner:
      dice = 2 * len(region & partner) / (len(region) + len(partner))
      rows.append((len(region) * np.prod(spacing), dice, _hausdorff(region, partner, spacing)))
    else:
      rows.append((len(region) * np.prod(spacing), 0, min(distances, default=missing)))
  return np.array(rows).reshape(-1, 3)


def _counts(predicted, true):
  """Returns true and false positives and false negatives."""
  found = {
    partner
    for region in predicted.values()
    if (partner := _partner(region, true))
    and len(region & true[partner]) / len(true[partner]) >= 0.5
  }
  return len(found), len(predicted) - len(found), len(true) - len(found)


def _weighted(records, column):
  return (records[:, 0] * records[:, column]).sum() / records[:, 0].sum()


def _check(prediction, mask, spacing):
  """Compares all that is measured of one image with the definition."""
  predicted, true = _sets(prediction), _sets(mask)
  missing = np.hypot(*(np.array(mask.shape) * spacing))
  matches = objects.match_objects(prediction, mask, spacing=spacing)
  sides = [_records(*both, spacing, missing) for both in ((true, predicted), (predicted, true))]
  for measured, expected in zip((matches.true, matches.predicted), sides, strict=True):
    np.testing.assert_allclose(np.stack(measured, axis=-1), expected, rtol=1e-12)
  tp, fp, fn = _counts(predicted, true)
  assert (matches.tp, matches.fp, matches.fn) == (tp, fp, fn)
  if predicted and true:
    f1 = 2 * tp / (2 * tp + fp + fn)
    dice, hausdorff = (sum(_weighted(side, k) for side in sides) / 2 for k in (1, 2))
    np.testing.assert_allclose(object_scores.object_f1(matches), f1)
    np.testing.assert_allclose(object_scores.object_dice(matches), dice)
    np.testing.assert_allclose(object_scores.object_hausdorff(matches), hausdorff)
  return bool(predicted and true)


@pytest.mark.parametrize("kind", ["connected", "classes as objects"])
def test_equals_the_definition(kind):
  num_images = 0
  for seed in range(240):
    predictions, masks = random_pair(seed, shape=(9, 12))
    for prediction, mask in zip(predictions, masks, strict=True):
      if kind == "connected":
        pair = (
          objects.label_objects(labels > 0, min_size=seed % 3) for labels in (prediction, mask)
        )
      else:  # objects in pieces, with ids that neither follow each other nor agree
        pair = np.array([0, 9, 2, 7, 300])[prediction], np.array([0, 1, 40, 8, 5])[mask]
      num_images += _check(*pair, ((1, 1), (0.7, 1.9))[seed // 6 % 2])
  assert num_images >= 300  # where both have objects; more than 500 in both kinds


def test_equals_the_definition_where_most_objects_have_no_partner():
  for seed in range(60):
    noise = np.random.default_rng(seed).random([2, 21, 26]) < 0.03
    _check(*map(objects.label_objects, noise), ((1, 1), (2.5, 0.4))[seed % 2])


def test_a_hand_made_row():
  #            0  1  2  3  4  5  6  7  8  9
  mask = [[1, 1, 1, 1, 0, 0, 2, 2, 0, 0]]
  predicted = [[5, 5, 5, 0, 0, 3, 3, 0, 0, 4]]
  matches = objects.match_objects(np.array(predicted), np.array(mask))
  # G1 has 4 pixels, S5 3 of them: Dice 6/7, H 1 (pixel 3 to 2).
  # G2 has pixels 6 and 7, S3 5 and 6: Dice 2/4, H 1. S3 covers half of G2, which is enough.
  # S4, pixel 9, touches nothing: H to G1 is 9 (pixel 0 to 9), to G2 3 (6 to 9), so 3.
  np.testing.assert_array_equal(matches.true.areas, [4, 2])
  np.testing.assert_allclose(matches.true.dice, [6 / 7, 1 / 2])
  np.testing.assert_allclose(matches.true.hausdorff, [1, 1])
  np.testing.assert_array_equal(matches.predicted.areas, [2, 1, 3])  # S3, S4, S5
  np.testing.assert_allclose(matches.predicted.dice, [1 / 2, 0, 6 / 7])
  np.testing.assert_allclose(matches.predicted.hausdorff, [1, 3, 1])
  assert (matches.tp, matches.fp, matches.fn) == (2, 1, 0)
  assert object_scores.object_f1(matches) == pytest.approx(4 / 5)
  dice = ((4 * 6 / 7 + 2 * 1 / 2) / 6 + (2 * 1 / 2 + 3 * 6 / 7) / 6) / 2
  assert object_scores.object_dice(matches) == pytest.approx(dice)
  assert object_scores.object_hausdorff(matches) == pytest.approx((1 + (2 + 3 + 3) / 6) / 2)


@pytest.mark.parametrize(
  ("predicted", "counts"),
  [
    ([1, 1, 0, 0, 0, 0], (1, 0, 0)),  # exactly half of the object
    ([1, 0, 0, 0, 0, 0], (0, 1, 1)),  # less than half
    ([1, 1, 2, 2, 0, 0], (1, 1, 0)),  # two halves: one finds the object, the other is wrong
    ([1, 1, 1, 2, 0, 0], (1, 1, 0)),  # too small a part beside one that suffices
    ([1, 2, 3, 4, 0, 0], (0, 4, 1)),  # quarters
    ([1, 1, 1, 1, 1, 1], (1, 0, 0)),  # too large a region finds it nevertheless
    ([0, 0, 0, 0, 0, 1], (0, 1, 1)),  # beside it
  ],
)
def test_an_object_is_found_once_where_half_of_it_is_covered(predicted, counts):
  matches = objects.match_objects(np.array([predicted]), np.array([[1, 1, 1, 1, 0, 0]]))
  assert (matches.tp, matches.fp, matches.fn) == counts


def test_one_region_over_two_objects_finds_only_its_partner():
  matches = objects.match_objects(np.array([[1, 1, 1, 1, 1]]), np.array([[1, 1, 0, 2, 2]]))
  assert (matches.tp, matches.fp, matches.fn) == (1, 0, 1)


@pytest.mark.parametrize(("small", "large", "dice"), [(1, 2, 4 / 6), (2, 1, 4 / 7)])
def test_of_equal_overlaps_the_smallest_id_is_the_partner(small, large, dice):
  # The region has 4 pixels and shares 2 with an object of 2 pixels, 2 with an object of 3.
  mask = np.array([[small, small, large, large, large]])
  matches = objects.match_objects(np.array([[1, 1, 1, 1, 0]]), mask)
  np.testing.assert_allclose(matches.predicted.dice, [dice])


def test_hausdorff_goes_over_all_pixels_not_over_boundaries_alone():
  filled = np.ones([5, 5], int)
  ring = filled.copy()
  ring[1:-1, 1:-1] = 0
  matches = objects.match_objects(filled, ring)
  # The boundaries are equal, but the centre of the filled square is 2 from the ring.
  assert object_scores.object_hausdorff(matches) == 2


def test_hausdorff_is_to_the_nearest_object_where_none_overlaps():
  mask = np.zeros([20, 30], int)
  mask[:2, :2], mask[18:, 28:], mask[9:11, 20] = 1, 2, 3
  prediction = np.zeros([20, 30], int)
  prediction[9:11, 17] = 1
  matches = objects.match_objects(prediction, mask, spacing=(1.0, 2.0))
  np.testing.assert_allclose(matches.predicted.hausdorff, [6])  # 3 columns of length 2
  # From (0, 0) to (9, 17), which is nearer than (10, 17), and so on.
  np.testing.assert_allclose(matches.true.hausdorff, [np.hypot(9, 34), np.hypot(9, 24), 6])


def test_areas_and_distances_are_in_units_of_spacing():
  label = np.array([[1, 1, 0]])
  matches = objects.match_objects(label[:, ::-1], label, spacing=(3.0, 0.5))
  np.testing.assert_allclose(matches.true.areas, [2 * 1.5])
  np.testing.assert_allclose(matches.true.hausdorff, [0.5])


NOTHING, SOMETHING = np.zeros([6, 8], int), np.eye(6, 8, dtype=int)


def test_images_without_objects():
  scores = object_scores.object_f1, object_scores.object_dice, object_scores.object_hausdorff
  both = objects.match_objects(NOTHING, NOTHING)
  assert [score(both) for score in scores] == [1, 1, 0]
  for pair in ((NOTHING, SOMETHING), (SOMETHING, NOTHING)):
    assert [score(objects.match_objects(*pair)) for score in scores] == [0, 0, 10]  # hypot(6, 8)
    infinite = objects.match_objects(*pair, missing=np.inf)
    assert object_scores.object_hausdorff(infinite) == np.inf


def test_pooled_scores_come_from_the_objects_of_all_images():
  row = lambda *ids: np.array([ids])  # noqa: E731
  first = objects.match_objects(row(1, 1, 0, 0), row(1, 1, 0, 0))  # Dice 1, H 0
  second = objects.match_objects(row(0, 0, 1, 1), row(0, 0, 0, 1))  # Dice 2/3, H 1
  third = objects.match_objects(row(0, 0, 0, 0), row(1, 1, 1, 0), missing=9)  # nothing found
  pooled = object_scores.pooled_objects([first, second, third])
  assert (pooled.tp, pooled.fp, pooled.fn) == (2, 0, 1)
  assert object_scores.object_f1(pooled) == pytest.approx(4 / 5)
  dice = ((2 * 1 + 1 * 2 / 3 + 3 * 0) / 6 + (2 * 1 + 2 * 2 / 3) / 4) / 2
  assert object_scores.object_dice(pooled) == pytest.approx(dice)
  hausdorff = ((2 * 0 + 1 * 1 + 3 * 9) / 6 + (2 * 0 + 2 * 1) / 4) / 2
  assert object_scores.object_hausdorff(pooled) == pytest.approx(hausdorff)
  summary = object_scores.summarize_objects([first, second, third])
  assert summary == pytest.approx(
    {
      "object_f1": (1 + 1 + 0) / 3,
      "object_dice": (1 + 2 / 3 + 0) / 3,
      "object_hausdorff": (0 + 1 + 9) / 3,
      "object_f1_pooled": 4 / 5,
      "object_dice_pooled": dice,
      "object_hausdorff_pooled": hausdorff,
    }
  )
  assert all(type(value) is float for value in summary.values())


def test_no_images_pool_to_no_objects():
  assert object_scores.object_f1(object_scores.pooled_objects([])) == 1


def test_each_image_has_its_spacing():
  masks = np.stack([SOMETHING, SOMETHING])
  per_image = object_scores.per_case_objects(
    np.roll(masks, 1, axis=2), masks, spacing=np.array([[1, 1], [1, 3]])
  )
  for matches, spacing in zip(per_image, ((1, 1), (1, 3)), strict=True):
    expected = objects.match_objects(np.roll(SOMETHING, 1, axis=1), SOMETHING, spacing=spacing)
    np.testing.assert_array_equal(matches.true.hausdorff, expected.true.hausdorff)
    np.testing.assert_array_equal(matches.true.areas, expected.true.areas)


def _regions(mask, connectivity):
  """Returns the set of connected regions, each a set of pixels, by walking from pixel to pixel."""
  left = set(map(tuple, np.argwhere(mask).tolist()))
  steps = [
    s for s in itertools.product((-1, 0, 1), repeat=2) if np.abs(s).sum() <= connectivity // 4
  ]
  regions = []
  while left:
    region, new = set(), {left.pop()}
    while new:
      region |= new
      around = {(y + dy, x + dx) for (y, x), (dy, dx) in itertools.product(new, steps)}
      new = around & left
      left -= new
    regions.append(frozenset(region))
  return regions


@pytest.mark.parametrize("connectivity", [4, 8])
def test_objects_are_the_connected_regions_that_are_large_enough(connectivity):
  for seed, min_size in itertools.product(range(18), (0, 3)):
    mask = random_labels(seed, batch=1, shape=(12, 9))[0] > 0
    labels = objects.label_objects(mask, connectivity=connectivity, min_size=min_size)
    expected = [region for region in _regions(mask, connectivity) if len(region) >= min_size]
    found = _sets(labels)
    assert list(found) == list(range(1, len(expected) + 1))
    assert set(map(frozenset, found.values())) == set(expected)
    firsts = [min(region) for region in found.values()]
    assert firsts == sorted(firsts)
    assert labels.dtype == np.int32


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: objects.label_objects(np.zeros([2, 2, 2])), "mask: must be"),
    (lambda: objects.label_objects(NOTHING, connectivity=6), "connectivity: choose from 4, 8"),
    (lambda: objects.label_objects(NOTHING, min_size=-1), "min_size: must be"),
    (lambda: objects.match_objects(NOTHING, NOTHING.T), "must both be"),
    (lambda: objects.match_objects(NOTHING, NOTHING - 1), "mask: must hold integers >= 0"),
    (lambda: objects.match_objects(NOTHING / 2, NOTHING), "prediction: must hold integers >= 0"),
    (lambda: objects.match_objects(NOTHING, NOTHING, spacing=(1, -1)), "spacing: must be 2"),
    (lambda: objects.match_objects(NOTHING, NOTHING, missing=-1), "missing: must be"),
    (lambda: object_scores.per_case_objects([NOTHING], []), "must be equally many"),
    (lambda: object_scores.summarize_objects([]), "matches: must have"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
