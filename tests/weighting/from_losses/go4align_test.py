"""GO4Align against the authors' code, and against its formula."""

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

# What GO4ALIGN.get_weighted_loss of github.com/autumn9999/GO4Align (commit 5fcbc71,
# methods/cluster_methods.py) gave in float32 with kmeans of kmeans-pytorch 0.3, the package that
# the file names and no longer imports. It draws the first centres at random; here it began at every
# choice of losses, until nothing moved, and the result with the smallest sum of squares counted.
GOLDEN = [
  {
    "num_groups": 2,
    "step_size": 1e-4,
    "losses": [
      [1.668, 1.337, 1.146],
      [1.396, 0.887, 1.906],
      [1.084, 0.978, 0.278],
      [0.096, 0.203, 0.751],
    ],
    "weights": [
      [0.829513, 1.121163, 1.121163],
      [0.866395, 1.574308, 0.866395],
      [0.758545, 0.758545, 2.80582],
      [3.645711, 1.095131, 1.095131],
    ],
    "shares": [0.333322, 0.33335, 0.333328],
  },
  {
    "num_groups": 1,
    "step_size": 1e-4,
    "losses": [[1.605, 0.369, 1.863], [0.578, 0.578, 2.162], [0.611, 0.7, 0.707]],
    "weights": [[1.649929] * 3, [1.446261] * 3, [1.004441] * 3],
    "shares": [0.333342, 0.33338, 0.333278],
  },
  {
    "num_groups": 2,
    "step_size": 0.1,
    "losses": [
      [0.361, 1.826, 5.813, 0.548, 2.528],
      [2.306, 2.282, 0.797, 0.967, 0.472],
      [0.998, 2.538, 0.586, 0.134, 1.081],
      [1.498, 0.679, 2.48, 0.718, 0.834],
      [0.241, 0.463, 1.064, 1.075, 1.371],
    ],
    "weights": [
      [5.971338, 0.777873, 0.777873, 5.971338, 0.777873],
      [1.038978, 1.038978, 1.038978, 1.038978, 3.020784],
      [0.974775, 0.974775, 0.974775, 10.529656, 0.974775],
      [0.599068, 1.839604, 0.599068, 1.839604, 1.839604],
      [3.879862, 0.947345, 0.947345, 0.947345, 0.947345],
    ],
    "shares": [0.221891, 0.174825, 0.130137, 0.26999, 0.203158],
  },
  {
    "num_groups": 3,
    "step_size": 0.5,
    "losses": [
      [2.539, 2.155, 0.178, 0.754, 6.569, 0.984],
      [2.029, 1.202, 2.067, 1.332, 0.546, 0.668],
      [1.35, 0.71, 0.132, 1.526, 2.111, 1.993],
      [1.588, 0.201, 2.369, 0.736, 0.384, 0.583],
      [0.335, 0.201, 0.59, 0.674, 0.512, 0.671],
    ],
    "weights": [
      [0.419776, 0.419776, 23.592331, 3.513999, 0.419776, 3.513999],
      [0.280391, 1.053579, 1.053579, 1.053579, 0.280391, 3.588222],
      [0.393398, 1.387185, 21.929974, 1.387185, 0.393398, 0.393398],
      [0.308512, 7.225341, 0.308512, 2.218623, 0.308512, 2.218623],
      [0.288438, 4.292112, 0.985214, 0.985214, 0.288438, 0.985214],
    ],
    "shares": [0.053579, 0.28921, 0.187477, 0.219347, 0.017127, 0.23326],
  },
]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: str(golden["num_groups"]))
def test_equals_the_authors_code(golden):
  weighting = w.go4align(golden["num_groups"], golden["step_size"])
  state = weighting.init(jnp.zeros(len(golden["shares"])))
  for losses, expected in zip(golden["losses"], golden["weights"], strict=True):
    weights, state = weighting.update(jnp.array(losses), state)
    np.testing.assert_allclose(weights, expected, rtol=2e-5)
  np.testing.assert_allclose(state.shares, golden["shares"], rtol=1e-5)


def test_a_weight_for_each_loss_is_the_formula_without_groups():
  rng, step_size = np.random.default_rng(0), 0.2
  weighting, shares = w.go4align(50, step_size), np.full(50, 1 / 50)
  state = weighting.init(jnp.zeros(50))
  for _ in range(5):
    losses = rng.gamma(2.0, 1.0, 50)
    shares = shares * np.exp(-step_size * losses)
    shares /= shares.sum()
    weights, state = weighting.update(jnp.array(losses, jnp.float32), state)
    np.testing.assert_allclose(weights, shares * losses.sum() / losses, rtol=1e-4)


def test_one_loss_has_the_weight_one():
  weighting = w.go4align()
  weights, _ = weighting.update(jnp.array([7.0]), weighting.init(jnp.zeros(1)))
  np.testing.assert_allclose(weights, [1.0], rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, jnp.nan, jnp.inf])
def test_a_step_with_a_loss_that_is_not_positive_changes_nothing(bad):
  weighting = w.go4align(3, 0.5)
  _, state = weighting.update(jnp.array([1.0, 2.0, 3.0]), weighting.init(jnp.zeros(3)))
  weights, after = weighting.update(jnp.array([1.0, bad, 3.0]), state)
  np.testing.assert_allclose(after.shares, state.shares)
  np.testing.assert_allclose(weights, 3 * state.shares, rtol=1e-6)


def test_a_share_that_was_lost_comes_back():
  weighting = w.go4align(2, 1.0)
  state = weighting.init(jnp.zeros(2))
  for losses, steps in ([1e6, 1.0], 3), ([1.0, 9.0], 9):
    for _ in range(steps):
      _, state = weighting.update(jnp.array(losses), state)
  assert state.shares[0] > 0.99


@pytest.mark.parametrize(
  ("options", "message"),
  [({"num_groups": 0}, "num_groups: must be"), ({"step_size": -1.0}, "step_size: must be")],
)
def test_wrong_arguments_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    w.go4align(**options)
