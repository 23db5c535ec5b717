"""Coefficient-of-variation weighting against the authors' code and against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.coefficient_of_variation import coefficient_of_variation


def _run(weighting, rows):
  """Returns the weights and states after each row, [steps, K]."""

  def step(state, row):
    weights, state = weighting.update(row, state)
    return state, (weights, state)

  return jax.tree.map(np.asarray, jax.lax.scan(step, weighting.init(rows[0]), rows)[1])


def _noise(num_steps, num_losses=3, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.array(rng.gamma(3.0, 1.0, [num_steps, num_losses]), jnp.float32)


@pytest.mark.shared
def test_equals_the_reference_in_weights_and_statistics(golden):
  cases = golden("cov")["cases"]
  assert len(cases) == 8
  for case in cases:
    inputs, outputs = case["inputs"], case["outputs"]
    weighting = coefficient_of_variation(inputs["mean_sort"], inputs["mean_decay_param"])
    losses = np.array(inputs["loss_steps"])
    with jax.enable_x64(True):
      weights, states = _run(weighting, jnp.array(losses))
    expected = {name: np.array([row[name] for row in outputs]) for name in outputs[0]}
    np.testing.assert_allclose(weights, expected["weights"], rtol=2e-5)
    totals = (weights * losses).sum(axis=1)
    np.testing.assert_allclose(totals, expected["weighted_loss"], rtol=2e-5)
    np.testing.assert_allclose(states.mean_loss, expected["mean_L"], rtol=2e-5)
    np.testing.assert_allclose(states.mean_ratio, expected["mean_ratio"], rtol=2e-5)
    # In float32, differences of numbers near 1 are known to about 1e-7.
    squares = states.sum_of_squares
    np.testing.assert_allclose(squares, expected["S"], rtol=2e-5, atol=1e-8)
    deviations = np.sqrt(squares / states.num_seen + 1e-8)
    np.testing.assert_allclose(deviations, expected["std"], rtol=2e-5)


def test_equals_the_definition_by_whole_histories():
  rows = _noise(12)
  values, ratios, expected = np.asarray(rows, float), [], []
  for step in range(12):
    if step < 2:
      expected.append(np.full(3, 1 / 3))
    else:
      coefficients = np.sqrt(np.var(ratios, axis=0) + 1e-8) / np.mean(ratios, axis=0)
      expected.append(coefficients / coefficients.sum())
    ratios.append(values[step] / values[:step].mean(axis=0) if step else np.ones(3))
  weights, _ = _run(coefficient_of_variation(), rows)
  np.testing.assert_allclose(weights, expected, rtol=2e-5)


def test_scales_do_not_matter():
  rows = _noise(8)
  weights, _ = _run(coefficient_of_variation(), rows)
  scaled, _ = _run(coefficient_of_variation(), rows * jnp.array([[2.0**-50, 1.0, 2.0**90]]))
  np.testing.assert_allclose(scaled, weights, rtol=1e-5)


def test_the_current_losses_do_not_decide_the_current_weights():
  rows = _noise(6)
  weights, _ = _run(coefficient_of_variation("decay"), rows)
  changed, _ = _run(coefficient_of_variation("decay"), rows.at[-1].set(100.0))
  np.testing.assert_array_equal(changed, weights)


def test_a_step_that_is_not_finite_changes_nothing():
  rows, weighting = _noise(8), coefficient_of_variation()
  gap = jnp.concatenate([rows[:4], jnp.array([[1.0, jnp.nan, -jnp.inf]]), rows[4:]])
  weights, expected = _run(weighting, gap)[0], _run(weighting, rows)[0]
  np.testing.assert_array_equal(weights[5:], expected[4:])
  np.testing.assert_array_equal(weights[4], weights[5])


def test_constant_losses_have_uniform_weights_even_at_zero():
  rows = jnp.broadcast_to(jnp.array([0.0, 0.5, 7.0]), (6, 3))
  np.testing.assert_allclose(_run(coefficient_of_variation(), rows)[0], 1 / 3, rtol=1e-6)


def test_a_ratio_to_almost_nothing_is_clipped_and_forgotten():
  rows = jnp.concatenate([jnp.array([[1e-30, 1.0, 1.0]]), _noise(5)])
  weights, states = _run(coefficient_of_variation("decay", 0.5), rows)
  assert states.mean_ratio[1, 0] == pytest.approx(5e11, rel=1e-5)
  assert states.mean_loss[-1, 0] > 0.1
  assert np.isfinite(weights).all()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"mean": "median"}, "mean: choose from full, decay; got 'median'"),
    ({"mean": "decay", "decay": 1.1}, r"decay: must be a finite number in \[0, 1\], got 1.1"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    coefficient_of_variation(**arguments)
