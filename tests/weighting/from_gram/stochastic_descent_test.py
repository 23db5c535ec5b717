"""MoDo and SDMGrad against the reference numbers, and against their algorithms in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from mlseg.weighting.from_gram.stochastic_descent import modo, sdmgrad
from mlseg.weighting.simplex import project_to_simplex


def _run(weighting, matrices):
  """Returns the weights and states after each step."""
  matrices = jnp.asarray(matrices)
  losses = jnp.ones(matrices.shape[1], matrices.dtype)

  def step(state, matrix):
    weights, state = weighting.update(losses, state, gram=matrix)
    return state, (weights, state.weights)

  run = jax.jit(lambda: jax.lax.scan(step, weighting.init(losses), matrices)[1])
  return jax.tree.map(np.asarray, run())


@pytest.mark.shared
@pytest.mark.parametrize(
  ("weighting", "key", "rtol"),
  [
    (modo(0.1, 0.1), "TorchJD_MoDo_gamma0.1_rho0.1", 1e-6),
    (sdmgrad(learning_rate=10.0), "TorchJD_SDMGrad_default", 1e-6),
  ],
)
def test_equals_torchjd(golden, weighting, key, rtol):
  data = golden("modo_sdmgrad")
  rows = np.array(data["inputs"]["J_steps"])
  with jax.enable_x64(True):
    weights, _ = _run(weighting, rows[:-1] @ rows[1:].transpose(0, 2, 1))
  np.testing.assert_allclose(weights, data["outputs"][key], rtol=rtol)


def _nearest(point):
  """The projection onto the simplex, by bisection for the shift."""
  low, high = point.min() - 1, point.max()
  for _ in range(200):
    middle = (low + high) / 2
    low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
  return np.maximum(point - high, 0)


def _matrices(number, seed, num_steps=8):
  rng = np.random.default_rng(seed)
  first, second = rng.normal(size=(2, num_steps, number, 9)) + 1
  return first @ second.transpose(0, 2, 1)


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_modo_equals_its_algorithm(number):
  matrices, weights, expected = _matrices(number, number), np.full(number, 1 / number), []
  for matrix in matrices:
    weights = _nearest(weights - 0.05 * (matrix @ weights + 0.3 * weights))
    expected.append(weights)
  with jax.enable_x64(True):
    np.testing.assert_allclose(_run(modo(0.05, 0.3), matrices)[0], expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_sdmgrad_equals_its_algorithm(number):
  matrices, inner, expected = _matrices(number, number), np.full(number, 1 / number), []
  preference = np.random.default_rng(0).random(number)
  for matrix in matrices:
    scaled = matrix / np.sqrt(np.maximum(np.diag(matrix), 0)).mean() ** 2
    velocity = np.zeros(number)
    for _ in range(6):
      velocity = 0.4 * velocity + scaled @ (inner + 0.5 * preference)
      inner = _nearest(inner - 0.2 * velocity)
    expected.append((inner + 0.5 * preference) / 1.5)
  weighting = sdmgrad(0.2, 0.4, 6, 0.5, tuple(float(share) for share in preference))
  with jax.enable_x64(True):
    weights, _ = _run(weighting, matrices)
  np.testing.assert_allclose(weights, expected, rtol=1e-7, atol=1e-9)


def test_both_reach_the_minimum_where_the_matrix_stays():
  rows = np.random.default_rng(1).normal(size=(4, 6)) + 0.3
  gram = rows @ rows.T
  gram /= np.sqrt(np.diag(gram)).mean() ** 2

  def minimum(pull):
    constraint = {"type": "eq", "fun": lambda v: v.sum() - 1}
    result = optimize.minimize(
      lambda v: (v + pull) @ gram @ (v + pull), np.full(4, 0.25), bounds=[(0, 1)] * 4,
      constraints=[constraint], method="SLSQP", options={"ftol": 1e-14},
    )  # fmt: skip
    return (result.x + pull) / (1 + 4 * pull)

  steps = np.stack([gram] * 400)
  with jax.enable_x64(True):
    np.testing.assert_allclose(_run(modo(0.2, 0.0), steps)[0][-1], minimum(0.0), atol=1e-5)
    weights, inner = _run(sdmgrad(), steps[:40])
  np.testing.assert_allclose(weights[-1], minimum(0.3 / 4), atol=1e-5)
  np.testing.assert_allclose(inner.sum(axis=1), 1, rtol=1e-9)


def test_sdmgrad_does_not_depend_on_the_scale_of_gradients():
  matrices = _matrices(3, 0).astype(np.float32)
  expected = _run(sdmgrad(), matrices)[0]
  for factor in (1e-30, 1e30):
    np.testing.assert_allclose(_run(sdmgrad(), matrices * factor)[0], expected, rtol=1e-3)


def test_the_matrix_is_not_made_symmetric():
  matrix = np.array([[[1.0, 0.9], [-0.9, 1.0]]], np.float32)
  for weighting in (modo(), sdmgrad()):
    weights = _run(weighting, matrix)[0]
    transposed = _run(weighting, matrix.transpose(0, 2, 1))[0]
    np.testing.assert_allclose(weights, transposed[:, ::-1], rtol=1e-5)
    assert weights[0, 0] < 0.48


def test_projection_of_any_point():
  rng = np.random.default_rng(0)
  points = rng.normal(size=(100, 6)) * 10 ** rng.uniform(-2, 2, (100, 1))
  projected = jax.vmap(project_to_simplex)(jnp.array(points, jnp.float32))
  np.testing.assert_allclose(projected, [_nearest(point) for point in points], atol=1e-5)
  huge = project_to_simplex(jnp.array([-jnp.inf, 3e38, -3e38]))
  np.testing.assert_array_equal(huge, [0, 1, 0])


def test_a_step_that_is_not_finite_or_without_length_keeps_the_weights():
  good = _matrices(3, 2).astype(np.float32)
  bad = good.copy()
  bad[3, 0, 1] = np.nan
  bad[5] = np.inf
  for weighting in (modo(), sdmgrad()):
    _, inner = _run(weighting, bad)
    np.testing.assert_array_equal(inner[3], inner[2])
    np.testing.assert_array_equal(inner[5], inner[4])
    assert np.abs(np.diff(inner[[2, 4, 6]], axis=0)).max() > 1e-4
  negative = np.stack([-np.eye(3)]).astype(np.float32)
  np.testing.assert_allclose(_run(sdmgrad(), negative)[0], 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
  ("factory", "arguments", "message"),
  [
    (modo, {"gamma": -1.0}, r"gamma: must be a finite number in \[0, inf\], got -1.0"),
    (modo, {"rho": -1.0}, r"rho: must be a finite number in \[0, inf\], got -1.0"),
    (sdmgrad, {"regularization": -1.0}, r"regularization: must be .* got -1.0"),
    (sdmgrad, {"learning_rate": np.nan}, r"learning_rate: must be .* got nan"),
    (sdmgrad, {"momentum": 1.5}, r"momentum: must be a finite number in \[0, 1\], got 1.5"),
    (sdmgrad, {"num_steps": 0}, r"num_steps: must be an integer >= 1, got 0"),
    (sdmgrad, {"preference": (-1.0, 1.0)}, r"preference: must be .* got .*-1.0"),
  ],
)
def test_wrong_arguments_are_refused(factory, arguments, message):
  with pytest.raises(ValueError, match=message):
    factory(**arguments)


def test_init_refuses_preferences_that_do_not_match():
  with pytest.raises(ValueError, match=r"preference: must be one number, 2 numbers"):
    sdmgrad(preference=(1.0, 2.0, 3.0)).init(jnp.zeros(2))
