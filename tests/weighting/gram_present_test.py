"""Losses that are absent in a step, in the methods that decide from the Gram matrix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w
from mlseg.weighting.from_gram import quadratic
from tests.weighting import table

K = 5
KEPT = np.array([0, 2, 3])
MASK = np.isin(np.arange(K), KEPT)
# Each is a function of one number per loss.
FACTORIES = {
  "mgda_l2": lambda numbers: w.mgda("l2"),
  "mgda_loss": lambda numbers: w.mgda("loss"),
  "mgda_loss_length": lambda numbers: w.mgda("loss+"),
  "cagrad_wide": lambda numbers: w.cagrad(4.0, rescale=0),
  "pcgrad_mean": lambda numbers: w.pcgrad("mean"),
  "nash_mtl_unlimited": lambda numbers: w.nash_mtl(0.0),
  "aligned_median": lambda numbers: w.aligned_mtl("median"),
  "aligned_rmse": lambda numbers: w.aligned_mtl("rmse", numbers),
  "upgrad_regularized": lambda numbers: w.upgrad(0.1),
  "dual_projection_regularized": lambda numbers: w.dual_projection(0.1),
  "sdmgrad_preference": lambda numbers: w.sdmgrad(preference=numbers),
  "gradnorm_softmax": lambda numbers: w.gradnorm(parametrization="softmax"),
}
NUMBERS = (1.0, 5.0, 2.0, 0.5, 9.0)


def _inputs(steps, number=K, seed=0):
  """Returns losses [steps, K] and Gram matrices [steps, K, K] of gradients in conflict."""
  rng = np.random.default_rng(seed)
  rows = rng.normal(size=(steps, number, 2 * number)) * rng.gamma(2.0, 1.0, (steps, number, 1))
  rows[:, 2] -= 1.5 * rows[:, 0]
  losses = jnp.array(rng.gamma(2.0, 1.0, (steps, number)), jnp.float32)
  return losses, jnp.array(rows @ rows.transpose(0, 2, 1), jnp.float32)


def _run(method, losses, grams, mask=None):
  def run(losses, grams):
    def body(state, step):
      weights, state = method.update(step[0], state, gram=step[1], present=mask)
      return state, weights

    return jax.lax.scan(body, method.init(losses[0]), (losses, grams))

  return jax.jit(run)(losses, grams)


def _hidden(losses, grams, mask):
  """Returns the arguments without the numbers of absent losses."""
  outer = jnp.broadcast_to(jnp.array(mask[:, None] & mask[None]), grams.shape)
  mask = jnp.broadcast_to(jnp.array(mask), losses.shape)
  return jnp.where(mask, losses, jnp.inf), jnp.where(outer, grams, jnp.nan)


@pytest.mark.parametrize("name", FACTORIES)
def test_variants_weight_present_losses_as_if_they_were_alone(name):
  losses, grams = _inputs(4)
  make = FACTORIES[name]
  _, weights = _run(make(NUMBERS), *_hidden(losses, grams, MASK), MASK)
  numbers = tuple(NUMBERS[k] for k in KEPT)
  _, expected = _run(make(numbers), losses[:, KEPT], grams[:, KEPT][:, :, KEPT])
  assert (weights[:, ~MASK] == 0).all()
  np.testing.assert_allclose(weights[:, KEPT], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("number", [12, 40])
@pytest.mark.parametrize("name", ["mgda", "cagrad", "upgrad", "dual_projection", "nash_mtl"])
def test_so_do_many_losses(name, number):
  losses, grams = _inputs(2, number)
  mask = np.arange(number) % 4 != 1
  _, weights = _run(getattr(w, name)(), *_hidden(losses, grams, mask), mask)
  _, expected = _run(getattr(w, name)(), losses[:, mask], grams[:, mask][:, :, mask])
  assert (weights[:, ~mask] == 0).all()
  np.testing.assert_allclose(weights[:, mask], expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", ["mgda", "cagrad", "impartial_gradients", "upgrad", "modo"])
def test_where_a_method_cannot_decide_the_present_losses_share_alike(name):
  method = getattr(w, name)()
  losses = jnp.ones(3)
  for gram in (jnp.zeros((3, 3)), jnp.full((3, 3), jnp.nan)):
    present = jnp.array([True, False, True])
    weights, _ = method.update(losses, method.init(losses), gram=gram, present=present)
    scale = 1.25 if name == "cagrad" and not jnp.isnan(gram).any() else 1.0
    np.testing.assert_allclose(weights * scale, [0.5, 0, 0.5], rtol=1e-6)


def test_a_gradient_of_zero_is_no_absent_loss():
  """It has a weight in some methods, as if the mask were not given."""
  gram = jnp.diag(jnp.array([0.0, 7.0, 4.0, 1.0]))
  losses, present = jnp.ones(4), jnp.array([True, False, True, True])
  expected = {"mgda": [0, 0, 0.2, 0.8], "pcgrad": [1, 0, 1, 1], "upgrad": [1 / 3, 0, 1 / 3, 1 / 3]}
  for name, numbers in expected.items():
    method = getattr(w, name)()
    weights, _ = method.update(losses, method.init(losses), gram=gram, present=present)
    np.testing.assert_allclose(weights, numbers, rtol=1e-5, atol=1e-7)


def test_no_step_of_the_solver_moves_an_absent_unknown():
  matrix = quadratic.definite(jnp.array([[1.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]))
  solve = functools.partial(quadratic.minimize_quadratic, present=jnp.array([True, True, False]))
  linear, normal = jnp.array([-1.0, 0.5, -9.0]), jnp.array([1.0, 0.5, 0.0])
  for found, expected in (
    (solve(matrix, linear), quadratic.minimize_quadratic(matrix[:2, :2], linear[:2])),
    (
      solve(matrix, linear, normal),
      quadratic.minimize_quadratic(matrix[:2, :2], linear[:2], normal[:2]),
    ),
  ):
    np.testing.assert_allclose(found[:2], expected, rtol=1e-5, atol=1e-7)
    assert found[2] == 0


@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
def test_an_absent_loss_keeps_its_share(name):
  method = getattr(w, name)()
  losses, gram = jnp.ones(3), jnp.diag(jnp.array([4.0, 1.0, 2.0]))
  _, state = method.update(losses, method.init(losses), gram=gram)
  present = jnp.array([True, False, True])
  weights, moved = method.update(losses, state, gram=gram, present=present)
  np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
  assert moved.weights[1] == state.weights[1]
  np.testing.assert_allclose(moved.weights.sum(), 1, rtol=1e-6)
  assert moved.weights[0] != state.weights[0]


def test_losses_without_any_share_still_move():
  method = w.modo(gamma=0.1, rho=0.0)
  losses, gram = jnp.ones(3), jnp.diag(jnp.array([4.0, 1.0, 2.0]))
  state = method.init(losses)._replace(weights=jnp.array([0.0, 1.0, 0.0]))
  present, shares = jnp.array([True, False, True]), []
  for _ in range(3):
    weights, state = method.update(losses, state, gram=gram, present=present)
    shares.append(float(weights[2]))
  assert 0.5 < shares[0] < shares[1] < shares[2] < 1
  np.testing.assert_allclose(state.weights, [0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("parametrization", ["direct", "softmax"])
def test_an_absent_loss_keeps_its_first_loss_and_its_weight_in_gradnorm(parametrization):
  method = w.gradnorm(parametrization=parametrization)
  losses, gram = jnp.array([2.0, 5.0, 3.0]), jnp.diag(jnp.array([4.0, 1.0, 9.0]))
  present, state = jnp.array([True, False, True]), method.init(losses)
  first = state.learned.parameters
  for _ in range(3):
    weights, state = method.update(losses, state, gram=gram, present=present)
  assert state.initial_losses.tolist() == [2, 0, 3]
  assert state.learned.parameters[1] == first[1]
  np.testing.assert_allclose(state.learned.parameters.mean(), first.mean(), atol=1e-6)
  np.testing.assert_allclose(weights.sum(), 2, rtol=1e-6)
  assert weights[0] > weights[2]
  for mask in (None, jnp.ones(3, bool)):
    weights, later = method.update(losses * 0.5, state, gram=gram, present=mask)
    assert later.initial_losses.tolist() == [2, 2.5, 3]
    np.testing.assert_allclose(weights.sum(), 3, rtol=1e-6)


def test_a_target_of_gradvac_stays_where_a_loss_of_its_pair_is_absent():
  method = w.gradvac(0.5)
  losses = jnp.ones(3)
  gram = jnp.array([[4.0, -1.0, 1.0], [-1.0, 1.0, 0.5], [1.0, 0.5, 2.0]])
  _, state = method.update(losses, method.init(losses), gram=gram)
  present = jnp.array([True, False, True])
  _, moved = method.update(losses, state, gram=gram * 3, present=present)
  pairs = present[:, None] & present[None] & ~jnp.eye(3, dtype=bool)
  assert (moved.targets[pairs] != state.targets[pairs]).all()
  assert (moved.targets[~pairs] == state.targets[~pairs]).all()


def test_an_optimizer_that_decays_weights_leaves_that_of_an_absent_loss():
  method = w.gradnorm(optimizer=optax.adamw(0.1, weight_decay=0.5))
  losses, gram = jnp.ones(3), jnp.diag(jnp.array([4.0, 1.0, 9.0]))
  state = method.init(losses)
  _, moved = method.update(losses, state, gram=gram, present=jnp.array([True, False, True]))
  one = jax.tree.map(lambda leaf: leaf[1] if leaf.ndim else 0, state)
  assert jax.tree.map(lambda leaf: leaf[1] if leaf.ndim else 0, moved) == one


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mask_mixes_no_dtypes_and_no_ranks(dtype):
  variants = {name: make((1.0, 5.0, 2.0)) for name, make in FACTORIES.items()}
  methods = {
    name: case.weighting for name, case in table.BASES.items() if case.weighting.needs_gram
  }
  for method in (methods | variants).values():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
      losses, gram = jnp.ones(3, dtype), jnp.ones((3, 3), dtype)
      state = method.init(losses)
      weights, after = jax.eval_shape(
        lambda losses, gram, mask, state, method=method: method.update(
          losses, state, gram=gram, present=mask
        ),
        losses, gram, jnp.ones(3, bool), state,
      )  # fmt: skip
      assert weights.dtype == dtype
      shapes = jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), (state, after))
      assert shapes[0] == shapes[1]
