"""Priority-constrained descent against its program, solved in numpy, and its special cases."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w


def _direction(rows, tau, scales):
  """Returns the direction of the formula, as long as the first gradient; None: none is possible.

  Of all sets of constraints that may hold with equality, that with the right signs is the solution.
  """
  h = rows * scales[:, None]
  wanted = tau * (h**2).sum(axis=1)
  others = range(1, len(h))
  for active in itertools.chain.from_iterable(
    itertools.combinations(others, count) for count in range(len(h))
  ):
    own = h[list(active)]
    missing = wanted[list(active)] - own @ h[0]
    multipliers = np.linalg.lstsq(own @ own.T, missing, rcond=None)[0] if active else missing
    d = h[0] + multipliers @ own
    if (multipliers >= 0).all() and all(h[j] @ d >= wanted[j] - 1e-9 for j in others):
      return d * np.linalg.norm(rows[0]) / np.linalg.norm(d)
  return None


@pytest.mark.parametrize("tau", [0.02, 0.3])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_the_direction_solves_the_program(tau, number):
  rng = np.random.default_rng(number)
  solved = 0
  for _ in range(25):
    rows = rng.normal(size=(number, 8)) * 10.0 ** rng.uniform(-2, 2, size=(number, 1))
    weighting = w.priority_constrained(tau=tau, decay=0.9, epsilon=0.0)
    gram = jnp.array(rows @ rows.T, jnp.float32)
    weights, _ = weighting.update(jnp.ones(number), weighting.init(jnp.ones(number)), gram=gram)
    expected = _direction(rows, tau, 1 / np.linalg.norm(rows, axis=1))
    if expected is not None:
      found = np.asarray(weights, np.float64) @ rows
      np.testing.assert_allclose(found, expected, atol=2e-3 * np.linalg.norm(rows[0]))
      solved += 1
  assert solved > 20


def test_lengths_are_averaged_over_the_steps():
  weighting = w.priority_constrained(tau=0.5, decay=0.9, epsilon=0.1)
  state, mean = weighting.init(jnp.ones(2)), np.zeros(2)
  rng = np.random.default_rng(3)
  for step in range(1, 5):
    rows = rng.normal(size=(2, 4)) * [[1.0], [5.0]]
    mean = 0.9 * mean + 0.1 * (rows**2).sum(1)
    scales = 1 / np.sqrt(mean / (1 - 0.9**step) + 0.1)
    gram = jnp.array(rows @ rows.T, jnp.float32)
    weights, state = weighting.update(jnp.ones(2), state, gram=gram)
    expected = _direction(rows, 0.5, scales)
    np.testing.assert_allclose(np.asarray(weights) @ rows, expected, rtol=1e-3, atol=1e-3)


def _weights(gram, losses=None, **options):
  gram = jnp.array(gram, jnp.float32)
  losses = jnp.ones(len(gram)) if losses is None else losses
  weighting = w.priority_constrained(**options)
  return weighting.update(losses, weighting.init(losses), gram=gram)[0]


def test_without_a_conflict_the_primary_gradient_is_followed():
  np.testing.assert_allclose(_weights([[4.0, 1.0], [1.0, 1.0]]), [1, 0], atol=1e-6)


def test_constraints_that_contradict_each_other_are_dropped():
  gram = [[1.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, -1.0, 1.0]]
  np.testing.assert_allclose(_weights(gram), [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("gram", [[[0.0, 0.0], [0.0, 1.0]], [[1.0, -1.0], [-1.0, 1.0]]])
def test_no_step_where_there_is_no_direction(gram):
  assert _weights(gram, tau=0.0).tolist() == [0.0, 0.0]


def test_the_primary_loss_may_have_a_name():
  losses = {"a": jnp.float32(1.0), "b": jnp.float32(1.0)}
  gram = [[1.0, -0.5], [-0.5, 1.0]]
  by_name = _weights(gram, losses, primary="b", tau=0.3)
  by_index = _weights(gram, tau=0.3)
  np.testing.assert_allclose([by_name["b"], by_name["a"]], by_index, rtol=1e-5)
  with pytest.raises(ValueError, match="primary: losses must be a dict with 'c', got"):
    w.priority_constrained("c").init(losses)
  with pytest.raises(ValueError, match="primary: must be below K = 2, got 2"):
    w.priority_constrained(2).init(losses)
