"""The general robust loss against its formula, its derivatives and its density."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate
import scipy.special

from mlseg.weighting.learned.robust import general_robust, log_partition, robust
from mlseg.weighting.learned.uncertainty import uncertainty

SGD = optax.sgd(0.01)


def _rho(square, shape, scale=1.0):
  """The formula of the paper, in float64, for numbers."""
  ratio = square / scale**2
  if shape == 2:
    return ratio / 2
  if shape == 0:
    return np.log(ratio / 2 + 1)
  width = abs(shape - 2)
  return width / shape * ((ratio / width + 1) ** (shape / 2) - 1)


def _log_partition(shape):
  def density(x):
    return np.exp(-_rho(x**2, shape))

  with warnings.catch_warnings(record=True):  # of tails that fall slowly
    near, far = (
      scipy.integrate.quad(density, *ends, limit=500, epsabs=1e-12, epsrel=1e-12)[0]
      for ends in ((0, 5), (5, np.inf))
    )
  return np.log(2 * (near + far))


def _negative_log_likelihood(square, logit, log_square, shape=None):
  shape = 2 / (1 + np.exp(-logit)) if shape is None else shape
  return _rho(square, shape, np.exp(log_square / 2)) + log_square / 2 + _log_partition(shape)


def _difference(function, at, step=1e-4):
  return (function(at + step) - function(at - step)) / (2 * step)


def _run(weighting, rows):
  """Returns weights and parameters before each step, and the parameters at last."""

  def step(state, row):
    weights, next_state = weighting.update(row, state)
    return next_state, (weights, state.parameters)

  last, (weights, parameters) = jax.jit(lambda: jax.lax.scan(step, weighting.init(rows[0]), rows))()
  return np.asarray(weights), np.asarray(parameters), np.asarray(last.parameters)


SHAPES = [-10.0, -2.0, -0.3, 0.0, 1e-3, 0.5, 1.0, 1.7, 1.999, 2.0, 3.0]


@pytest.mark.parametrize("shape", SHAPES)
def test_rho_equals_the_formula(shape):
  squares = np.array([0.0, 1e-6, 0.1, 1.0, 7.0, 1e4])
  expected = [_rho(square, shape, 1.5) for square in squares]
  with jax.enable_x64(True):
    actual = general_robust(jnp.array(squares), shape, 1.5)
  np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-12)
  actual = general_robust(jnp.array(squares, jnp.float32), shape, 1.5)
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_rho_has_its_slope_by_differentiation(shape):
  squares = np.array([0.1, 1.0, 7.0])
  with jax.enable_x64(True):
    slope = jax.grad(lambda x: general_robust(x, shape, 1.5).sum())(jnp.array(squares))
  expected = [_difference(lambda x: _rho(x, shape, 1.5), x) for x in squares]
  np.testing.assert_allclose(slope, expected, rtol=1e-5)
  slope = jax.grad(lambda x: general_robust(x, shape, 1.5))(jnp.float32(0))
  np.testing.assert_allclose(slope, 1 / (2 * 1.5**2), rtol=1e-6)


def test_named_members_of_the_family():
  x = jnp.array([0.3, 1.0, 4.0])
  np.testing.assert_allclose(general_robust(x**2, 1.0, 1.0), jnp.sqrt(x**2 + 1) - 1, rtol=1e-5)
  geman_mcclure = 2 * x**2 / (x**2 + 4)
  np.testing.assert_allclose(general_robust(x**2, -2.0, 1.0), geman_mcclure, rtol=1e-5)


def test_partition_has_its_known_values():
  values = np.exp(log_partition(np.array([0.0, 1.0, 2.0])))
  bessel = 2 * np.e * scipy.special.k1(1.0)
  expected = [np.pi * np.sqrt(2), bessel, np.sqrt(2 * np.pi)]
  np.testing.assert_allclose(values, expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [1e-3, 0.1, 0.7, 1.5, 1.9, 1.999])
def test_partition_equals_another_quadrature(shape):
  np.testing.assert_allclose(log_partition(np.array(shape)), _log_partition(shape), rtol=1e-7)


@pytest.mark.parametrize("shape", [0.002, 0.1, 0.8, 1.4, 1.9, 1.997])
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_weights_and_steps_are_the_derivatives_of_the_likelihood(shape, scale):
  losses = np.array([0.01, 1.3, 40.0])
  weighting = robust(shape, scale, optimizer=SGD)
  with jax.enable_x64(True):
    weights, parameters, final = _run(weighting, jnp.array(losses[None]))
  logit, log_square = np.log(shape / (2 - shape)), 2 * np.log(scale)
  np.testing.assert_allclose(parameters[0], [[logit] * 3, [log_square] * 3], rtol=1e-9)
  gradients = (parameters[0] - final) / 0.01
  for k, loss in enumerate(losses):
    expected = _difference(lambda x: _rho(x, shape, scale), loss, 1e-5)
    np.testing.assert_allclose(weights[0, k], expected, rtol=1e-6)
    by_logit = _difference(lambda a, x=loss: _negative_log_likelihood(x, a, log_square), logit)
    by_log_square = _difference(lambda s, x=loss: _negative_log_likelihood(x, logit, s), log_square)
    np.testing.assert_allclose(gradients[0, k], by_logit, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(gradients[1, k], by_log_square, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [0.001, 0.5, 1.5, 1.999])
def test_float32_is_enough(shape):
  rows = np.random.default_rng(0).gamma(0.5, 3.0, [20, 4])
  single = _run(robust(shape, optimizer=SGD), jnp.array(rows, jnp.float32))
  with jax.enable_x64(True):
    double = _run(robust(shape, optimizer=SGD), jnp.array(rows))
  for actual, expected in zip(single, double, strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_shape_two_is_uncertainty():
  rows = jnp.array(np.random.default_rng(0).gamma(2.0, 1.0, [30, 3]), jnp.float32)
  weights, parameters, final = _run(robust(2.0, 0.7, learn_shape=False), rows)
  log_square = 2 * np.log(0.7)
  expected, log_variances, last = _run(uncertainty("regression", log_square), rows)
  np.testing.assert_allclose(weights, expected, rtol=1e-5)
  np.testing.assert_allclose(parameters[:, 1], log_variances, rtol=1e-5)
  np.testing.assert_allclose(final[1], last, rtol=1e-5)


@pytest.mark.parametrize(
  ("options", "moves"),
  [
    ({}, [True, True]),
    ({"learn_shape": False}, [False, True]),
    ({"learn_scale": False}, [True, False]),
    ({"learn_shape": False, "learn_scale": False, "shape": -2.0}, [False, False]),
  ],
)
def test_only_what_is_to_be_learned_moves(options, moves):
  rows = jnp.array(np.random.default_rng(0).gamma(2.0, 1.0, [4, 3]), jnp.float32)
  # Weight decay moves parameters whose gradient is 0.
  weighting = robust(scale=2.0, optimizer=optax.adamw(0.1, weight_decay=0.5), **options)
  weights, parameters, final = _run(weighting, rows)
  assert [(row != first).all() for row, first in zip(final, parameters[0], strict=True)] == moves
  if not any(moves):
    expected = jax.vmap(jax.grad(lambda row: general_robust(row, -2.0, 2.0).sum()))(rows)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_learning_finds_the_shape_that_the_losses_have():
  rng = np.random.default_rng(0)
  normal, cauchy = rng.normal(size=4000), rng.standard_cauchy(4000) * np.sqrt(2)
  rows = jnp.array(np.stack([normal**2, cauchy**2], axis=1) * [9.0, 0.25], jnp.float32)
  _, _, (logits, log_squares) = _run(robust(optimizer=optax.adam(0.02)), rows)
  shapes = 2 / (1 + np.exp(-logits))
  # These densities are the members for 2 and 0, of scale 3 and 1/2.
  assert shapes[0] > 1.7
  assert shapes[1] < 0.3
  np.testing.assert_allclose(np.exp(log_squares / 2), [3, 0.5], rtol=0.25)


def test_an_outlier_counts_less_and_the_others_as_before():
  weighting, losses = robust(), jnp.array([1.0, 1.0])
  weights, _ = weighting.update(losses, weighting.init(losses))
  spiked, _ = weighting.update(losses.at[1].set(1e4), weighting.init(losses))
  assert spiked[1] < 0.02 * weights[1]
  assert spiked[0] == weights[0]


def test_losses_that_are_negative_or_not_finite_count_as_zero():
  weighting = robust(0.5, 2.0)
  state = weighting.init(jnp.zeros(2))
  zero, zero_state = weighting.update(jnp.zeros(2), state)
  np.testing.assert_allclose(zero, 1 / 8)
  negative, negative_state = weighting.update(jnp.array([-1.0, -3e38]), state)
  np.testing.assert_array_equal(negative, zero)
  np.testing.assert_array_equal(negative_state.parameters, zero_state.parameters)
  infinite, infinite_state = weighting.update(jnp.array([1.0, jnp.inf]), state)
  np.testing.assert_array_equal(infinite, zero)
  np.testing.assert_array_equal(infinite_state.parameters, state.parameters)


@pytest.mark.parametrize("shape", [0.001, 1.0, 1.999])
def test_parameters_stay_in_their_range(shape):
  rows = jnp.broadcast_to(jnp.array([0.0, 3e38, 1e-45]), (200, 3))
  weights, parameters, _ = _run(robust(shape, optimizer=optax.sgd(3.0)), rows)
  assert np.isfinite(weights).all()
  assert np.abs(parameters[:, 0]).max() <= np.log(1999) + 1e-4
  assert np.abs(parameters[:, 1]).max() <= 20


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"shape": 2.0}, r"shape: must be .* \[0.001, 1.999\], got 2.0"),
    ({"shape": -0.1, "learn_shape": False}, r"shape: must be .* \[0.0, 2.0\], got -0.1"),
    (
      {"shape": 2.1, "learn_shape": False, "learn_scale": False},
      r"shape: must be .* \[-10.0, 2.0\], got 2.1",
    ),
    ({"scale": 0.0}, r"scale: must be a finite number in \[0.0001, 10000.0\], got 0.0"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    robust(**arguments)
