"""Surface metrics against hand-made cases and against all distances between surface pixels."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mlseg.metrics import surface, surface_cases
from tests.metrics.random_masks import random_labels, random_pair

NAMES = [
  "hausdorff",
  "hausdorff95",
  "average_symmetric_surface_distance",
  "normalized_surface_dice",
]


def _surface_points(region, spacing):
  """Returns the surface pixels times spacing [P, ndim], from a look at each pixel's neighbours."""
  inside = set(map(tuple, np.argwhere(region).tolist()))
  steps = [s * step for step in np.eye(region.ndim, dtype=int) for s in (-1, 1)]
  points = [
    pixel for pixel in sorted(inside) if any(tuple(pixel + step) not in inside for step in steps)
  ]
  return np.array(points).reshape(-1, region.ndim) * spacing


def _brute_force(prediction, mask, spacing):
  """Returns both directed distances, from all pairs of surface pixels."""
  distances = cdist(_surface_points(prediction, spacing), _surface_points(mask, spacing))
  return distances.min(axis=1), distances.min(axis=0)


def _square(size, first, last):
  """Returns [size, size] with ones from (first, first) to (last, last), both included."""
  image = np.zeros([size, size], bool)
  image[first : last + 1, first : last + 1] = True
  return image


@pytest.mark.parametrize("spacing", [None, (0.7, 1.9)])
def test_distances_equal_the_nearest_of_all_pairs(spacing):
  num_cases = 0
  for seed in range(80):
    predictions, masks = random_pair(seed, shape=(9, 13))
    for prediction, mask in zip(predictions > 0, masks > 0, strict=True):
      if prediction.any() and mask.any():
        num_cases += 1
        measured = surface.surface_distances(prediction, mask, spacing=spacing)
        expected = _brute_force(prediction, mask, spacing or (1, 1))
        for one, other in zip(measured, expected, strict=True):
          np.testing.assert_allclose(one, other, rtol=1e-12)
  assert num_cases >= 100


@pytest.mark.parametrize("seed", range(12))
def test_distances_in_volumes_equal_the_nearest_of_all_pairs(seed):
  spacing = (2.5, 0.7, 1.1)
  volume = random_labels(seed, num_classes=3, batch=4, shape=(9, 8))
  prediction, mask = np.roll(volume, seed % 3, axis=1) == 1, volume > 0
  mask[0, 0, 0] = prediction[-1, -1, -1] = True
  measured = surface.surface_distances(prediction, mask, spacing=spacing)
  for one, other in zip(measured, _brute_force(prediction, mask, spacing), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_squares_in_each_other():
  # The outer surface has 16 pixels, the inner one 4 (a 2x2 square at rows and columns 2 and 3 of
  # an outer 5x5 square at 0 to 4), so nothing is symmetric.
  prediction, mask = _square(5, 0, 4), _square(5, 2, 3)
  measured = surface.surface_distances(prediction, mask)
  # Row 0: the corner (0, 0) is sqrt(8) from (2, 2), (0, 1) sqrt(5), (0, 2) and (0, 3) 2, and
  # (0, 4) sqrt(5); row 4: (4, 0) sqrt(5), (4, 1) sqrt(2), (4, 2) and (4, 3) 1, (4, 4) sqrt(2).
  r2, r5, r8 = np.sqrt([2, 5, 8])
  rows = [[r8, r5, 2, 2, r5], [r5, r2], [2, 1], [2, 1], [r5, r2, 1, 1, r2]]
  np.testing.assert_allclose(measured.to_true, list(itertools.chain(*rows)))
  # (2, 2) is 2 from (0, 2); (3, 3) and the other two are 1 from row 4 or column 4.
  np.testing.assert_allclose(measured.to_prediction, [2, 1, 1, 1])
  assert surface.hausdorff(measured) == pytest.approx(r8)
  # 16 and 4 points: the 95th percentile lies at 0.95 * 15 = 14.25, a quarter of the way from the
  # second largest, sqrt(5), to the largest, sqrt(8); that of the other direction is below 2.
  assert surface.hausdorff95(measured) == pytest.approx(r5 + 0.25 * (r8 - r5))
  total = r8 + 4 * r5 + 3 * r2 + 4 * 2 + 4 * 1 + (2 + 1 + 1 + 1)
  assert surface.average_symmetric_surface_distance(measured) == pytest.approx(total / 20)
  # Within 1: four of the outer points, three of the inner ones.
  assert surface.normalized_surface_dice(measured, 1.0) == pytest.approx(7 / 20)
  assert surface.normalized_surface_dice(measured, 3.0) == 1


def test_equal_regions_are_at_distance_zero():
  region = random_labels(0, batch=1, num_classes=2)[0]
  measured = surface.surface_distances(region, region)
  assert surface.hausdorff(measured) == 0
  assert surface.average_symmetric_surface_distance(measured) == 0
  assert surface.normalized_surface_dice(measured, 0.0) == 1


def test_pixels_at_the_border_of_the_image_are_surface():
  measured = surface.surface_distances(np.ones([4, 5]), np.ones([4, 5]))
  assert len(measured.to_true) == 2 * 5 + 2 * 2  # two rows and the rest of two columns


def test_spacing_belongs_to_its_axis():
  prediction, mask = np.zeros([2, 4, 6, 5], bool)
  prediction[0, 0, 0] = mask[1, 2, 3] = True
  measured = surface.surface_distances(prediction, mask, spacing=(2.0, 0.5, 3.0))
  expected = np.sqrt(2**2 + 1**2 + 9**2)
  np.testing.assert_allclose(np.concatenate(measured), [expected, expected])


def test_a_missing_region_costs_the_diagonal():
  region, nothing = _square(7, 2, 4)[:6], np.zeros([6, 7], bool)
  diagonal = np.hypot(6 * 0.5, 7 * 2)
  for one, other in ((region, nothing), (nothing, region)):
    measured = surface.surface_distances(one, other, spacing=(0.5, 2.0))
    np.testing.assert_allclose(np.concatenate(measured), np.full(8, diagonal))
    assert (measured.to_true.size, measured.to_prediction.size) == ((8, 0) if one.any() else (0, 8))
    assert surface.hausdorff(measured) == pytest.approx(diagonal)
    assert surface.hausdorff95(measured) == pytest.approx(diagonal)
    assert surface.average_symmetric_surface_distance(measured) == pytest.approx(diagonal)
    assert surface.normalized_surface_dice(measured, 2.0) == 0


def test_no_distance_exceeds_that_to_a_missing_region():
  prediction, mask = np.zeros([2, 6, 7], bool)
  prediction[0, 0] = mask[5, 6] = True
  found = surface.hausdorff(surface.surface_distances(prediction, mask))
  assert found < surface.hausdorff(surface.surface_distances(prediction, np.zeros([6, 7])))


def test_a_missing_region_may_cost_infinity():
  measured = surface.surface_distances(_square(5, 1, 3), np.zeros([5, 5]), missing=np.inf)
  assert surface.hausdorff95(measured) == np.inf
  mixed = surface.pooled_distances([measured, surface.SurfaceDistances(np.zeros(200), np.zeros(5))])
  assert surface.hausdorff95(mixed) == 0  # 8 of 208 points are less than 5 %
  assert (
    surface.hausdorff(mixed, 96.5) == np.inf
  )  # 0.965 * 207 = 199.8: on the way to the first of the 8


def test_two_empty_regions_agree():
  measured = surface.surface_distances(np.zeros([4, 4]), np.zeros([4, 4]))
  assert [points.shape for points in measured] == [(0,), (0,)]
  assert surface.hausdorff(measured) == surface.hausdorff95(measured) == 0
  assert surface.average_symmetric_surface_distance(measured) == 0
  assert surface.normalized_surface_dice(measured, 0.0) == 1


@pytest.mark.parametrize("percentile", [0, 12.5, 50, 95, 99.9, 100])
def test_percentile_is_the_larger_of_both_directions(percentile):
  rng = np.random.default_rng(0)
  distances = surface.SurfaceDistances(rng.random(37), rng.random(20))
  expected = max(np.percentile(points, percentile) for points in distances)
  np.testing.assert_allclose(surface.hausdorff(distances, percentile), expected, rtol=1e-12)


def test_table_has_each_metric_of_each_case_and_class():
  predictions = random_labels(0, num_classes=3, batch=4)
  masks = np.roll(predictions, 2, axis=1)
  spacing = np.array([[1, 1], [2, 1], [1, 0.5], [3, 3]])
  table = surface_cases.per_case_surface(predictions, masks, 3, spacing=spacing, tolerance=1.5)
  assert list(table.metrics) == NAMES
  for n, c in itertools.product(range(4), range(3)):
    one = surface.surface_distances(predictions[n] == c, masks[n] == c, spacing=spacing[n])
    for points, expected in zip(table.distances[n][c], one, strict=True):
      np.testing.assert_array_equal(points, expected)
    expected = [
      surface.hausdorff(one),
      surface.hausdorff95(one),
      surface.average_symmetric_surface_distance(one),
      surface.normalized_surface_dice(one, 1.5),
    ]
    assert [table.metrics[name][n, c] for name in NAMES] == expected


def test_images_of_different_sizes_make_one_table():
  masks = [np.eye(4, dtype=int), np.eye(6, dtype=int)]
  table = surface_cases.per_case_surface(masks, masks, 2)
  np.testing.assert_array_equal(table.metrics["hausdorff"], np.zeros([2, 2]))


def test_summary_gives_each_metric_four_ways():
  predictions = random_labels(6, num_classes=3, batch=4)
  masks = np.roll(predictions, 1, axis=2)
  table = surface_cases.per_case_surface(predictions, masks, 3)
  summary = surface_cases.summarize_surface(table)
  values = table.metrics["hausdorff95"]
  there = np.array([[one.to_true.size + one.to_prediction.size > 0 for one in case]
                    for case in table.distances])  # fmt: skip
  for suffix, first in (("", 1), ("_with_background", 0)):
    means = [
      row[first:][own[first:]].mean() if own[first:].any() else 0.0
      for row, own in zip(values, there, strict=True)
    ]
    assert summary["hausdorff95" + suffix] == pytest.approx(np.mean(means))
  joined = [surface.pooled_distances([case[c] for case in table.distances]) for c in range(3)]
  expected = [surface.normalized_surface_dice(one, 1.0) for one in joined]
  assert summary["normalized_surface_dice_pooled"] == pytest.approx(np.mean(expected[1:]))
  assert summary["normalized_surface_dice_with_background_pooled"] == pytest.approx(
    np.mean(expected)
  )
  ways = ("", "_with_background", "_pooled", "_with_background_pooled")
  assert set(summary) == {name + way for name in NAMES for way in ways}
  assert all(type(value) is float for value in summary.values())


IMAGE = np.zeros([1, 4, 5], int)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: surface.surface_distances(np.zeros(4), np.zeros(4)), "must both be"),
    (lambda: surface.surface_distances(IMAGE[0], IMAGE[0].T), "must both be"),
    (
      lambda: surface.surface_distances(IMAGE, IMAGE, spacing=(1, 1)),
      "spacing: must be 3 positive",
    ),
    (lambda: surface.surface_distances(IMAGE[0], IMAGE[0], spacing=(1, 0)), "spacing: must be"),
    (lambda: surface.surface_distances(IMAGE[0], IMAGE[0], missing=-1), "missing: must be"),
    (lambda: surface.surface_distances(IMAGE[0], IMAGE[0], missing=np.nan), "missing: must be"),
    (lambda: surface.hausdorff(surface.pooled_distances([]), 101), "percentile: must be"),
    (
      lambda: surface.normalized_surface_dice(surface.pooled_distances([]), -1),
      "tolerance: must be",
    ),
    (lambda: surface_cases.per_case_surface(IMAGE, IMAGE[:0], 2), "must be equally many"),
    (lambda: surface_cases.per_case_surface(IMAGE, IMAGE, 1), "num_classes: must be"),
    (
      lambda: surface_cases.per_case_surface(IMAGE, IMAGE, 2, spacing=np.ones([2, 2])),
      "spacing: must be one for each of 1 cases, got 2",
    ),
    (
      lambda: surface_cases.summarize_surface(surface_cases.SurfaceTable({}, [], 1.0)),
      "table: must have",
    ),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
