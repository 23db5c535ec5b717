"""FAMO against the authors' code and TorchJD, and against its algorithm in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.from_losses.famo import famo


def _run(weighting, rows, after=None):
  """Returns the weights and states after each row."""

  def step(state, inputs):
    weights, state = weighting.update(inputs[0], state, losses_after=inputs[-1])
    return state, (weights, state)

  inputs = (rows, None) if after is None else (rows, after)
  return jax.tree.map(np.asarray, jax.lax.scan(step, weighting.init(rows[0]), inputs)[1])


def _noise(num_steps, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.array(rng.gamma(3.0, 1.0, [num_steps, 3]), jnp.float32)


@pytest.mark.shared
@pytest.mark.parametrize(
  ("key", "gamma"),
  [
    ("official_famo.py_gamma0.01_wlr0.025", 0.01),
    ("official_gamma1e-3", 1e-3),
    ("official_gamma1e-5", 1e-5),
    ("TorchJD_FAMO_default(1e-3)", 1e-3),
  ],
)
@pytest.mark.parametrize("given", [False, True], ids=["next batch", "losses_after"])
def test_equals_the_references(golden, key, gamma, given):
  data = golden("famo")
  inputs, expected = data["inputs"], data["outputs"][key]
  before, after = np.array(inputs["loss_before"]), np.array(inputs["loss_after"])
  np.testing.assert_array_equal(before[1:], after[:-1])
  rows = np.concatenate([before, after[-1:]])
  # The losses after a step come with the next update; the first update has none before it.
  given_after = np.concatenate([np.full((1, 3), 9.0), after]) if given else None
  if given:
    # Other losses of the batch at hand must not matter to the logits.
    rows[-1] = [0.3, 0.2, 0.1]
  weighting = famo(gamma=gamma, min_losses=inputs["min_losses"])
  with jax.enable_x64(True):
    weights, states = _run(
      weighting, jnp.array(rows), None if not given else jnp.array(given_after)
    )
  column = {name: np.array([row[name] for row in expected]) for name in expected[0]}
  logits = states.logits
  np.testing.assert_allclose(weights[:3], column["effective_weights_dTotal_dL"], rtol=2e-5)
  np.testing.assert_allclose(logits[:3], column["logits_before"], rtol=2e-5, atol=1e-7)
  np.testing.assert_allclose(logits[1:], column["logits_after"], rtol=2e-5)
  shares = np.exp(logits[:3]) / np.exp(logits[:3]).sum(axis=1, keepdims=True)
  if "z" in column:
    np.testing.assert_allclose(shares, column["z"], rtol=2e-5)
  totals = (shares * np.log(before)).sum(axis=1) / (shares / before).sum(axis=1)
  np.testing.assert_allclose(totals, column["total"], rtol=2e-5)


def _algorithm(rows, after, gamma, learning_rate, min_losses):
  """Algorithm 1 with Adam, one step after another, in float64."""
  rows, after = np.asarray(rows, float) - min_losses, np.asarray(after, float) - min_losses
  logits, first, second, results = np.zeros(3), np.zeros(3), np.zeros(3), []
  for step, row in enumerate(rows):
    shares = np.exp(logits) / np.exp(logits).sum()
    if step:
      decrease = np.log(rows[step - 1]) - np.log(after[step])
      jacobian = np.diag(shares) - np.outer(shares, shares)
      gradient = jacobian.T @ decrease + gamma * logits
      first = 0.9 * first + 0.1 * gradient
      second = 0.999 * second + 0.001 * gradient**2
      scale = np.sqrt(second / (1 - 0.999**step)) + 1e-8
      logits = logits - learning_rate * first / (1 - 0.9**step) / scale
    scores = np.exp(logits) / np.exp(logits).sum() / row
    results.append(scores / scores.sum())
  return np.array(results)


@pytest.mark.parametrize("given", [False, True], ids=["next batch", "losses_after"])
def test_equals_the_algorithm(given):
  rows, after = _noise(15), _noise(15, seed=1)
  bounds = np.array([-1.0, 0.0, 0.05])
  weighting = famo(optax.adam(0.3), 0.2, bounds)
  expected = _algorithm(rows, after if given else rows, 0.2, 0.3, bounds)
  weights, _ = _run(weighting, rows, after if given else None)
  np.testing.assert_allclose(weights, expected, rtol=1e-4)
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)


def test_the_first_weights_are_the_normalized_inverses():
  weights, _ = _run(famo(), jnp.array([[0.5, 0.25, 1e30]]))
  np.testing.assert_allclose(weights[0], [1 / 3, 2 / 3, 0], rtol=1e-6, atol=1e-12)


def test_a_loss_that_falls_faster_loses_weight():
  rows = jnp.exp(-jnp.outer(jnp.arange(40.0), jnp.array([0.05, 0.01, 0.01])))
  _, states = _run(famo(), rows)
  assert states.logits[-1, 0] < -0.5 < 0.2 < states.logits[-1, 1]


def test_another_optimizer_may_learn_the_logits():
  rows = _noise(3)
  _, states = _run(famo(optax.sgd(1.0), gamma=0.0), rows)
  decrease = np.log(rows[0]) - np.log(rows[1])
  np.testing.assert_allclose(states.logits[1], -(decrease - decrease.mean()) / 3, rtol=1e-5)


@pytest.mark.parametrize(
  "bad", [[1.0, np.nan, 1.0], [1.0, np.inf, 1.0], [1.0, -1.0, 1.0], [0.5, 0.1, 0.2]]
)
def test_losses_that_cannot_enter_change_nothing_and_have_the_learned_weights(bad):
  rows, weighting = _noise(8) + 0.5, famo(optax.adam(0.5), min_losses=0.5)
  weights, states = _run(weighting, jnp.concatenate([rows[:5], jnp.array([bad]), rows[5:]]))
  expected, expected_states = _run(weighting, rows)
  np.testing.assert_array_equal(weights[6:], expected[5:])
  np.testing.assert_array_equal(states.logits[5], expected_states.logits[4])
  np.testing.assert_allclose(weights[5], jax.nn.softmax(states.logits[5]), rtol=1e-6)


def test_losses_after_that_are_not_finite_leave_the_logits():
  rows = _noise(4)
  after = rows.at[2].set(jnp.nan)
  weights, states = _run(famo(optax.adam(0.5)), rows, after)
  np.testing.assert_array_equal(states.logits[2], states.logits[1])
  assert np.abs(states.logits[3] - states.logits[2]).max() > 0.01
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)


def test_a_loss_just_above_its_bound_has_almost_all_weight_and_one_at_it_has_not():
  rows = jnp.array([[1.0, 1.0, 0.5 + 1e-6], [1.0, 1.0, 0.5]])
  weights, _ = _run(famo(min_losses=(0.0, 0.0, 0.5)), rows)
  assert weights[0, 2] > 0.9999
  np.testing.assert_allclose(weights[1], 1 / 3, rtol=1e-6)


def test_an_optimizer_that_diverges_stops_at_the_last_finite_logits():
  _, states = _run(famo(optax.sgd(1e30), gamma=1e5), _noise(6))
  assert np.isfinite(states.logits).all()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"gamma": -1.0}, "gamma: must be a finite number in .* got -1.0"),
    ({"min_losses": (0.0, np.inf)}, "min_losses: must be a finite number in .*inf"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    famo(**arguments)


def test_bounds_that_do_not_match_are_refused():
  with pytest.raises(ValueError, match="min_losses: must be one number, 3 numbers, or like"):
    famo(min_losses=(0.0, 0.1)).init(jnp.zeros(3))
