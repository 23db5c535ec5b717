"""Smooth Tchebycheff scalarization against two libraries and the gradient of its total."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.smooth_tchebycheff import smooth_tchebycheff


def _weights(weighting, rows):
  """Returns the weights after each row, [steps, K]."""
  _, weights = jax.lax.scan(
    lambda state, row: weighting.update(row, state)[::-1], weighting.init(rows[0]), rows
  )
  return np.asarray(weights)


@pytest.fixture(scope="module")
def golden(golden):
  return golden("stch")


@pytest.mark.shared
@pytest.mark.parametrize("mu", [0.1, 0.5, 1.0])
def test_equals_the_plain_reference(golden, mu):
  losses, expected = np.array(golden["inputs"]["losses"]), golden["outputs"][f"TorchJD_mu{mu}"]
  with jax.enable_x64(True):
    weights = _weights(smooth_tchebycheff(mu), jnp.array([losses]))[0]
  np.testing.assert_allclose(weights, expected["effective_weights"], rtol=1e-6)
  total = mu * np.log(np.exp(losses / 3 / mu).sum())
  np.testing.assert_allclose(total, expected["total"], rtol=1e-6)


@pytest.mark.shared
def test_logarithms_equal_the_multi_task_reference(golden):
  rows = golden["outputs"]["LibMTL_mu1_warmup4"]
  # One batch of each of two epochs before epoch 4, two batches of epoch 4, one after it.
  assert [row["epoch"] for row in rows] == [0, 3, 4, 4, 5]
  weighting = smooth_tchebycheff(1.0, log=True, warm_up=2, nadir_updates=2)
  losses = jnp.array([row["losses"] for row in rows], jnp.float32)
  expected = [row["effective_weights"] for row in rows]
  np.testing.assert_allclose(_weights(weighting, losses), expected, rtol=2e-5)


@pytest.mark.parametrize("mu", [0.05, 2.0])
@pytest.mark.parametrize("preference", [None, (0.5, 0.3, 0.2)])
def test_weights_are_the_gradient_of_the_total(mu, preference):
  rows = np.random.default_rng(0).gamma(2.0, 1.0, [6, 3])
  preferred = np.full(3, 1 / 3) if preference is None else np.array(preference)
  nadir = rows[1:3].mean(axis=0)

  def maximum(scores):
    return mu * jax.nn.logsumexp(scores / mu)

  with jax.enable_x64(True):
    plain = _weights(smooth_tchebycheff(mu, preference), jnp.array(rows))
    weighting = smooth_tchebycheff(mu, preference, log=True, warm_up=1, nadir_updates=2)
    logs = _weights(weighting, jnp.array(rows))
    for step, row in enumerate(jnp.array(rows)):
      expected = jax.grad(lambda x: maximum(preferred * x))(row)
      np.testing.assert_allclose(plain[step], expected, rtol=1e-9)
      if step >= 3:
        expected = jax.grad(lambda x: 3 * maximum(3 * preferred * jnp.log(x / nadir)))(row)
        np.testing.assert_allclose(logs[step], expected, rtol=1e-9)
  np.testing.assert_allclose(logs[:3], 1 / rows[:3], rtol=1e-9)


def test_small_mu_weighs_the_largest_loss_alone():
  weights = _weights(smooth_tchebycheff(1e-6), jnp.array([[1.0, 3.0, 2.0], [3e38, 1.0, 3e37]]))
  np.testing.assert_allclose(weights, [[0, 1 / 3, 0], [1 / 3, 0, 0]], rtol=1e-6)


def test_losses_that_cannot_enter_change_nothing():
  rows = jnp.array(np.random.default_rng(0).gamma(2.0, 1.0, [5, 3]), jnp.float32)
  weighting = smooth_tchebycheff(log=True, warm_up=1, nadir_updates=2)
  bad = jnp.array([[1.0, 0.0, 2.0], [1.0, -1.0, 2.0], [1.0, jnp.nan, jnp.inf]])
  weights = _weights(weighting, jnp.concatenate([rows[:2], bad, rows[2:]]))
  np.testing.assert_allclose(weights[2:5], 1 / 3, rtol=1e-6)
  np.testing.assert_array_equal(weights[5:], _weights(weighting, rows)[2:])


def test_losses_that_are_not_finite_give_the_weights_of_equal_scores():
  rows = jnp.array([[jnp.nan, 1.0, 2.0], [1.0, -jnp.inf, 2.0]])
  weights = _weights(smooth_tchebycheff(preference=(0.5, 0.25, 0.25)), rows)
  np.testing.assert_allclose(3 * weights, [[0.5, 0.25, 0.25]] * 2, rtol=1e-6)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"mu": 0.0}, "mu: must be a finite number in .* got 0.0"),
    ({"preference": (0.0, 0.0, 0.0)}, "preference: must have a positive number"),
    ({"warm_up": 3}, "warm_up: must be 0 unless log, got 3"),
    ({"log": True, "warm_up": -1}, "warm_up: must be an integer >= 0, got -1"),
    ({"log": True, "nadir_updates": 0}, "nadir_updates: must be an integer >= 1, got 0"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    smooth_tchebycheff(**arguments)


@pytest.mark.parametrize("log", [False, True])
def test_a_preference_that_does_not_match_is_refused(log):
  with pytest.raises(ValueError, match="preference: must be one number, 3 numbers, or like"):
    smooth_tchebycheff(preference=(0.5, 0.5), log=log).init(jnp.zeros(3))
