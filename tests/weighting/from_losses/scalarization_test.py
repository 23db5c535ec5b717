"""Scalarizations against other libraries and against the gradients of their totals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.scalarization import (
  cosmos,
  geometric,
  penalty_boundary_intersection,
  soft_optimal_uncertainty,
)

PREFERENCE = (0.5, 0.3, 0.2)


def _weights(weighting, losses):
  losses = jnp.asarray(losses)
  return np.asarray(weighting.update(losses, weighting.init(losses))[0])


@pytest.mark.shared
def test_geometric_equals_the_references(golden):
  golden = golden("gls")
  losses, outputs = np.array(golden["inputs"]["losses"]), golden["outputs"]
  with jax.enable_x64(True):
    weights = _weights(geometric(), losses)
  np.testing.assert_allclose(weights, outputs["effective_weights_dTotal_dL"], rtol=1e-6)
  # The losses weigh alike: w_k L_k = G / K.
  np.testing.assert_allclose(3 * weights * losses, outputs["total"], rtol=1e-6)
  # What LibMTL reports has the inverse order of the gradient's weights.
  reported = np.array(outputs["LibMTL_reported_batch_weight"])
  np.testing.assert_allclose(reported * weights, reported[0] * weights[0], rtol=2e-5)
  np.testing.assert_allclose(reported, losses / (3 * losses.prod()), rtol=2e-5)


@pytest.mark.shared
def test_soft_optimal_uncertainty_equals_the_paper(golden):
  golden = golden("uw_so")
  # The expected softmaxes have 1/(L + 1e-8).
  losses, epsilon = np.array(golden["inputs"]["losses"]), golden["inputs"]["eps"]
  with jax.enable_x64(True):
    for temperature in (1.0, 5.0, 20.0):
      weighting = soft_optimal_uncertainty(temperature)
      weights = [_weights(weighting, row + epsilon) for row in losses]
      np.testing.assert_allclose(weights, golden["outputs"][f"T{temperature}"], rtol=1e-6)
    weights = [_weights(soft_optimal_uncertainty(None), row) for row in losses]
  np.testing.assert_allclose(weights, golden["outputs"]["UW-O_inverse_loss"], rtol=1e-6)
  assert len(golden["outputs"]) == 4


@pytest.mark.shared
def test_inverses_equal_the_prior_loss_of_jinns_one_step_later(golden):
  golden = golden("jinns_softadapt_relobralo")
  rows, expected = np.array(golden["inputs"]["loss_sequence"]), golden["outputs"]["prior_loss"]
  with jax.enable_x64(True):
    weights = [_weights(soft_optimal_uncertainty(None), row + 1e-6) for row in rows]
  np.testing.assert_allclose(weights[:-1], expected[1:], rtol=1e-6)
  np.testing.assert_array_equal(expected[0], 1)


@pytest.mark.shared
def test_cosmos_and_boundary_intersection_equal_the_reference(golden):
  golden = golden("cosmos_pbi")
  losses = np.array(golden["inputs"]["losses"])
  preference = tuple(golden["inputs"]["weights"])
  penalty, theta = golden["inputs"]["lambda_"], golden["inputs"]["theta"]
  expected = golden["outputs"]
  with jax.enable_x64(True):
    weights = _weights(cosmos(preference, penalty), losses)
    np.testing.assert_allclose(weights, expected["COSMOS"]["effective_weights"], rtol=1e-6)
    total = _cosmos_total(losses, np.array(preference), penalty)
    np.testing.assert_allclose(total, expected["COSMOS"]["total"], rtol=1e-6)
    weights = _weights(penalty_boundary_intersection(preference, theta), losses)
    np.testing.assert_allclose(weights, expected["PBI"]["effective_weights"], rtol=1e-6)
    # The total has degree 1 in the losses, so that it is the weighted sum (Euler).
    np.testing.assert_allclose((weights * losses).sum(), expected["PBI"]["total"], rtol=1e-6)


def _cosmos_total(losses, preference, penalty):
  dot = (preference * losses).sum()
  return dot - penalty * dot / jnp.linalg.norm(preference) / jnp.linalg.norm(losses)


def _boundary_total(losses, preference, theta):
  direction = preference / jnp.linalg.norm(preference)
  along = (direction * losses).sum()
  return along + theta * jnp.linalg.norm(losses - along * direction)


TOTALS = {
  "geometric": (geometric(), lambda x: x.prod() ** (1 / 3)),
  "inverse": (soft_optimal_uncertainty(None), lambda x: jnp.log(x).sum()),
  "cosmos": (cosmos(PREFERENCE, 2.0), lambda x: _cosmos_total(x, jnp.array(PREFERENCE), 2.0)),
  "cosmos_uniform": (cosmos(), lambda x: _cosmos_total(x, jnp.full(3, 1 / 3), 1.0)),
  "boundary": (
    penalty_boundary_intersection(PREFERENCE, 3.0),
    lambda x: _boundary_total(x, jnp.array(PREFERENCE), 3.0),
  ),
  "boundary_uniform": (
    penalty_boundary_intersection(),
    lambda x: _boundary_total(x, jnp.ones(3), 5),
  ),
}


@pytest.mark.parametrize("name", TOTALS)
def test_weights_are_the_gradient_of_the_total(name):
  weighting, total = TOTALS[name]
  rows = np.random.default_rng(0).gamma(2.0, 1.0, [5, 3])
  with jax.enable_x64(True):
    for row in rows:
      expected = jax.grad(total)(jnp.array(row))
      np.testing.assert_allclose(_weights(weighting, row), expected, rtol=1e-9)
  for row in rows:
    with jax.enable_x64(True):
      expected = np.asarray(jax.grad(total)(jnp.array(row)))
    np.testing.assert_allclose(_weights(weighting, np.float32(row)), expected, rtol=2e-4, atol=1e-5)


NEUTRAL = {
  "geometric": (geometric(), np.full(3, 1 / 3)),
  "softmax": (soft_optimal_uncertainty(), np.full(3, 1 / 3)),
  "inverse": (soft_optimal_uncertainty(None), np.full(3, 1 / 3)),
  "cosmos": (cosmos(PREFERENCE), np.array(PREFERENCE)),
  "boundary": (
    penalty_boundary_intersection(PREFERENCE),
    np.array(PREFERENCE) / np.linalg.norm(PREFERENCE),
  ),
}


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("losses", [[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [0, 0, 0]])
def test_weights_are_neutral_where_the_losses_decide_nothing(name, losses):
  weighting, neutral = NEUTRAL[name]
  np.testing.assert_allclose(_weights(weighting, np.float32(losses)), neutral, rtol=1e-6)


@pytest.mark.parametrize("name", ["geometric", "softmax", "inverse"])
@pytest.mark.parametrize("losses", [[-1.0, 1, 2], [0.0, 1, 2]])
def test_losses_that_are_not_positive_give_uniform_weights(name, losses):
  weights = _weights(NEUTRAL[name][0], np.float32(losses))
  np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)


def test_geometric_mean_of_huge_and_tiny_losses_does_not_overflow():
  weights = _weights(geometric(), np.float32([1e30, 1e-30, 1.0]))
  np.testing.assert_allclose(weights, np.array([1e-30, 1e30, 1.0]) / 3, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, 1e38])
def test_boundary_intersection_does_not_depend_on_the_scale(scale):
  weighting = penalty_boundary_intersection(PREFERENCE)
  expected = _weights(weighting, np.float32([0.9, 1.4, 0.98]))
  weights = _weights(weighting, np.float32(scale * np.array([0.9, 1.4, 0.98])))
  np.testing.assert_allclose(weights, expected, rtol=2e-5)


@pytest.mark.parametrize("scale", [1e-20, 0.7, 3.3, 1e30])
def test_losses_on_the_preferred_direction_are_not_taken_aside_by_rounding(scale):
  losses = np.float32(scale) * np.float32(PREFERENCE)
  weights = _weights(penalty_boundary_intersection(PREFERENCE), losses)
  np.testing.assert_allclose(weights, NEUTRAL["boundary"][1], rtol=1e-6)


def test_preferences_come_as_a_number_in_order_or_in_the_structure_of_the_losses():
  losses = {"dice": jnp.float32(0.9), "focal": jnp.float32(0.4)}

  def weights(preference):
    weighting = cosmos(preference)
    return jax.tree.leaves(weighting.update(losses, weighting.init(losses))[0])

  np.testing.assert_array_equal(weights({"focal": 0.2, "dice": 0.8}), weights((0.8, 0.2)))
  np.testing.assert_array_equal(weights(None), weights(0.5))
  np.testing.assert_array_equal(weights(np.array([0.8, 0.2])), weights([0.8, 0.2]))


@pytest.mark.parametrize("preference", [(0.5, 0.5), {"a": 1.0, "b": 1.0, "c": 1.0}, (1.0,)])
def test_a_preference_that_does_not_match_is_refused(preference):
  weighting = penalty_boundary_intersection(preference)
  with pytest.raises(ValueError, match="preference: must be one number, 3 numbers, or like"):
    weighting.init(jnp.zeros(3))


@pytest.mark.parametrize(
  ("factory", "arguments", "message"),
  [
    (soft_optimal_uncertainty, {"temperature": 0}, "temperature: must be .* got 0"),
    (cosmos, {"penalty": -1.0}, "penalty: must be .* got -1.0"),
    (cosmos, {"preference": (1.0, -1.0)}, "preference: must be a finite number .*-1.0"),
    (cosmos, {"preference": (0.0, 0.0)}, "preference: must have a positive number"),
    (penalty_boundary_intersection, {"theta": np.nan}, "theta: must be .* got nan"),
    (penalty_boundary_intersection, {"preference": 0.0}, "preference: must have a positive"),
  ],
)
def test_wrong_arguments_are_refused(factory, arguments, message):
  with pytest.raises(ValueError, match=message):
    factory(**arguments)
