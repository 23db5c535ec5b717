"""Relative changes, Pareto fronts and hypervolumes, against their definitions."""

import itertools

import numpy as np
import pytest

from mlseg.metrics import delta_m, hypervolume, pareto_front


def test_delta_m_has_the_direction_of_each_task():
  baseline, scores = np.array([0.5, 2.0, 10.0]), np.array([[0.6, 1.5, 10.0], [0.5, 2.0, 10.0]])
  found = delta_m(scores, baseline, [True, False, True])
  np.testing.assert_allclose(found, [(0.2 + 0.25 + 0) / 3, 0])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (([1.0], [1.0, 2.0], [True, True]), "must fit"),
    (([], [], []), "must fit"),
    (([1.0], [0.0], [True]), "must be finite and not 0"),
    (([1.0], [np.nan], [True]), "must be finite and not 0"),
  ],
)
def test_wrong_baselines_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    delta_m(*arguments)


def _by_inclusion(points, reference):
  """Returns the volume of the union of boxes by inclusion and exclusion."""
  total = 0.0
  for size in range(1, len(points) + 1):
    for chosen in itertools.combinations(points, size):
      sides = np.maximum(reference - np.max(chosen, axis=0), 0)
      total -= (-1) ** size * np.prod(sides)
  return total


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("integers", [False, True])
def test_the_hypervolume_is_that_of_the_union_of_boxes(objectives, integers):
  rng = np.random.default_rng(objectives)
  for _ in range(40):
    points = rng.uniform(0, 5, (rng.integers(1, 8), objectives))
    points = np.floor(points) if integers else points  # with ties
    reference = rng.uniform(3, 5, objectives)
    assert hypervolume(points, reference) == pytest.approx(_by_inclusion(points, reference))
    front = points[pareto_front(points)]
    assert hypervolume(front, reference) == pytest.approx(hypervolume(points, reference))


def test_no_points_dominate_nothing():
  assert hypervolume([], [1.0, 1.0]) == 0
  assert hypervolume([[2.0, 0.0]], [1.0, 1.0]) == 0


def test_the_front_is_what_no_other_point_dominates():
  rng = np.random.default_rng(0)
  points = rng.integers(0, 6, (200, 3))
  expected = [
    not any((other <= one).all() and (other < one).any() for other in points) for one in points
  ]
  assert pareto_front(points).tolist() == expected
  assert pareto_front([[1.0, 1.0], [1.0, 1.0]]).all()


@pytest.mark.parametrize(
  ("points", "reference", "message"),
  [
    ([[1.0] * 5], [2.0] * 5, "1 <= K <= 4"),
    ([[1.0, 2.0]], [2.0], "points have 2 objectives, and reference has 1"),
    ([[np.nan]], [2.0], "without nan"),
    ([[1.0]], [np.inf], "must be finite"),
    ([1.0], [2.0], r"must be \[N, K\]"),
  ],
)
def test_wrong_points_are_refused(points, reference, message):
  with pytest.raises(ValueError, match=message):
    hypervolume(points, reference)
