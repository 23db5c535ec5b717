"""Dynamic weight average against four libraries and against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.dynamic_weight_average import balance, dynamic_weight_average


def _weights(weighting, rows):
  """Returns the weights after each row, [steps, K]."""
  _, weights = jax.lax.scan(
    lambda state, row: weighting.update(row, state)[::-1], weighting.init(rows[0]), rows
  )
  return np.asarray(weights)


def _noise(num_steps, num_losses=3, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.array(rng.gamma(3.0, 1.0, [num_steps, num_losses]), jnp.float32)


# One block has no numbers: AuxiLearn's code calls np.sum on a generator, which numpy 2 refuses.
@pytest.mark.shared
@pytest.mark.parametrize(
  ("key", "temperature", "rtol"),
  [("LibMTL_T2", 2.0, 2e-5), ("LibMTL_T0.5", 0.5, 2e-5), ("TorchJD_T2", 2.0, 1e-6)],
)
def test_equals_the_references_with_epochs_as_updates(golden, key, temperature, rtol):
  rows = np.array(golden("dwa")["inputs"]["epoch_average_losses"])
  with jax.enable_x64(True):
    weights = _weights(dynamic_weight_average(temperature), jnp.array(rows))
  np.testing.assert_allclose(weights, golden("dwa")["outputs"][key], rtol=rtol)
  # AuxiLearn's code sums a generator by numpy, which refuses that: there is nothing to compare.
  assert golden("dwa")["outputs"]["AuxiLearn_T2"].startswith("raises TypeError")


@pytest.mark.shared
def test_equals_the_reference_where_epochs_have_two_batches(golden):
  expected = golden("dwa")["outputs"]["TorchJD_two_batches_per_epoch"]
  batches = np.array(expected["batches"])
  with jax.enable_x64(True):
    weights = _weights(dynamic_weight_average(), jnp.array(batches.mean(axis=1)))
  rows = expected["per_epoch"]
  np.testing.assert_allclose(weights, [row["weights"] for row in rows], rtol=1e-6)
  totals = (weights * batches[:, -1]).sum(axis=1)
  np.testing.assert_allclose(totals, [row["last_batch_total"] for row in rows], rtol=1e-6)


@pytest.mark.shared
def test_windows_equal_the_variant_by_iterations(golden):
  expected = golden("dwa")["outputs"]["nash-mtl_iteration_window3_T2"]
  # The reference begins with a window of ones. One of them is still there when its first weights
  # come, one step before the window has filled with losses.
  losses = np.array(expected["losses"])
  rows = np.concatenate([np.ones((1, 2)), losses])
  with jax.enable_x64(True):
    weights = _weights(dynamic_weight_average(2.0, 3, include_current=True), jnp.array(rows))[1:]
  np.testing.assert_allclose(weights, [row["weights"] for row in expected["per_step"]], rtol=1e-6)
  means = (weights * losses).mean(axis=1)
  np.testing.assert_allclose(means, [row["loss"] for row in expected["per_step"]], rtol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize(
  ("key", "epsilon"),
  [("soft_adapt", 1e-6), ("physicsnemo_style_softadapt(last step ratio, eps 1e-8)", 1e-8)],
)
def test_the_softadapt_of_jinns_and_physicsnemo_is_this_one_with_the_current_losses(
  golden, key, epsilon
):
  data = golden("jinns_softadapt_relobralo")
  rows, expected = np.array(data["inputs"]["loss_sequence"]), data["outputs"][key]
  with jax.enable_x64(True):
    weights = _weights(dynamic_weight_average(1.0, include_current=True), jnp.array(rows))
  np.testing.assert_array_equal(weights[0], expected[0])
  np.testing.assert_allclose(weights[1:] / 3, expected[1:], rtol=1e-6)
  # The rest is the small number that both add to the losses they divide by.
  ratios = np.exp(rows[1:] / (rows[:-1] + epsilon))
  shares = ratios / ratios.sum(axis=1, keepdims=True)
  np.testing.assert_allclose(shares, expected[1:], rtol=1e-8)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_equals_its_formula(window, temperature):
  rows = _noise(13)
  values, expected = np.asarray(rows, float), np.ones((14, 3))
  for step in range(2 * window, 14):
    kept = values[step - 2 * window : step]
    scores = np.exp(kept[window:].mean(axis=0) / kept[:window].mean(axis=0) / temperature)
    expected[step] = 3 * scores / scores.sum()
  delayed = _weights(dynamic_weight_average(temperature, window), rows)
  np.testing.assert_allclose(delayed, expected[:-1], rtol=1e-5)
  current = _weights(dynamic_weight_average(temperature, window, include_current=True), rows)
  np.testing.assert_allclose(current, expected[1:], rtol=1e-5)


def test_ratios_have_no_unit():
  rows, units = _noise(6), jnp.array([[2.0**-60, 1.0, 2.0**100]])
  weights = _weights(dynamic_weight_average(0.5), rows)
  np.testing.assert_allclose(_weights(dynamic_weight_average(0.5), rows * units), weights, 1e-5)


def test_a_step_that_is_not_finite_changes_nothing():
  rows, weighting = _noise(8), dynamic_weight_average(0.5)
  gap = jnp.concatenate([rows[:5], jnp.array([[1.0, jnp.inf, 2.0]]), rows[5:]])
  weights, expected = _weights(weighting, gap), _weights(weighting, rows)
  np.testing.assert_array_equal(weights[6:], expected[5:])
  np.testing.assert_array_equal(weights[5], weights[6])


def test_weights_are_one_where_a_ratio_is_not_finite():
  weights = balance(jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 0.0, 1.0]), 2.0)
  np.testing.assert_array_equal(weights, 1)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"temperature": 0.0}, "temperature: must be a finite number in .* got 0.0"),
    ({"window": 0}, "window: must be an integer >= 1, got 0"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    dynamic_weight_average(**arguments)
