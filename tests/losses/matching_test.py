"""Matches of boxes with objects against torchvision's, and weights against all samples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.losses import matching
from tests.losses.matcher import torchvision_matcher


@pytest.mark.parametrize("seed", range(8))
def test_weights_are_the_mean_over_all_samples(seed):
  rng = np.random.default_rng(seed)
  kinds = rng.integers(0, 3, 8)
  positive, negative = kinds == 1, kinds == 2
  losses, num_sampled, share = rng.random(8), int(rng.integers(2, 7)), (0.25, 0.5)[seed % 2]
  most = min(positive.sum(), int(num_sampled * share))
  rest = min(negative.sum(), num_sampled - most)
  means = [
    losses[list(one + other)].mean() if one + other else 0.0
    for one in itertools.combinations(np.flatnonzero(positive), most)
    for other in itertools.combinations(np.flatnonzero(negative), rest)
  ]
  matches = matching.Matches(*map(jnp.asarray, (np.zeros(8, int), positive, negative)))
  weights = matching.expected_weights(matches, num_sampled, share)
  np.testing.assert_allclose((weights * losses).sum(), np.mean(means), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("high", "low", "keep_best"), [(0.7, 0.3, True), (0.5, 0.5, False)])
def test_matches_are_torchvisions(high, low, keep_best):
  peer = torchvision_matcher(high, low, keep_best)
  rng = np.random.default_rng(0)
  seen = set()
  for _ in range(20):
    corners = rng.integers(0, 20, (30, 2))
    boxes = np.float32(np.hstack([corners, corners + rng.integers(8, 20, (30, 2))]))
    true = boxes[:4] + np.float32(rng.integers(-3, 4, (4, 4)))
    expected = peer(boxes, true)
    present = np.arange(6) < 4  # two places hold nothing
    padded = np.vstack([true, np.zeros((2, 4), np.float32)])
    actual = matching.match(boxes, np.ones(30), padded, present, high, low, keep_best=keep_best)
    np.testing.assert_array_equal(actual.positive, expected >= 0)
    np.testing.assert_array_equal(actual.negative, expected == -1)
    positive = expected >= 0
    np.testing.assert_array_equal(np.asarray(actual.objects)[positive], expected[positive])
    seen |= set(np.minimum(expected, 0).tolist())
  assert seen == ({0, -1, -2} if keep_best else {0, -1})


def test_an_object_that_no_box_meets_makes_none_positive():
  boxes, far = np.float32([[0, 0, 4, 4]]), np.float32([[9, 9, 12, 12]])
  matches = matching.match(boxes, np.ones(1), far, np.ones(1, bool), 0.7, 0.3, keep_best=True)
  assert matches.positive.tolist() == [False]  # torchvision takes all boxes, of IoU 0
  assert matches.negative.tolist() == [True]


def test_shares_of_cells_are_of_their_areas():
  rng = np.random.default_rng(0)
  inside = np.float32(rng.random((2, 6, 8)) < 0.5)
  boxes = np.float32([[1, 2, 4, 8], [-2, 0, 7, 3]])  # the second is partly out of the image
  shares = jax.jit(matching.covered_shares, static_argnums=2)(inside, boxes, 3)
  assert shares.shape == (2, 3, 3)
  for place, (top, left, bottom, right) in enumerate(boxes.astype(int)):
    covered = inside[place, max(top, 0) : bottom, max(left, 0) : right].sum()
    cell = (bottom - top) * (right - left) / 9
    np.testing.assert_allclose(shares[place].sum() * cell, covered, rtol=1e-5)
  np.testing.assert_allclose(shares[0, 0, 0], inside[0, 1, 2:4].mean(), rtol=1e-5)
