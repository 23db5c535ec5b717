"""ReLoBRaLo against the paper's equations and two libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.dynamic_weight_average import balance
from mlseg.weighting.from_losses.relobralo import relobralo


def _weights(weighting, rows, key=None):
  """Returns the weights after each row, [steps, K]."""

  def step(state, inputs):
    number, row = inputs
    own = None if key is None else jax.random.fold_in(key, number)
    return weighting.update(row, state, key=own)[::-1]

  inputs = (jnp.arange(len(rows)), rows)
  return np.asarray(jax.lax.scan(step, weighting.init(rows[0]), inputs)[1])


def _noise(num_steps, num_losses=3, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.array(rng.gamma(3.0, 1.0, [num_steps, num_losses]), jnp.float32)


@pytest.mark.shared
@pytest.mark.parametrize(
  ("decay", "saudade", "temperature", "random"),
  [
    (0.999, 1.0, 0.1, True),
    (0.9, 1.0, 1.0, True),
    (0.9, 0.0, 1.0, True),
    # These numbers have the expectation 0.999 in the place of a drawn 0 or 1.
    (0.999, 0.999, 1.0, False),
  ],
)
def test_equals_the_formula_of_the_paper(golden, decay, saudade, temperature, random):
  golden = golden("jinns_softadapt_relobralo")
  expected = golden["outputs"][f"paper_formula_alpha{decay}_rho{saudade}_T{temperature}"]
  with jax.enable_x64(True):
    rows = jnp.array(golden["inputs"]["loss_sequence"])
    weights = _weights(relobralo(decay, temperature, saudade, random), rows)
  np.testing.assert_allclose(weights, expected, rtol=1e-6)


# The row of this file for learning rate annealing belongs to a method that compares gradients.
@pytest.mark.shared
@pytest.mark.parametrize(
  ("decay", "temperature", "saudade"),
  [(0.999, 0.1, 1.0), (0.999, 1.0, 1.0), (0.9, 0.1, 0.0), (0.9, 1.0, 0.0)],
)
@pytest.mark.parametrize("random", [True, False])
def test_equals_the_reference(golden, decay, temperature, saudade, random):
  golden = golden("relobralo_lra")
  expected = golden["outputs"][f"ConFIG_ReLo_beta{decay}_tau{temperature}_rou{saudade}"]
  rows = jnp.array(golden["inputs"]["loss_sequence"], jnp.float32)
  weights = _weights(relobralo(decay, temperature, saudade, random), rows)
  np.testing.assert_allclose(weights, expected, rtol=2e-5)


@pytest.mark.shared
@pytest.mark.parametrize("saudade", [1, 0])
def test_jinns_forgets_its_weights_and_misses_a_factor(golden, saudade):
  golden = golden("jinns_softadapt_relobralo")
  expected = np.array(golden["outputs"][f"ReLoBRaLo_p{saudade}"])
  with jax.enable_x64(True):
    rows = jnp.array(golden["inputs"]["loss_sequence"])
    ours = _weights(relobralo(0.9, 1.0, float(saudade)), rows)
    # jinns' softmax sums to 1 where the paper's b(t, t-1) sums to K; and where the paper continues
    # from the weights, jinns continues from the softmax of the step before.
    last = [np.asarray(balance(rows[t], rows[t - 1], 1.0)) / 3 for t in (1, 2, 3)]
    to_start = [np.asarray(balance(rows[t], rows[0], 1.0)) for t in (1, 2, 3)]
  past = last[:2] if saudade else to_start[1:]
  defective = [
    np.ones(3),
    last[0],
    *(0.9 * p + 0.1 * s for p, s in zip(past, last[1:], strict=True)),
  ]
  np.testing.assert_allclose(expected, defective, rtol=1e-6)
  assert np.abs(ours[1:] - expected[1:]).min() > 0.01


def _paper(rows, draws, decay, temperature):
  """Equation 11, one step after another, in float64."""
  rows = np.asarray(rows, float)

  def balanced(step, earlier):
    scores = np.exp(rows[step] / rows[earlier] / temperature)
    return rows.shape[1] * scores / scores.sum()

  weights = [np.ones(rows.shape[1])]
  for step in range(1, len(rows)):
    past = draws[step] * weights[-1] + (1 - draws[step]) * balanced(step, 0)
    weights.append(decay * past + (1 - decay) * balanced(step, step - 1))
  return np.array(weights)


def test_draws_decide_when_to_look_back():
  rows, key = _noise(30), jax.random.key(3)
  keys = [jax.random.fold_in(key, step) for step in range(30)]
  draws = np.array([float(jax.random.bernoulli(own, 0.6)) for own in keys])
  assert 0.3 < draws.mean() < 0.9
  weights = _weights(relobralo(0.7, 0.8, expected_saudade=0.6), rows, key)
  np.testing.assert_allclose(weights, _paper(rows, draws, 0.7, 0.8), rtol=1e-4)
  np.testing.assert_allclose(weights.sum(axis=1), 3, rtol=1e-5)


def test_without_a_key_the_seed_decides():
  rows = _noise(30)
  first, again, other = (_weights(relobralo(0.5, 1.0, 0.5, seed=seed), rows) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 0.01


def test_a_step_that_is_not_finite_changes_nothing():
  rows, weighting = _noise(8), relobralo(0.5, 1.0, 0.5)
  bad = jnp.array([[1.0, jnp.nan, 2.0]])
  weights = _weights(weighting, jnp.concatenate([bad, rows[:4], bad, rows[4:]]))
  expected = _weights(weighting, rows)
  np.testing.assert_array_equal(weights[0], 1)
  np.testing.assert_array_equal(weights[1:5], expected[:4])
  np.testing.assert_array_equal(weights[5], expected[3])
  np.testing.assert_array_equal(weights[6:], expected[4:])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"decay": 1.5}, r"decay: must be a finite number in \[0, 1\], got 1.5"),
    ({"temperature": 0.0}, "temperature: must be a finite number in .* got 0.0"),
    ({"expected_saudade": -0.1}, r"expected_saudade: must be .* \[0, 1\], got -0.1"),
    ({"seed": 0.5}, "seed: must be an integer >= 0, got 0.5"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    relobralo(**arguments)
