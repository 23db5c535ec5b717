"""Learning-rate annealing and ExcessMTL against reference code and the papers' formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gradients.excess_mtl import excess_mtl
from mlseg.weighting.from_gradients.learning_rate_annealing import learning_rate_annealing


def _run(transformation, steps, split=2):
  """Returns the weights [steps, K] and directions [steps, n] for gradients [steps, K, n]."""

  def body(state, rows):
    gradients = {"a": rows[:, :split], "b": rows[:, split:]}
    updates, state = transformation.update(gradients, state)
    return state, (state.weights, jnp.concatenate([updates["a"], updates["b"]]))

  rows = steps[0][0]
  state = transformation.init({"a": rows[:split], "b": rows[split:]})
  _, (weights, directions) = jax.lax.scan(body, state, steps)
  return np.asarray(weights), np.asarray(directions)


def _run64(transformation, steps):
  with jax.enable_x64(True):
    return _run(transformation, jnp.array(steps, jnp.float64))


def _random_steps(num_steps=6, num_losses=3, size=7, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num_steps, num_losses, size)) * rng.uniform(0.1, 3, (num_losses, 1))


@pytest.mark.shared
def test_annealing_equals_config(golden):
  row = golden("relobralo_lra")["outputs"]["ConFIG_LRA_beta0.9_constant_grads"]
  steps = np.repeat([row["grads"]], len(row["weights"]), axis=0)
  weights, _ = _run64(learning_rate_annealing(3, decay=0.9), steps)
  np.testing.assert_allclose(weights, row["weights"], rtol=1e-6)
  weights, _ = _run(learning_rate_annealing(3), jnp.array(steps, jnp.float32))
  np.testing.assert_allclose(weights, row["weights"], rtol=1e-6)


@pytest.mark.parametrize("reference", [0, 2])
def test_annealing_equals_the_formula(reference):
  steps, weights, expected = _random_steps(), np.ones(3), []
  for rows in steps:
    ratio = np.abs(rows[reference]).max() / np.abs(rows).mean(1)
    ratio[reference] = 1
    weights = 0.7 * weights + 0.3 * ratio
    expected.append(weights)
  actual, directions = _run64(learning_rate_annealing(3, 0.7, reference), steps)
  np.testing.assert_allclose(actual, expected, rtol=1e-12)
  np.testing.assert_allclose(directions, np.einsum("tk,tkn->tn", expected, steps), rtol=1e-10)


def test_annealing_leaves_the_weight_of_a_loss_without_gradient():
  steps = _random_steps()
  steps[3:, 1] = 0
  weights, _ = _run64(learning_rate_annealing(3), steps)
  assert (weights[3:, 1] == weights[2, 1]).all()
  assert (weights[3:, 2] != weights[2, 2]).all()


@pytest.mark.shared
def test_excess_mtl_equals_libmtl_up_to_the_sum(golden):
  data = golden("excess_mtl")
  steps, expected = data["inputs"]["gradients_per_step"], data["outputs"]["LibMTL_step1e-2"]
  weights, _ = _run(excess_mtl(3), jnp.array(steps, jnp.float32))
  np.testing.assert_allclose(3 * weights, expected, rtol=2e-5)


@pytest.mark.shared
def test_excess_mtl_equals_torchjd_but_for_its_first_step(golden):
  # At the first step TorchJD takes the risk itself, not its ratio to the baseline, which multiplies
  # all later weights by exp(E_k0): done here. It adds 1e-7 to the baseline too: 2e-8 of it.
  data = golden("excess_mtl")
  assert data["outputs"]["TorchJD_repr"].endswith("robust_step_size=1.0, n_warmup_steps=0)")
  steps = np.array(data["inputs"]["gradients_per_step"])
  first = (steps[0] ** 2 / np.sqrt(steps[0] ** 2 + 1e-7)).sum(1)
  weights, _ = _run64(excess_mtl(3, step_size=1.0), steps)
  shifted = weights * np.exp(first)
  shifted /= shifted.sum(1, keepdims=True)
  np.testing.assert_allclose(shifted, data["outputs"]["TorchJD_default"], rtol=1e-6)


@pytest.mark.parametrize("num_warmup", [1, 3])
def test_excess_mtl_equals_the_formula(num_warmup):
  steps = _random_steps(8, seed=1)
  squares, weights, risks, expected = np.zeros(steps.shape[1:]), np.full(3, 1 / 3), [], []
  for rows in steps:
    squares = squares + rows**2
    risk = (rows**2 / np.sqrt(squares + 1e-7)).sum(1)
    if len(risks) < num_warmup:
      risks.append(risk)
    else:
      weights = weights * np.exp(0.5 * risk / np.mean(risks, axis=0))
      weights = weights / weights.sum()
    expected.append(weights)
  actual, directions = _run64(excess_mtl(3, 0.5, num_warmup), steps)
  np.testing.assert_allclose(actual, expected, rtol=1e-10)
  np.testing.assert_allclose(directions, np.einsum("tk,tkn->tn", expected, steps), rtol=1e-9)


def test_excess_mtl_does_not_care_for_the_scale_of_a_loss():
  steps = _random_steps()
  scaled = steps * np.array([1.0, 100.0, 1e4])[:, None]
  plain, _ = _run64(excess_mtl(3, 0.5), steps)
  np.testing.assert_allclose(_run64(excess_mtl(3, 0.5), scaled)[0], plain, rtol=1e-4)


def test_excess_mtl_counts_a_loss_without_baseline_as_unchanged():
  steps = _random_steps()
  steps[0, 1] = 0
  weights, _ = _run64(excess_mtl(3, 1.0), steps)
  constant = np.array(steps)
  constant[:, 1] = 0  # E_k / E_k0 = 1 whatever comes later
  np.testing.assert_allclose(weights, _run64(excess_mtl(3, 1.0), constant)[0], rtol=1e-12)


def test_excess_mtl_runs_to_one_loss_without_becoming_non_finite():
  rows = np.array([[1.0, 0.5, 0.2], [1e-4, 1e-4, 1e-4]])
  steps = np.repeat([rows], 400, axis=0)
  steps[0, 1] = 1e-8  # so its risk is ever far above the baseline
  weights, directions = _run(excess_mtl(2, 1.0), jnp.array(steps, jnp.float32))
  assert np.isfinite(weights).all()
  np.testing.assert_allclose(weights[-1], [0, 1], atol=1e-6)
  np.testing.assert_allclose(directions[-1], rows[1], rtol=1e-5)


@pytest.mark.parametrize(
  ("factory", "arguments", "message"),
  [
    (learning_rate_annealing, {"decay": 1.5}, r"decay: must be a finite number in \[0, 1\]"),
    (learning_rate_annealing, {"reference": 3}, r"reference: must be .* \[0, 2\], got 3"),
    (learning_rate_annealing, {"reference": 0.5}, "reference: must be an integer >= 0, got 0.5"),
    (learning_rate_annealing, {"num_losses": 0}, "num_losses: must be an integer >= 1, got 0"),
    (excess_mtl, {"step_size": -1.0}, r"step_size: must be a finite number in \[0, inf\]"),
    (excess_mtl, {"num_warmup": 0}, "num_warmup: must be an integer >= 1, got 0"),
    (excess_mtl, {"num_losses": 2.5}, "num_losses: must be an integer >= 1, got 2.5"),
  ],
)
def test_wrong_arguments_are_refused(factory, arguments, message):
  with pytest.raises(ValueError, match=message):
    factory(**{"num_losses": 3, **arguments})
