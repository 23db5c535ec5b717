"""IMTL-L against TorchJD, and against uncertainty weighting with the other sign."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.learned.impartial_losses import impartial_losses
from mlseg.weighting.learned.uncertainty import uncertainty

SGD = optax.sgd(0.1)


def _run(weighting, rows):
  """Returns weights and parameters before each step, [steps, K], and the parameters at last."""

  def step(state, row):
    weights, next_state = weighting.update(row, state)
    return next_state, (weights, state.parameters)

  last, (weights, parameters) = jax.jit(lambda: jax.lax.scan(step, weighting.init(rows[0]), rows))()
  return np.asarray(weights), np.asarray(parameters), np.asarray(last.parameters)


def _noise(num_steps):
  rng = np.random.default_rng(1)
  return jnp.array(rng.gamma(2.0, 1.0, [num_steps, 3]) * [0.1, 1, 20], jnp.float32)


@pytest.mark.shared
def test_equals_the_reference(golden):
  data = golden("imtl_l")
  *steps, last = data["outputs"]["TorchJD_IMTLL_sgd0.1"]
  with jax.enable_x64(True):
    rows = jnp.array(data["inputs"]["loss_sequence"])
    weights, parameters, final = _run(impartial_losses(optimizer=SGD), rows)
  np.testing.assert_allclose(weights, [step["weights"] for step in steps], rtol=1e-6)
  np.testing.assert_allclose(parameters, [step["param_before"] for step in steps], rtol=1e-6)
  np.testing.assert_allclose(final, last["param_final"], rtol=1e-6)
  gradients = (parameters - np.concatenate([parameters[1:], final[None]])) / 0.1
  np.testing.assert_allclose(gradients, [step["grad"] for step in steps], rtol=1e-6)
  totals = (weights * np.asarray(rows) - parameters).sum(axis=1)
  np.testing.assert_allclose(totals, [step["total"] for step in steps], rtol=1e-6)


def test_equals_its_formula():
  rows, s = np.asarray(_noise(20), np.float64), np.full(3, 0.2)
  weights, _, _ = _run(impartial_losses(0.2, optax.sgd(0.01)), _noise(20))
  for row, actual in zip(rows, weights, strict=True):
    np.testing.assert_allclose(actual, np.exp(s), rtol=1e-5)
    s -= 0.01 * (np.exp(s) * row - 1)


def test_is_doubled_uncertainty_with_the_other_sign():
  rows = _noise(30)
  weights, parameters, _ = _run(impartial_losses(0.3), rows)
  expected, log_variances, _ = _run(uncertainty("doubled", -0.3), rows)
  np.testing.assert_allclose(weights, expected, rtol=1e-5)
  np.testing.assert_allclose(parameters, -log_variances, rtol=1e-4, atol=1e-6)


def test_weighted_losses_become_one_whatever_their_scale():
  losses = jnp.array([1e-4, 1.0, 1e4])
  weights, _, _ = _run(impartial_losses(optimizer=SGD), jnp.broadcast_to(losses, (2000, 3)))
  np.testing.assert_allclose(weights[-1] * losses, 1, rtol=1e-4)


def test_parameters_stay_in_their_range():
  rows = jnp.broadcast_to(jnp.array([0.0, 3e38, -1.0]), (300, 3))
  _, parameters, _ = _run(impartial_losses(optimizer=optax.adam(0.5)), rows)
  np.testing.assert_allclose(parameters[-1], [20, -20, 20])
  assert np.abs(parameters).max() <= 20


def test_wrong_arguments_are_refused():
  with pytest.raises(ValueError, match=r"initial: must be .* \[-20.0, 20.0\], got nan"):
    impartial_losses(float("nan"))
