"""Combinators that scale the weights before them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.combinators.chain import chain
from mlseg.weighting.combinators.scaling import rescale, with_prior
from mlseg.weighting.from_losses.fixed import fixed

BAD = [[np.nan, 1.0, 1.0], [np.inf, 1.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 0.2]]
TARGETS = ["sum_to_one", "sum_to_num_losses", "first_loss"]


def _scale(weighting, weights):
  """Returns the weights that become of [..., K]."""
  weights = jnp.asarray(weights, jnp.float32)

  def update(row):
    return weighting.update(jnp.zeros(3), (), weights=row)[0]

  return np.asarray(jax.jit(jnp.vectorize(update, signature="(k)->(k)"))(weights), np.float64)


def _random(low=0.0):
  return np.random.default_rng(0).uniform(low, 1, [20, 3])


@pytest.mark.parametrize("total", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("prior", [(5.0, 1.0, 2.0), (1e300, 2e299, 4e299)])
def test_prior_equals_its_formula(total, prior):
  weights = total * _random()
  products = weights * np.array([5, 1, 2])
  expected = products / products.sum(1, keepdims=True) * weights.sum(1, keepdims=True)
  np.testing.assert_allclose(_scale(with_prior(prior), weights), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [*BAD, [0.0, 0.0, 1.0]])
def test_prior_alone_decides_where_weights_say_nothing(weights):
  np.testing.assert_allclose(_scale(with_prior((3, 1, 0)), weights), [0.75, 0.25, 0], rtol=1e-6)


def test_prior_takes_huge_weights():
  scaled = _scale(with_prior((1, 1, 2)), [3e38, 0.0, 1e37])
  np.testing.assert_allclose(scaled, np.array([300, 0, 20]) * 310e36 / 320, rtol=1e-5)


def test_prior_by_name_after_a_method():
  losses = {"focal": jnp.float32(1.0), "dice": jnp.float32(1.0)}
  weighting = chain(fixed(), with_prior({"focal": 1.0, "dice": 5.0}))
  weights, _ = weighting.update(losses, weighting.init(losses))
  np.testing.assert_allclose([weights["dice"], weights["focal"]], [10 / 6, 2 / 6], rtol=1e-6)


@pytest.mark.parametrize("total", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("to", TARGETS)
def test_rescale_equals_its_formula(to, total):
  weights = total * _random(0.01)
  divisor = {"sum_to_one": weights.sum(1), "sum_to_num_losses": weights.mean(1)}
  divisor["first_loss"] = weights[:, 0]
  expected = weights / divisor[to][:, None]
  np.testing.assert_allclose(_scale(rescale(to), weights), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", BAD)
@pytest.mark.parametrize("to", TARGETS)
def test_rescale_makes_weights_equal_where_they_cannot_be_scaled(to, weights):
  equal = 1 / 3 if to == "sum_to_one" else 1
  np.testing.assert_allclose(_scale(rescale(to), weights), equal, rtol=1e-6)


def test_rescale_by_the_first_loss_has_a_limit():
  np.testing.assert_allclose(_scale(rescale("first_loss"), [1e-30, 1.0, 1e10]), 1)
  huge = _scale(rescale("first_loss"), [1e38, 3e38, 0.0])
  np.testing.assert_allclose(huge, [1, 3, 0], rtol=1e-5)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: rescale("first"), "to: choose from sum_to_one, sum_to_num_losses, first_loss; got"),
    (lambda: with_prior((1.0, -1.0)), "prior: must be a finite number"),
    (lambda: with_prior((0.0, 0.0)), r"prior: must have a positive number, got \(0.0, 0.0\)"),
    (lambda: with_prior((1.0, 2.0)).init(jnp.zeros(3)), "prior: must be .* 3"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
