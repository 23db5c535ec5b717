"""Random weighting against the authors' code, and its distributions against their moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.random_weighting import random_weighting

DISTRIBUTIONS = ["normal", "uniform", "dirichlet", "bernoulli", "constrained_bernoulli"]
NUM_DRAWS = 20_000


def _draws(distribution, number=NUM_DRAWS, num_losses=3):
  """Returns the weights for many keys, [number, K]."""
  weighting, losses = random_weighting(distribution), jnp.zeros(num_losses)
  state = weighting.init(losses)
  keys = jax.random.split(jax.random.key(0), number)
  draw = jax.jit(jax.vmap(lambda key: weighting.update(losses, state, key=key)[0]))
  return np.asarray(draw(keys))


@pytest.mark.shared
def test_equals_the_reference_for_its_draw(golden, monkeypatch):
  data = golden("rlw")
  draw = jnp.array(data["inputs"]["normal_draw"], jnp.float32)
  monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: draw)
  weighting, losses = random_weighting(), jnp.zeros(3)
  weights, _ = weighting.update(losses, weighting.init(losses))
  np.testing.assert_allclose(weights, data["outputs"]["weights"], rtol=2e-5)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_weights_sum_to_one_and_favour_no_loss(distribution):
  weights = _draws(distribution)
  assert (weights >= 0).all()
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
  # Five standard errors of the mean of draws from [0, 1].
  np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=5 * 0.5 / np.sqrt(NUM_DRAWS))


def test_normal_draws_have_log_ratios_of_variance_two():
  logs = np.log(_draws("normal"))
  assert np.var(logs[:, 0] - logs[:, 1]) == pytest.approx(2, rel=0.05)


def test_uniform_draws_have_log_ratios_below_one():
  logs = np.log(_draws("uniform"))
  difference = logs[:, 0] - logs[:, 1]
  assert np.abs(difference).max() < 1
  assert np.var(difference) == pytest.approx(1 / 6, rel=0.05)


def test_dirichlet_draws_have_its_variance():
  np.testing.assert_allclose(_draws("dirichlet").var(axis=0), 1 / 18, rtol=0.05)


def test_bernoulli_draws_are_the_means_of_all_subsets_alike():
  members = _draws("bernoulli") > 0
  counts = np.bincount(members @ [1, 2, 4], minlength=8) / NUM_DRAWS
  assert counts[0] == 0
  np.testing.assert_allclose(counts[1:], 1 / 7, atol=5 * np.sqrt(6 / 49 / NUM_DRAWS))
  weights = _draws("bernoulli", 50)
  np.testing.assert_allclose(weights, (weights > 0) / (weights > 0).sum(axis=1)[:, None], rtol=1e-6)


def test_constrained_bernoulli_draws_are_one_loss():
  weights = _draws("constrained_bernoulli")
  np.testing.assert_array_equal(np.sort(weights, axis=1), np.tile([0, 0, 1], (NUM_DRAWS, 1)))


def test_without_a_key_the_seed_and_the_step_decide():
  losses = jnp.array([1.0, jnp.nan, 2.0])

  def run(seed):
    weighting = random_weighting(seed=seed)
    body = lambda state, _: weighting.update(losses, state)[::-1]  # noqa: E731
    return np.asarray(jax.lax.scan(body, weighting.init(losses), length=20)[1])

  np.testing.assert_array_equal(run(0), run(0))
  assert len(np.unique(run(0), axis=0)) == 20
  assert not (run(0) == run(1)).any()


def test_a_key_takes_the_place_of_seed_and_step():
  losses, key = jnp.zeros(3), jax.random.key(5)
  first, second = random_weighting(seed=1), random_weighting(seed=2)
  weights, state = first.update(losses, first.init(losses), key=key)
  again, _ = first.update(losses, state, key=key)
  other, _ = second.update(losses, second.init(losses), key=key)
  np.testing.assert_array_equal(weights, again)
  np.testing.assert_array_equal(weights, other)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"distribution": "cauchy"}, "distribution: choose from normal, uniform, .*; got 'cauchy'"),
    ({"seed": -1}, "seed: must be an integer >= 0, got -1"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    random_weighting(**arguments)
