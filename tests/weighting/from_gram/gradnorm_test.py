"""GradNorm against the paper's algorithm, and against three codes that each differ from it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.from_gram.gradnorm import gradnorm


def _run(weighting, losses, grams):
  """Returns the weights and states after each step."""

  def step(state, inputs):
    weights, state = weighting.update(inputs[0], state, gram=inputs[1])
    return state, (weights, state)

  rows, grams = jnp.array(losses), jnp.array(grams)
  run = jax.jit(lambda: jax.lax.scan(step, weighting.init(rows[0]), (rows, grams))[1])
  return jax.tree.map(np.asarray, run())


def _algorithm(losses, gradients, alpha, optimizer, *, constant_target=True, after=True):
  """Algorithm 1 in numpy with one step after another; what metaworld and AuxiLearn do otherwise.

  Metaworld differentiates the target as well; AuxiLearn scales before the step, not after it.
  """
  number, weights, rows = len(losses[0]), np.ones(len(losses[0])), []
  memory = optimizer.init(jnp.array(weights))
  for current, jacobian in zip(losses, gradients, strict=True):
    used, norms = weights, np.linalg.norm(jacobian, axis=1)
    ratios = current / losses[0]
    powers = (ratios / ratios.mean()) ** alpha
    lengths = weights * norms
    signs = np.sign(lengths - lengths.mean() * powers)
    gradient = norms * (signs if constant_target else signs - (signs * powers).mean())
    if not after:
      weights = number * weights / weights.sum()
    updates, memory = optimizer.update(jnp.array(gradient), memory)
    weights = weights + np.asarray(updates)
    if after:
      weights = number * weights / weights.sum()
    rows.append((used, gradient, weights))
  return (np.array(column) for column in zip(*rows, strict=True))


@pytest.fixture(scope="module")
def golden(golden):
  data = golden("gradnorm")
  inputs = {name: np.array(values) for name, values in data["inputs"].items()}
  # LibMTL alone takes the mean of an epoch for L(0), here made equal to the first losses.
  np.testing.assert_array_equal(inputs["L0"], inputs["losses_per_step"][0])
  return inputs["losses_per_step"], inputs["gradients_per_step"], data["outputs"]


def _columns(outputs, name):
  return {key: np.array([row[key] for row in outputs[name]]) for key in outputs[name][0]}


def _grams(gradients):
  return gradients @ gradients.transpose(0, 2, 1)


def _direction(weights, gradients):
  return np.einsum("tk,tkd->td", weights, gradients)


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [1.5, 0.12])
def test_equals_the_algorithm_of_the_paper(golden, alpha):
  losses, gradients, outputs = golden
  expected = _columns(outputs, f"paper_algorithm1_numpy_alpha{alpha}_sgd0.1")
  with jax.enable_x64(True):
    weights, state = _run(gradnorm(alpha, optax.sgd(0.1)), losses, _grams(gradients))
    _, gradient, _ = _algorithm(losses, gradients, alpha, optax.sgd(0.1))
  np.testing.assert_allclose(weights, expected["weights_used_for_model"], rtol=1e-6)
  np.testing.assert_allclose(state.learned.parameters, expected["weights_after"], rtol=1e-6)
  # The rest is between: what the loss of the weights and its gradient are made of.
  np.testing.assert_allclose(gradient, expected["grad"], rtol=1e-6)
  lengths = weights * np.linalg.norm(gradients, axis=2)
  np.testing.assert_allclose(lengths, expected["G"], rtol=1e-6)
  ratios = losses / losses[0]
  powers = (ratios / ratios.mean(axis=1, keepdims=True)) ** alpha
  targets = lengths.mean(axis=1, keepdims=True) * powers
  np.testing.assert_allclose(targets, expected["target"], rtol=1e-6)
  np.testing.assert_allclose(np.abs(lengths - targets).sum(axis=1), expected["L_grad"], rtol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [1.5, 0.12])
@pytest.mark.parametrize("name", ["sgd0.1", "adam0.025"])
def test_auxilearn_differs_by_when_it_scales_weights(golden, alpha, name):
  losses, gradients, outputs = golden
  expected = _columns(outputs, f"AuxiLearn_alpha{alpha}_{name}")
  optimizer = {"sgd0.1": optax.sgd(0.1), "adam0.025": optax.adam(0.025)}[name]
  with jax.enable_x64(True):
    weights, _ = _run(gradnorm(alpha, optimizer), losses, _grams(gradients))
    used, gradient, after = _algorithm(losses, gradients, alpha, optimizer, after=False)
  # Its weights do not sum to K; scaled they are those of the paper, for signs do not change.
  theirs = expected["weights_used_for_model"]
  assert np.abs(theirs.sum(axis=1) - 3).max() > 1e-2
  np.testing.assert_allclose(weights, 3 * theirs / theirs.sum(axis=1, keepdims=True), rtol=2e-5)
  np.testing.assert_allclose(weights, expected["weights_after_renorm_before_opt"], rtol=2e-5)
  np.testing.assert_allclose(used, theirs, rtol=2e-5)
  np.testing.assert_allclose(gradient, expected["grad"], rtol=2e-5)
  np.testing.assert_allclose(after, expected["weights_after_opt_step_not_renormalised"], rtol=2e-5)


@pytest.mark.shared
def test_softmax_equals_libmtl(golden):
  losses, gradients, outputs = golden
  expected = _columns(outputs, "LibMTL_alpha1.5_sgd0.1_logits")
  with jax.enable_x64(True):
    weighting = gradnorm(1.5, optax.sgd(0.1), "softmax")
    weights, state = _run(weighting, losses, _grams(gradients))
  np.testing.assert_allclose(weights, expected["weights"], rtol=2e-5)
  np.testing.assert_allclose(_direction(weights, gradients), expected["direction"], rtol=2e-5)
  # LibMTL's logits begin at 1, here at 0, which is one constant more.
  logits = state.learned.parameters + 1
  np.testing.assert_allclose(logits, expected["logits_after"], rtol=2e-5)
  steps = -np.diff(np.concatenate([np.ones((1, 3)), logits]), axis=0) / 0.1
  np.testing.assert_allclose(steps, expected["logits_grad"], rtol=1e-4)


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [1.5, 0.12])
def test_metaworld_differs_by_differentiating_the_target(golden, alpha):
  losses, gradients, outputs = golden
  expected = _columns(outputs, f"metaworld_optax_alpha{alpha}_sgd0.1")
  theirs = expected["weights_after_used_same_step"]
  with jax.enable_x64(True):
    # The one algorithm in numpy is mlseg's and, with the target differentiated, metaworld's.
    ours, state = _run(gradnorm(alpha, optax.sgd(0.1)), losses, _grams(gradients))
    _, _, after = _algorithm(losses, gradients, alpha, optax.sgd(0.1))
    _, _, moving = _algorithm(losses, gradients, alpha, optax.sgd(0.1), constant_target=False)
  np.testing.assert_allclose(state.learned.parameters, after, rtol=1e-6)
  np.testing.assert_allclose(theirs, moving, rtol=1e-6)
  np.testing.assert_allclose(_direction(theirs, gradients), expected["direction"], rtol=1e-6)
  assert np.abs(after - theirs).max() > 1e-2
  # It uses them at once: the first weights are not 1.
  assert np.abs(theirs[0] - 1).min() > 0.1
  np.testing.assert_array_equal(ours[0], 1)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_equals_the_algorithm_on_random_steps(alpha):
  rng = np.random.default_rng(0)
  losses, gradients = rng.gamma(3.0, 1.0, (20, 5)), rng.normal(size=(20, 5, 7))
  optimizer = optax.sgd(0.02, momentum=0.5)
  with jax.enable_x64(True):
    used, _, after = _algorithm(losses, gradients, alpha, optimizer)
    weights, state = _run(gradnorm(alpha, optimizer), losses, _grams(gradients))
  np.testing.assert_allclose(weights, used, rtol=1e-9)
  np.testing.assert_allclose(state.learned.parameters, after, rtol=1e-9)


def test_weights_bring_gradients_of_equal_progress_to_one_length():
  gram = np.diag([16.0, 1.0, 0.25])
  losses = np.ones((400, 3))
  for parametrization in ("direct", "softmax"):
    weighting = gradnorm(optimizer=optax.adam(0.02), parametrization=parametrization)
    weights, _ = _run(weighting, losses.astype(np.float32), np.stack([gram] * 400))
    inverse = np.array([0.25, 1.0, 2.0])
    np.testing.assert_allclose(weights[-1], 3 * inverse / inverse.sum(), rtol=0.1)


def test_a_loss_that_lags_gets_the_larger_weight():
  losses = np.stack([np.linspace(1, 0.5, 40), np.linspace(4, 0.4, 40)], axis=1)
  weights, _ = _run(gradnorm(), losses.astype(np.float32), np.stack([np.eye(2)] * 40))
  assert weights[-1, 0] > 1.3


@pytest.mark.parametrize("parametrization", ["direct", "softmax"])
def test_weights_stay_positive_and_sum_to_their_number_under_any_steps(parametrization):
  losses = np.ones((30, 3), np.float32)
  gram = np.diag(np.array([1e30, 1.0, 1e-30]))
  for rate in (10.0, 1e30):
    weighting = gradnorm(1.5, optax.sgd(rate), parametrization)
    weights, _ = _run(weighting, losses, np.stack([gram] * 30).astype(np.float32))
    assert weights.min() > 0
    np.testing.assert_allclose(weights.sum(axis=1), 3, rtol=1e-5)


def test_progress_is_measured_from_the_first_step_on_which_all_losses_are_positive():
  rows = np.array([[np.nan, 1], [0, 1], [2, 4], [1, 4], [-1, 4], [1, 1]], np.float32)
  grams = np.stack([np.diag([1.0, 4.0])] * 6).astype(np.float32)
  weights, state = _run(gradnorm(), rows, grams)
  np.testing.assert_array_equal(state.initial_losses[:2], 0)
  np.testing.assert_array_equal(state.initial_losses[2:], [[2, 4]] * 4)
  np.testing.assert_array_equal(weights[:3], 1)
  np.testing.assert_array_equal(weights[5], weights[4])  # nothing of the negative loss
  assert np.abs(np.diff(weights[2:5], axis=0)).min() > 1e-3


def test_losses_of_any_size_have_finite_rates():
  rows = np.array([[1e-37, 1e38], [3e38, 1e-37], [0, 0], [1, 1]], np.float32)
  weights, state = _run(gradnorm(40.0), rows, np.stack([np.eye(2)] * 4).astype(np.float32))
  assert np.isfinite(weights).all()
  # The first has become larger by 75 orders of magnitude, and the second smaller.
  assert state.learned.parameters[1, 0] > 1 > state.learned.parameters[1, 1]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"alpha": -1.0}, r"alpha: must be a finite number in \[0, inf\], got -1.0"),
    ({"parametrization": "log"}, r"parametrization: choose from direct, softmax; got 'log'"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    gradnorm(**arguments)
