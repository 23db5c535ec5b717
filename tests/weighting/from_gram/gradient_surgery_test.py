"""PCGrad and GradVac against the reference numbers, and against their algorithms on vectors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gram.gradient_surgery import _orders, _project, _turn, gradvac, pcgrad


@functools.cache
def _compiled(factory, *args):
  weighting = factory(*args)
  return jax.jit(
    lambda losses, gram, key: weighting.update(losses, weighting.init(losses), gram=gram, key=key)
  )


def _weights(rows, factory, *args, key=None):
  losses, gram = jnp.ones(len(rows), rows.dtype), jnp.asarray(rows @ rows.T)
  return np.asarray(_compiled(factory, *args)(losses, gram, key)[0])


@pytest.mark.shared
@pytest.mark.parametrize("name", ["J2", "J2b_nonconflict", "J2c_torchjd_doc", "J2d_conflict"])
def test_pcgrad_of_two_equals_the_references(golden, name):
  data = golden("pcgrad")
  rows, expected = np.array(data["inputs"]["gradients"][name]), data["outputs"][name]
  with jax.enable_x64(True):
    weights = _weights(rows, pcgrad)
  np.testing.assert_allclose(weights, expected["TorchJD_weights"], rtol=1e-6)
  np.testing.assert_allclose(weights @ rows, expected["TorchJD_direction"], rtol=1e-6)
  np.testing.assert_allclose(weights, expected["LibMTL_reported_weights"], rtol=2e-5)
  np.testing.assert_allclose(weights @ rows, expected["LibMTL_direction"], rtol=2e-5)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["J3", "J3c"])
def test_pcgrad_of_three_equals_the_references_for_their_orders(golden, name):
  data = golden("pcgrad")
  rows, expected = np.array(data["inputs"]["gradients"][name]), data["outputs"][name]
  with jax.enable_x64(True):
    for seed in ("seed0", "seed1", "seed2"):
      weights = _project(jnp.array(rows @ rows.T), jnp.array(expected[seed]["orders"]))
      np.testing.assert_allclose(weights, expected[seed]["weights"], rtol=1e-6)
    direction = _weights(rows, pcgrad) @ rows
  fixed = expected["ConFIG_PCGradOperator_fixed_order_0..K-1_direction"]
  np.testing.assert_allclose(direction, fixed, rtol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["J2_then_J2d_then_J2", "J2d_x3"])
def test_gradvac_equals_the_references(golden, name):
  expected = golden("gradvac")["outputs"][name]
  weighting, losses = gradvac(0.5), jnp.ones(2)
  with jax.enable_x64(True):
    state = weighting.init(jnp.ones(2, jnp.float64))
    for torchjd, libmtl in zip(
      expected["TorchJD_beta0.5"], expected["LibMTL_beta0.5"], strict=True
    ):
      rows = np.array(torchjd["J"])
      losses = jnp.ones(2, jnp.float64)
      weights, state = weighting.update(losses, state, gram=jnp.array(rows @ rows.T))
      np.testing.assert_allclose(weights, torchjd["weights"], rtol=1e-6)
      np.testing.assert_allclose(state.targets, torchjd["phi"], rtol=1e-6)
      np.testing.assert_allclose(weights @ rows, libmtl["direction"], rtol=2e-5)
      np.testing.assert_allclose(state.targets, libmtl["rho"], rtol=2e-5)


def _surgery(rows, orders, targets, beta):
  """The papers' algorithms on the vectors themselves; with targets 0 and beta 0, PCGrad."""
  targets, total = targets.copy(), np.zeros(rows.shape[1])
  for i, row in enumerate(rows):
    turned = row.copy()
    for j in orders[i]:
      if j == i:
        continue
      lengths = np.linalg.norm(turned), np.linalg.norm(rows[j])
      cosine, target = turned @ rows[j] / np.prod(lengths), targets[i, j]
      if cosine < target:
        sines = np.sqrt(1 - cosine**2), np.sqrt(1 - target**2)
        amount = lengths[0] * (target * sines[0] - cosine * sines[1]) / (lengths[1] * sines[1])
        turned += amount * rows[j]
      targets[i, j] = (1 - beta) * target + beta * cosine
    total += turned
  return total, targets


def _random(number, seed, size=12):
  rng = np.random.default_rng(seed)
  rows = (rng.normal(size=(number, size)) - 0.3) * 10 ** rng.uniform(-1, 1, (number, 1))
  orders = np.array([rng.permutation(number) for _ in range(number)])
  return rows, orders, np.tanh(rng.normal(size=(number, number))) * (1 - np.eye(number))


@pytest.mark.parametrize("number", [1, 3, 11])
def test_equals_the_algorithms_on_vectors(number):
  turn, project = jax.jit(_turn), jax.jit(_project)
  for seed in range(5):
    rows, orders, targets = _random(number, seed)
    with jax.enable_x64(True):
      gram, orders = jnp.array(rows @ rows.T), jnp.array(orders)
      weights, moved = turn(gram, orders, jnp.array(targets), 0.3)
      direction, expected = _surgery(rows, orders, targets, 0.3)
      np.testing.assert_allclose(weights @ rows, direction, rtol=1e-7, atol=1e-9)
      np.testing.assert_allclose(moved, expected, rtol=1e-9)
      plain, _ = _surgery(rows, orders, 0 * targets, 0)
      weights = np.asarray(project(gram, orders))
      np.testing.assert_allclose(weights @ rows, plain, rtol=1e-7, atol=1e-9)


def test_gradients_very_different_in_length_are_projected_as_exactly():
  rows = np.array([[1e-4, 2e-4, 0], [-3e4, 1e4, 2e4], [1.0, -5.0, 2.0]], np.float32)
  orders = np.array([[0, 1, 2]] * 3)
  expected, _ = _surgery(rows.astype(np.float64), orders, np.zeros((3, 3)), 0)
  weights = _weights(rows, pcgrad)
  with jax.enable_x64(True):
    exact = _weights(rows.astype(np.float64), pcgrad)
  np.testing.assert_allclose(exact @ rows, expected, rtol=1e-9)
  np.testing.assert_allclose(weights, exact, rtol=1e-5)


def test_mean_is_the_sum_over_the_number():
  rows, _, _ = _random(4, 0)
  rows = rows.astype(np.float32)
  np.testing.assert_allclose(_weights(rows, pcgrad, "mean") * 4, _weights(rows, pcgrad), rtol=1e-6)


def test_a_key_draws_other_orders_of_every_row():
  orders = np.asarray(_orders(jax.random.key(0), 6))
  np.testing.assert_array_equal(np.sort(orders), [list(range(6))] * 6)
  assert len({tuple(order) for order in orders}) > 3
  assert (np.asarray(_orders(jax.random.key(1), 6)) != orders).any()
  rows = _random(6, 3)[0].astype(np.float32)
  for factory in (pcgrad, gradvac):
    first, second = (_weights(rows, factory, key=jax.random.key(seed)) for seed in range(2))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("factory", [pcgrad, gradvac])
def test_without_conflict_it_is_the_sum(factory):
  rows = np.abs(_random(4, 1)[0]).astype(np.float32)
  np.testing.assert_array_equal(_weights(rows, factory), np.ones(4))


def test_a_turned_gradient_has_the_target_as_its_cosine():
  rows, target = _random(2, 2)[0], 0.7
  with jax.enable_x64(True):
    # Only the first of the two is turned: the second's target is out of reach.
    targets = jnp.array([[0.0, target], [-1.0, 0.0]])
    weights, _ = _turn(jnp.array(rows @ rows.T), jnp.array([[0, 1]] * 2), targets, 0.1)
    turned = np.asarray(weights) @ rows - rows[1]
  cosine = turned @ rows[1] / np.linalg.norm(turned) / np.linalg.norm(rows[1])
  np.testing.assert_allclose(cosine, target, rtol=1e-9)


def test_opposite_zero_and_equal_gradients():
  rows = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], np.float32)
  # Each of the first two loses all of itself: g_1 + g_2 / 2 = 0, g_2 + 2 g_1 = 0.
  np.testing.assert_allclose(_weights(rows, pcgrad), [3.0, 1.5, 1.0], rtol=1e-6)
  state = gradvac(0.5).init(jnp.zeros(3))
  weights, state = gradvac(0.5).update(jnp.ones(3), state, gram=jnp.array(rows @ rows.T))
  np.testing.assert_allclose(weights, [3.0, 1.5, 1.0], rtol=1e-6)
  expected = np.array([[0.0, -0.5, 0.0], [-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
  np.testing.assert_array_equal(state.targets, expected)
  equal = np.ones((3, 2), np.float32)
  np.testing.assert_array_equal(_weights(equal, gradvac), np.ones(3))


def test_targets_of_one_give_bounded_weights():
  gram = jnp.array([[1.0, 0.999], [0.999, 1.0]])
  weights, _ = _turn(gram, jnp.array([[0, 1]] * 2), jnp.ones((2, 2)) - jnp.eye(2), 0.01)
  # |g| sin(θ - θ̂) / sin θ̂ with cos θ = 0.999, cos θ̂ = 0.9999, and the gradient itself.
  angle, target = np.arccos([0.999, 0.9999])
  np.testing.assert_allclose(weights, 1 + np.sin(angle - target) / np.sin(target), rtol=1e-3)


def test_a_step_that_is_not_finite_moves_no_target():
  weighting, losses = gradvac(0.5), jnp.ones(2)
  gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
  _, state = weighting.update(losses, weighting.init(losses), gram=gram)
  for bad_losses, bad_gram in ((losses * jnp.nan, gram), (losses, gram.at[0, 1].set(jnp.inf))):
    weights, same = weighting.update(bad_losses, state, gram=bad_gram)
    np.testing.assert_array_equal(weights, [1, 1])
    np.testing.assert_array_equal(same.targets, state.targets)
    weights, _ = pcgrad("mean").update(bad_losses, pcgrad().init(losses), gram=bad_gram)
    np.testing.assert_array_equal(weights, [0.5, 0.5])


@pytest.mark.parametrize(
  ("factory", "message"),
  [
    (lambda: pcgrad("max"), r"reduction: choose from sum, mean; got 'max'"),
    (lambda: gradvac(1.5), r"beta: must be a finite number in \[0, 1\], got 1.5"),
  ],
)
def test_wrong_arguments_are_refused(factory, message):
  with pytest.raises(ValueError, match=message):
    factory()
