"""Uncertainty weighting and its revised form against five libraries and against their totals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.learned.uncertainty import revised_uncertainty, uncertainty

SGD = optax.sgd(0.1)


def _run(weighting, rows):
  """Returns weights and parameters before each step, [steps, K], and the parameters at last."""

  def step(state, row):
    weights, next_state = weighting.update(row, state)
    return next_state, (weights, state.parameters)

  last, (weights, parameters) = jax.jit(lambda: jax.lax.scan(step, weighting.init(rows[0]), rows))()
  return np.asarray(weights), np.asarray(parameters), np.asarray(last.parameters)


@pytest.mark.shared
@pytest.mark.parametrize(
  ("key", "kind", "initial", "dtype", "rtol"),
  [
    ("LibMTL_UW_init-0.5_sgd0.1", "regression", -0.5, "float32", 2e-5),
    ("nash-mtl_Uncertainty_init0_sgd0.1", "regression", 0.0, "float32", 2e-5),
    ("TorchJD_UW_init0_sgd0.1", "regression", 0.0, "float64", 1e-6),
    ("cov-weighting_Uncertainty_init0_sgd0.1", "doubled", 0.0, "float32", 2e-5),
  ],
)
def test_equals_the_references_with_gradient_descent(golden, key, kind, initial, dtype, rtol):
  *steps, last = golden("uw")["outputs"][key]
  with jax.enable_x64(True):
    rows = jnp.array(golden("uw")["inputs"]["loss_sequence"], dtype)
    weights, parameters, final = _run(uncertainty(kind, initial, SGD), rows)
  np.testing.assert_allclose(weights, [step["weights"] for step in steps], rtol)
  # Differences of the references' float32 losses and products leave absolute errors.
  atol = 0 if dtype == "float64" else 1e-7
  expected = [step["param_before"] for step in steps]
  np.testing.assert_allclose(parameters, expected, rtol, atol)
  np.testing.assert_allclose(final, last["param_final"], rtol, atol)
  gradients = (parameters - np.concatenate([parameters[1:], final[None]])) / 0.1
  np.testing.assert_allclose(gradients, [step["grad"] for step in steps], 1e-4, 10 * atol + 1e-9)
  factor = 1.0 if kind == "doubled" else 0.5
  totals = (weights * np.asarray(rows)).sum(axis=1) + factor * parameters.sum(axis=1)
  np.testing.assert_allclose(totals, [step["total"] for step in steps], rtol)


@pytest.mark.shared
def test_equals_the_first_steps_of_libmtl_and_auxilearn(golden):
  rows = jnp.array(golden("uw")["inputs"]["loss_sequence"], jnp.float32)[:1]
  weights, parameters, final = _run(uncertainty(initial=-0.5, optimizer=SGD), rows)
  gradient, outputs = (parameters[0] - final) / 0.1, golden("uw")["outputs"]
  libmtl = outputs["LibMTL_UW_class_first_step"]
  np.testing.assert_allclose(weights[0], libmtl["weights"], 2e-5)
  np.testing.assert_allclose(gradient, libmtl["param_grad"], 2e-5)
  auxilearn = outputs["AuxiLearn_Uncertainty_first_step_init-0.5"]
  np.testing.assert_allclose(gradient, auxilearn["grad"], 2e-5)
  total = (weights[0] * np.asarray(rows[0])).sum() + parameters[0].sum() / 2
  np.testing.assert_allclose(total, auxilearn["total"], 2e-5)


@pytest.mark.shared
def test_equals_the_reference_with_the_default_optimiser(golden):
  with jax.enable_x64(True):
    rows = jnp.array(golden("uw")["inputs"]["loss_sequence"])
    _, parameters, final = _run(uncertainty(), rows)
  trajectory = np.concatenate([parameters[1:], final[None]])
  expected = golden("uw")["outputs"]["TorchJD_UW_init0_adam0.025_logvar_trajectory"]
  np.testing.assert_allclose(trajectory, expected, rtol=1e-6)


@pytest.mark.shared
def test_revised_form_equals_the_formula_of_the_paper(golden):
  data = golden("uw_revised_liebel")
  for expected in data["outputs"]:
    with jax.enable_x64(True):
      losses = jnp.array(data["inputs"]["losses"])
      weighting = revised_uncertainty(expected["c"], optax.sgd(0.01))
      weights, parameters, final = _run(weighting, losses[None])
    np.testing.assert_allclose(weights[0], expected["weights"], rtol=1e-6)
    # The optimiser moves log c², whose derivative is that for c times c / 2.
    moved = 2 * np.log(parameters[0] / final) / 0.01
    np.testing.assert_allclose(moved / (parameters[0] / 2), expected["grad_c"], rtol=1e-6)
    total = (weights[0] * np.asarray(losses) + np.log(1 + parameters[0] ** 2)).sum()
    np.testing.assert_allclose(total, expected["total"], rtol=1e-6)


def _totals(kinds, losses, s):
  """The totals of the paper, in σ rather than in s."""
  sigma = np.exp(s / 2)
  parts = {
    "regression": losses / (2 * sigma**2) + np.log(sigma),
    "classification": losses / sigma**2 + np.log(sigma),
    "doubled": losses / sigma**2 + np.log(sigma**2),
  }
  return np.array([parts[kind][k] for k, kind in enumerate(kinds)])


def _difference(function, at, step=1e-5):
  return (function(at + step) - function(at - step)) / (2 * step)


@pytest.mark.parametrize("initial", [-1.5, 0.3])
def test_weights_and_steps_are_the_derivatives_of_the_total(initial):
  kinds, losses = ("regression", "classification", "doubled"), np.array([0.3, 1.7, -0.4])
  s = np.full(3, initial)
  with jax.enable_x64(True):
    weights, parameters, final = _run(uncertainty(kinds, initial, SGD), jnp.array(losses[None]))
  expected = _difference(lambda losses: _totals(kinds, losses, s), losses)
  np.testing.assert_allclose(weights[0], expected, rtol=1e-8)
  expected = _difference(lambda s: _totals(kinds, losses, s), s)
  np.testing.assert_allclose((parameters[0] - final) / 0.1, expected, rtol=1e-8)


@pytest.mark.parametrize(
  ("weighting", "optimum"),
  [
    (uncertainty(optimizer=SGD), lambda loss: np.log(loss)),
    (uncertainty("classification", optimizer=SGD), lambda loss: np.log(2 * loss)),
    (uncertainty("doubled", optimizer=SGD), lambda loss: np.log(loss)),
    (
      revised_uncertainty(optimizer=SGD),
      lambda loss: np.sqrt((loss + np.sqrt(loss**2 + 8 * loss)) / 4),
    ),
  ],
  ids=["regression", "classification", "doubled", "revised"],
)
def test_constant_losses_lead_to_the_optimum_in_closed_form(weighting, optimum):
  losses = np.array([0.2, 1.0, 3.0])
  _, _, final = _run(weighting, jnp.broadcast_to(jnp.array(losses, jnp.float32), (600, 3)))
  np.testing.assert_allclose(final, optimum(losses), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  "kind",
  [
    ("classification", "regression"),
    ["classification", "regression"],
    {"a": "classification", "b": "regression"},
  ],
)
def test_kinds_are_per_loss(kind):
  losses = {"b": jnp.float32(1.0), "a": jnp.float32(1.0)}
  weighting = uncertainty(kind)
  weights, _ = weighting.update(losses, weighting.init(losses))
  assert {name: float(weight) for name, weight in weights.items()} == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize("optimizer", [SGD, optax.adam(0.5), optax.sgd(1.0, momentum=0.9)])
@pytest.mark.parametrize("factory", [uncertainty, revised_uncertainty])
def test_parameters_stay_in_their_range(factory, optimizer):
  weighting = factory(optimizer=optimizer)
  rows = jnp.broadcast_to(jnp.array([0.0, 3e38, -3e38]), (300, 3))
  weights, parameters, _ = _run(weighting, rows)
  assert np.isfinite(weights).all()
  low, high = (-20, 20) if factory is uncertainty else (np.exp(-10), np.exp(10))
  assert parameters.min() >= low - 1e-6
  assert parameters.max() <= high * (1 + 1e-6)
  # A loss below 0 has no optimum.
  np.testing.assert_allclose(parameters[-1, 2], low, rtol=1e-5)


def test_one_huge_loss_moves_a_parameter_by_a_clipped_gradient():
  _, _, final = _run(uncertainty(optimizer=SGD), jnp.array([[1e6, 1.0, -1e30]]))
  np.testing.assert_allclose(final, [10, 0, -10], atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing():
  rows = jnp.array(np.random.default_rng(0).gamma(2.0, 1.0, [6, 3]), jnp.float32)
  gap = jnp.concatenate([rows[:3], jnp.array([[1.0, jnp.inf, jnp.nan]]), rows[3:]])
  weighting = uncertainty()
  expected, _, final = _run(weighting, rows)
  weights, _, final_with_gap = _run(weighting, gap)
  np.testing.assert_array_equal(np.delete(weights, 3, axis=0), expected)
  np.testing.assert_array_equal(weights[3], weights[4])
  np.testing.assert_array_equal(final_with_gap, final)


@pytest.mark.parametrize("made", [jnp.nan, jnp.inf])
def test_an_optimiser_that_fails_changes_nothing(made):
  failing = optax.stateless(lambda updates, params: jnp.full_like(updates, made))
  _, parameters, final = _run(uncertainty(initial=0.5, optimizer=failing), jnp.ones([2, 3]))
  np.testing.assert_array_equal([*parameters, final], 0.5)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (
      lambda: uncertainty("half"),
      "kind: choose from regression, classification, doubled; got 'half'",
    ),
    (lambda: uncertainty({"a": "regression", "b": 0.5}), "kind: choose from .* got 0.5"),
    (lambda: uncertainty(("regression", "doubled")).init(jnp.zeros(3)), "kind: must be one .* 3"),
    (lambda: uncertainty({"x": "regression"}).init({"a": 1.0}), "kind: must be .* like the losses"),
    (lambda: uncertainty(initial=21), r"initial: must be a finite number in \[-20.0, 20.0\]"),
    (lambda: revised_uncertainty(0.0), r"initial: must be .* \[0.0001, 10000.0\], got 0.0"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
