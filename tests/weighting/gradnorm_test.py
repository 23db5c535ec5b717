"""GradNorm against the paper's algorithm and against what other implementations do differently."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w


@pytest.fixture(scope="module")
def golden(shared):
  return json.loads((shared / "golden" / "gradnorm.json").read_text())


def _run(golden, method):
  """Returns weights and states of all steps, in float64."""
  inputs = golden["inputs"]
  with jax.enable_x64(True):
    state, update, steps = method.init(jnp.ones(3)), jax.jit(method.update), []
    for rows, losses in zip(
      np.array(inputs["gradients_per_step"]), np.array(inputs["losses_per_step"]), strict=True
    ):
      weights, state = update(jnp.asarray(losses), state, gram=jnp.asarray(rows @ rows.T))
      steps.append((np.asarray(weights), np.asarray(state.learned.parameters)))
  return steps


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [1.5, 0.12])
def test_equals_the_algorithm_of_the_paper(golden, alpha):
  expected = golden["outputs"][f"paper_algorithm1_numpy_alpha{alpha}_sgd0.1"]
  steps = _run(golden, w.gradnorm(alpha, optax.sgd(0.1)))
  for (used, after), row in zip(steps, expected, strict=True):
    np.testing.assert_allclose(used, row["weights_used_for_model"], rtol=1e-6)
    np.testing.assert_allclose(after, row["weights_after"], rtol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [1.5, 0.12])
@pytest.mark.parametrize("optimizer", ["sgd0.1", "adam0.025"])
def test_auxilearn_is_the_same_but_uses_weights_that_are_not_renormalised(golden, alpha, optimizer):
  expected = golden["outputs"][f"AuxiLearn_alpha{alpha}_{optimizer}"]
  inner = {"sgd0.1": optax.sgd(0.1), "adam0.025": optax.adam(0.025)}[optimizer]
  for (used, after), row in zip(_run(golden, w.gradnorm(alpha, inner)), expected, strict=True):
    np.testing.assert_allclose(used, row["weights_after_renorm_before_opt"], rtol=2e-5)
    theirs = np.array(row["weights_after_opt_step_not_renormalised"])
    np.testing.assert_allclose(after, 3 * theirs / theirs.sum(), rtol=2e-5)
    reference = np.array(row["weights_used_for_model"])
    np.testing.assert_allclose(used, 3 * reference / reference.sum(), rtol=2e-5)


@pytest.mark.shared
def test_softmax_equals_libmtl(golden):
  expected = golden["outputs"]["LibMTL_alpha1.5_sgd0.1_logits"]
  steps = _run(golden, w.gradnorm(1.5, optax.sgd(0.1), "softmax"))
  gradients = np.array(golden["inputs"]["gradients_per_step"])
  before = np.ones(3)
  for (used, after), row, rows in zip(steps, expected, gradients, strict=True):
    np.testing.assert_allclose(used, row["weights"], rtol=2e-5)
    np.testing.assert_allclose(after, row["logits_after"], rtol=2e-5)
    np.testing.assert_allclose((before - after) / 0.1, row["logits_grad"], rtol=2e-4)
    np.testing.assert_allclose(used @ rows, row["direction"], rtol=2e-5, atol=1e-6)
    before = after


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [1.5, 0.12])
def test_metaworld_differentiates_through_the_target_and_uses_the_new_weights(golden, alpha):
  """The two named differences, put into the paper's formula, give its numbers."""
  inputs, weights = golden["inputs"], np.ones(3)
  first = np.array(inputs["L0"])
  expected = golden["outputs"][f"metaworld_optax_alpha{alpha}_sgd0.1"]
  rows_and_losses = zip(inputs["gradients_per_step"], inputs["losses_per_step"], strict=True)
  for (rows, losses), row in zip(rows_and_losses, expected, strict=True):
    norms = np.linalg.norm(rows, axis=1)
    ratios = losses / first
    powers = (ratios / ratios.mean()) ** alpha
    signs = np.sign(weights * norms - (weights * norms).mean() * powers)
    gradient = norms * signs - norms / 3 * (signs * powers).sum()
    weights = weights - 0.1 * gradient
    weights = 3 * weights / weights.sum()
    np.testing.assert_allclose(weights, row["weights_after_used_same_step"], rtol=2e-5)
    np.testing.assert_allclose(weights @ np.array(rows), row["direction"], rtol=2e-5)


def test_the_longest_gradient_loses_weight_and_weights_stay_positive():
  method = w.gradnorm(alpha=0.0, optimizer=optax.sgd(10.0))
  losses, gram = jnp.ones(2), jnp.diag(jnp.array([100.0, 1.0]))
  state = method.init(losses)
  for _ in range(3):
    weights, state = method.update(losses, state, gram=gram)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(), 2, rtol=1e-6)
  first = method.update(losses, method.init(losses), gram=gram)[1].learned.parameters
  assert first[0] < first[1]


def test_lengths_come_together_under_constant_gradients():
  method = w.gradnorm(alpha=0.0, optimizer=optax.sgd(0.01))
  losses, gram = jnp.ones(3), jnp.diag(jnp.array([4.0, 1.0, 0.25]))
  update = jax.jit(lambda state: method.update(losses, state, gram=gram))
  state = method.init(losses)
  for _ in range(400):
    weights, state = update(state)
  lengths = weights * jnp.array([2.0, 1.0, 0.5])
  np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.1)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"alpha": -1.0}, "alpha: must be a finite number"),
    ({"parametrization": "log"}, "parametrization: choose from direct, softmax; got 'log'"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    w.gradnorm(**arguments)
