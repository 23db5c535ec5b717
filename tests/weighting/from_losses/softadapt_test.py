"""SoftAdapt against the authors' package and against derivatives of interpolating polynomials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.softadapt import finite_difference, softadapt

VARIANTS = {
  "original": "SoftAdapt",
  "normalized": "NormalizedSoftAdapt",
  "loss_weighted": "LossWeightedSoftAdapt",
}


def _weights(weighting, rows):
  """Returns the weights after each row, [steps, K]."""
  _, weights = jax.lax.scan(
    lambda state, row: weighting.update(row, state)[::-1], weighting.init(rows[0]), rows
  )
  return np.asarray(weights)


def _noise(num_steps, num_losses=3, seed=0):
  return jnp.array(np.random.default_rng(seed).random([num_steps, num_losses]), jnp.float32)


@pytest.fixture(scope="module")
def golden(golden):
  return golden("softadapt")


@pytest.mark.shared
def test_coefficients_equal_those_of_the_reference(golden):
  for order, expected in golden["forward_difference_coefficients"].items():
    np.testing.assert_allclose(finite_difference(int(order)), expected, rtol=1e-7)
  assert len(golden["forward_difference_coefficients"]) == 8


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_difference_equals_the_reference(golden, variant):
  assert len(golden["cases"]) == 13
  for case in golden["cases"]:
    inputs, outputs = case["inputs"], case["outputs"]
    sequences = np.array(inputs["loss_sequences"], float)
    order, window = inputs["accuracy_order"], sequences.shape[1]
    used = (order or window - 1) + 1
    rates = sequences[:, -used:] @ finite_difference(used - 1)
    np.testing.assert_allclose(rates, outputs["rates_of_change"], rtol=1e-6, atol=1e-8)
    beta = inputs["beta"]
    if variant == "normalized":
      # The reference divides by the sum of the rates with their signs, not of their sizes.
      beta *= np.abs(rates).sum() / rates.sum()
    with jax.enable_x64(True):
      weighting = softadapt(variant, beta, window, order, difference="forward")
      weights = _weights(weighting, jnp.array(sequences.T))[-1]
    np.testing.assert_allclose(weights, outputs[VARIANTS[variant]], rtol=1e-6)


def _paper(rows, variant, beta, window, order):
  """The weights from the derivative of the polynomial through the last losses, in float64."""
  results = []
  for step in range(1, len(rows) + 1):
    if step < window:
      results.append(np.full(rows.shape[1], 1 / rows.shape[1]))
      continue
    newest = rows[step - order - 1 : step]
    lines = [np.polyfit(np.arange(-order, 1), history, order) for history in newest.T]
    rates = np.array([np.polyval(np.polyder(line), 0) for line in lines])
    if variant == "normalized":
      rates /= np.abs(rates).sum()
    scores = np.exp(beta * rates)
    if variant == "loss_weighted":
      scores *= rows[step - window : step].mean(axis=0)
    results.append(scores / scores.sum())
  return np.array(results)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("window", "order"), [(5, None), (4, 1), (2, None)])
def test_equals_the_derivative_at_the_newest_loss(variant, window, order):
  rows = _noise(13)
  expected = _paper(np.asarray(rows, float), variant, 1.5, window, order or window - 1)
  with jax.enable_x64(True):
    weights = _weights(softadapt(variant, 1.5, window, order), rows.astype(jnp.float64))
  np.testing.assert_allclose(weights, expected, rtol=1e-9)
  np.testing.assert_allclose(_weights(softadapt(variant, 1.5, window, order), rows), expected, 1e-4)


def test_backward_and_forward_differ_where_the_rate_changes():
  # The first loss has stopped to fall, the second has begun to.
  rows = jnp.array([[4.0, 4.0], [2.0, 4.0], [1.0, 3.9], [1.0, 3.0], [1.0, 1.0]])
  backward, forward = (
    _weights(softadapt(difference=which), rows)[-1] for which in ("backward", "forward")
  )
  assert backward[0] > 0.5 > forward[0]


@pytest.mark.parametrize("order", [1, 2, 5, 10])
def test_coefficients_differentiate_polynomials_exactly(order):
  points = np.arange(order + 1.0)
  for degree in range(order + 1):
    derivative = finite_difference(order) @ points**degree
    np.testing.assert_allclose(derivative, degree == 1, atol=1e-14 * (order + 1) ** (order + 1))


def test_weights_change_once_per_update_every_steps():
  rows = _noise(12)
  weights = _weights(softadapt(window=3, update_every=4), rows)
  every = _weights(softadapt(window=3), rows)
  np.testing.assert_allclose(weights[:3], 1 / 3, rtol=1e-6)
  for step in range(3, 12):
    np.testing.assert_array_equal(weights[step], every[step - (step + 1) % 4])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_that_is_not_finite_changes_nothing(variant):
  rows, weighting = _noise(10), softadapt(variant, window=4)
  gap = jnp.concatenate([rows[:6], jnp.array([[1.0, jnp.nan, 2.0]]), rows[6:]])
  weights, expected = _weights(weighting, gap), _weights(weighting, rows)
  np.testing.assert_array_equal(weights[6], expected[5])
  np.testing.assert_array_equal(weights[7:], expected[6:])


@pytest.mark.parametrize("variant", ["original", "normalized"])
def test_constant_losses_have_uniform_weights(variant):
  rows = jnp.broadcast_to(jnp.array([0.25, 2.0, 32.0]), (6, 3))
  np.testing.assert_allclose(_weights(softadapt(variant, window=2), rows), 1 / 3, rtol=1e-6)


def test_constant_losses_weigh_as_their_means_where_loss_weighted():
  rows = jnp.broadcast_to(jnp.array([1.0, 2.0, 5.0]), (3, 3))
  weights = _weights(softadapt("loss_weighted", window=2), rows)[-1]
  np.testing.assert_allclose(weights, [0.125, 0.25, 0.625], rtol=1e-6)


def test_negative_means_have_uniform_weights_where_loss_weighted():
  rows = _noise(4).at[:, 1].add(-5.0)
  np.testing.assert_allclose(_weights(softadapt("loss_weighted", window=2), rows), 1 / 3, rtol=1e-6)


def test_rates_beyond_the_floats_go_to_the_largest():
  rows = jnp.array([[-3e38, 3.0, 1.0], [3e38, 2.0, 1.0]], jnp.float32)
  np.testing.assert_array_equal(_weights(softadapt(window=2), rows)[-1], [1, 0, 0])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"variant": "other"}, "variant: choose from original, normalized, loss_weighted; got 'other'"),
    ({"beta": float("nan")}, "beta: must be a finite number in .* got nan"),
    ({"window": 1}, "window: must be an integer >= 2, got 1"),
    ({"accuracy_order": 0}, "accuracy_order: must be an integer >= 1, got 0"),
    ({"accuracy_order": 5}, "accuracy_order: must be below window = 5, got 5"),
    ({"update_every": 0}, "update_every: must be an integer >= 1, got 0"),
    ({"difference": "central"}, "difference: choose from backward, forward; got 'central'"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    softadapt(**arguments)
