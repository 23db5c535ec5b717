"""MoCo and DB-MTL against LibMTL's numbers and the papers' formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gradients.db_mtl import db_mtl
from mlseg.weighting.from_gradients.moco import moco


def _run(transformation, steps, losses, split=2):
  """Returns weights [steps, K], directions [steps, n] and averages [steps, K, n]."""
  join = lambda tree: jnp.concatenate([tree["a"], tree["b"]], axis=-1)  # noqa: E731

  def body(state, step):
    rows, values = step
    gradients = {"a": rows[:, :split], "b": rows[:, split:]}
    updates, state = transformation.update(gradients, state, losses=values)
    return state, (state.weights, join(updates), join(state.averages))

  rows = steps[0][0]
  state = transformation.init({"a": rows[:split], "b": rows[split:]})
  return jax.tree.map(np.asarray, jax.lax.scan(body, state, (steps, losses))[1])


def _run64(transformation, steps, losses):
  with jax.enable_x64(True):
    return _run(transformation, *(jnp.array(x, jnp.float64) for x in (steps, losses)))


def _random_steps(num_steps=6, num_losses=3, size=7, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num_steps, num_losses, size)), rng.gamma(
    2.0, 1.0, (num_steps, num_losses)
  )


def _golden_steps(data):
  inputs = data["inputs"]
  return (jnp.array(inputs[f"{name}_per_step"], jnp.float32) for name in ("gradients", "losses"))


@pytest.mark.shared
def test_moco_reference_equals_libmtl(golden):
  data = golden("moco")
  names = ("beta", "beta_sigma", "gamma", "gamma_sigma", "rho")
  options = {name: data["inputs"][name] for name in names}
  weights, directions, _ = _run(moco(3, variant="reference", **options), *_golden_steps(data))
  assert len(data["outputs"]) == len(weights)
  np.testing.assert_allclose(weights, [row["lambd"] for row in data["outputs"]], rtol=2e-5)
  expected = [row["direction"] for row in data["outputs"]]
  np.testing.assert_allclose(directions, expected, rtol=2e-5, atol=1e-7)


@pytest.mark.shared
def test_moco_defaults_are_libmtls(golden):
  data = golden("moco")
  by_default, _, _ = _run(moco(3, variant="reference"), *_golden_steps(data))
  np.testing.assert_allclose(by_default[-1], data["outputs"][-1]["lambd"], rtol=2e-5)


@pytest.mark.shared
def test_db_mtl_equals_libmtl(golden):
  data = golden("db_mtl")
  options = {name: data["inputs"][name] for name in ("beta", "beta_sigma")}
  _, directions, averages = _run(db_mtl(3, **options), *_golden_steps(data))
  assert len(data["outputs"]) == len(directions)
  np.testing.assert_allclose(averages, [row["buffer"] for row in data["outputs"]], rtol=2e-5)
  np.testing.assert_allclose(directions, [row["direction"] for row in data["outputs"]], rtol=2e-5)


def _simplex(point):
  """The nearest point with w >= 0 and sum 1, by bisection for the shift."""
  low, high = point.min() - 1, point.max()
  for _ in range(200):
    middle = (low + high) / 2
    low, high = (middle, high) if np.clip(point - middle, 0, None).sum() > 1 else (low, middle)
  return np.clip(point - low, 0, None)


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_moco_equals_the_formula(variant, rho):
  steps, losses = _random_steps()
  averages, weights, expected = np.zeros(steps.shape[1:]), np.full(3, 1 / 3), []
  for t, (rows, values) in enumerate(zip(steps, losses, strict=True), start=1):
    if variant == "reference":
      rows = rows / (np.linalg.norm(rows, axis=1) + 1e-8)[:, None] * values[:, None]
    averages = averages - 0.8 / t**0.25 * (averages - rows)
    moved = weights - 0.2 / t**0.75 * (averages @ averages.T + rho * np.eye(3)) @ weights
    weights = _simplex(moved) if variant == "paper" else np.exp(moved) / np.exp(moved).sum()
    expected.append((weights, weights @ averages, averages))
  transformation = moco(3, 0.8, 0.25, 0.2, 0.75, rho, variant)
  for actual, column in zip(
    _run64(transformation, steps, losses), zip(*expected, strict=True), strict=True
  ):
    np.testing.assert_allclose(actual, column, rtol=1e-9, atol=1e-12)


def test_moco_finds_the_common_descent_that_one_noisy_gradient_hides():
  # The least point of the hull of (1, 0) and (0, 2) has the weights (0.8, 0.2).
  rng = np.random.default_rng(0)
  steps = np.array([[1.0, 0.0], [0.0, 2.0]]) + rng.normal(size=(4000, 2, 2))
  weights, directions, _ = _run64(moco(2, gamma=0.5), steps, np.ones((4000, 2)))
  np.testing.assert_allclose(weights[-1], [0.8, 0.2], atol=0.1)
  np.testing.assert_allclose(directions[-1], [0.8, 0.4], atol=0.15)


def test_moco_needs_no_losses_unless_they_scale_the_gradients():
  gradients = {"a": jnp.array([[1.0, 2.0], [3.0, -1.0]])}
  state = moco(2).init({"a": jnp.zeros(2)})
  assert jnp.isfinite(moco(2).update(gradients, state)[0]["a"]).all()
  for transformation in (moco(2, variant="reference"), db_mtl(2)):
    with pytest.raises(ValueError, match="losses: must be given, K = 2 of them, got None"):
      transformation.update(gradients, state)
    with pytest.raises(ValueError, match="losses: must be given, K = 2 of them"):
      transformation.update(gradients, state, losses=jnp.ones(3))


@pytest.mark.parametrize("beta_sigma", [0.0, 0.5])
def test_db_mtl_equals_the_formula(beta_sigma):
  steps, losses = _random_steps(seed=2)
  averages, expected = np.zeros(steps.shape[1:]), []
  for t, (rows, values) in enumerate(zip(steps, losses, strict=True), start=1):
    beta = 0.6 / t**beta_sigma
    averages = beta * averages + (1 - beta) * rows / (values + 1e-8)[:, None]
    norms = np.linalg.norm(averages, axis=1)
    weights = norms.max() / (norms + 1e-8)
    expected.append((weights, weights @ averages, averages))
  for actual, column in zip(
    _run64(db_mtl(3, 0.6, beta_sigma), steps, losses), zip(*expected, strict=True), strict=True
  ):
    np.testing.assert_allclose(actual, column, rtol=1e-10, atol=1e-12)


def test_db_mtl_does_not_care_for_the_scale_of_a_loss():
  steps, losses = _random_steps()
  scale = np.array([1.0, 100.0, 1e-2])
  _, plain, _ = _run64(db_mtl(3), steps, losses)
  _, scaled, _ = _run64(db_mtl(3), steps * scale[:, None], losses * scale)
  np.testing.assert_allclose(scaled, plain, rtol=1e-4)


def test_db_mtl_leaves_out_a_step_with_a_negative_loss():
  steps, losses = _random_steps()
  losses[3, 1] = -0.5
  _, directions, averages = _run64(db_mtl(3), steps, losses)
  np.testing.assert_array_equal(averages[3], averages[2])
  np.testing.assert_allclose(directions[3], steps[3].mean(0), rtol=1e-10)
  kept = [0, 1, 2, 4, 5]
  _, without, _ = _run64(db_mtl(3), steps[kept], losses[kept])
  np.testing.assert_allclose(directions[kept], without, rtol=1e-12)


@pytest.mark.parametrize(
  ("factory", "arguments", "message"),
  [
    (moco, {"variant": "code"}, "variant: choose from paper, reference; got 'code'"),
    (moco, {"beta": 1.5}, r"beta: must be a finite number in \[0, 1\], got 1.5"),
    (moco, {"beta_sigma": -1.0}, r"beta_sigma: must be a finite number in \[0, inf\]"),
    (moco, {"gamma": np.nan}, "gamma: must be a finite number"),
    (moco, {"gamma_sigma": -1.0}, "gamma_sigma: must be a finite number"),
    (moco, {"rho": -0.1}, "rho: must be a finite number"),
    (moco, {"num_losses": 0}, "num_losses: must be an integer >= 1, got 0"),
    (db_mtl, {"beta": -0.1}, r"beta: must be a finite number in \[0, 1\], got -0.1"),
    (db_mtl, {"beta_sigma": -0.1}, "beta_sigma: must be a finite number"),
    (db_mtl, {"num_losses": 0}, "num_losses: must be an integer >= 1, got 0"),
  ],
)
def test_wrong_arguments_are_refused(factory, arguments, message):
  with pytest.raises(ValueError, match=message):
    factory(**{"num_losses": 3, **arguments})


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_a_loss_that_is_absent_does_not_get_the_weight_of_the_others(variant):
  rows, losses = _random_steps(60, 2)
  rows[10:, 1] = 0
  weights, directions, _ = _run(moco(2, variant=variant), jnp.array(rows), jnp.array(losses))
  np.testing.assert_array_equal(weights[9:], weights[9][None].repeat(51, axis=0))
  assert np.abs(directions[-1]).max() > 1e-3
