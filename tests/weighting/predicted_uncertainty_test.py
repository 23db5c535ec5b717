"""A variance for every example, against `uncertainty`, by hand, and in a small training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w

RNG = np.random.default_rng(0)
LOSSES = RNG.gamma(2.0, 1.0, (6, 3)).astype(np.float32)
LOGS = RNG.normal(size=(6, 3)).astype(np.float32)
KINDS = ("regression", "classification", "doubled")
FACTORS = np.array([[0.5, 1.0, 1.0], [0.5, 0.5, 1.0]])


def _by_hand(losses, logs, counts):
  terms = FACTORS[0] * np.exp(-logs) * losses + FACTORS[1] * logs
  return (counts * terms).sum(axis=0) / counts.sum(axis=0)


def test_values_are_those_of_the_formula():
  found = w.predicted_uncertainty(jnp.array(LOSSES), jnp.array(LOGS), KINDS)
  np.testing.assert_allclose(found, _by_hand(LOSSES, LOGS, np.ones((6, 3))), rtol=1e-5)
  pixels = w.predicted_uncertainty(LOSSES.reshape(2, 3, 3), LOGS.reshape(2, 3, 3), KINDS)
  np.testing.assert_allclose(pixels, found, rtol=1e-6)


@pytest.mark.parametrize("per_loss", [False, True])
def test_losses_that_do_not_count_may_have_any_value(per_loss):
  counts = np.array([1.0, 0.0, 2.0, 1.0, 0.0, 0.5])[:, None] * np.ones(3)
  if per_loss:
    counts[3, 1] = 0
  losses, logs = LOSSES.copy(), LOGS.copy()
  losses[counts == 0], logs[counts == 0] = np.nan, np.inf
  valid = jnp.array(counts if per_loss else counts[:, 0])

  def total(losses, logs):
    found = w.predicted_uncertainty(losses, logs, KINDS, valid=valid)
    return found.sum(), found

  slopes, found = jax.grad(total, (0, 1), has_aux=True)(jnp.array(losses), jnp.array(logs))
  np.testing.assert_allclose(found, _by_hand(LOSSES, LOGS, counts), rtol=1e-5)
  for slope in slopes:
    assert np.isfinite(slope).all()
    assert (np.asarray(slope)[counts == 0] == 0).all()
  # ∂/∂L is the weight e^-s / 2 of each example, times its share of the mean.
  expected = FACTORS[0] * np.exp(-LOGS) * counts / counts.sum(axis=0)
  np.testing.assert_allclose(slopes[0], expected, rtol=1e-5)


def test_without_examples_losses_are_zero():
  found = w.predicted_uncertainty(LOSSES, LOGS, valid=jnp.zeros(6, bool))
  assert found.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_one_variance_for_all_examples_is_uncertainty_weighting(kind):
  """The weights and the slopes of s are those of `uncertainty` at the same s."""
  s, means = jnp.array([0.3, 0.3, 0.3]), jnp.array(LOSSES.mean(axis=0))
  method = w.uncertainty(kind, 0.3, optax.sgd(1.0))
  weights, after = method.update(means, method.init(means))

  def total(scale, s):
    return w.predicted_uncertainty(scale * LOSSES, jnp.broadcast_to(s, (6, 3)), kind).sum()

  by_scale, by_s = jax.grad(total, (0, 1))(jnp.ones((1, 3)), s[None])
  np.testing.assert_allclose(by_scale[0], weights * means, rtol=1e-5)
  np.testing.assert_allclose(by_s[0], s - after.parameters, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "factor"), [("regression", 1), ("classification", 2)])
def test_the_minimum_is_where_the_variance_is_the_loss(kind, factor):
  losses = jnp.array([[0.01], [1.0], [30.0]])
  optimum = jnp.log(factor * losses)
  value = lambda s: w.predicted_uncertainty(losses, s, kind)[0]  # noqa: E731
  np.testing.assert_allclose(jax.grad(value)(optimum), 0, atol=1e-7)
  for step in (-0.1, 0.1):
    assert value(optimum + step) > value(optimum)


EXTREME = [-jnp.inf, -3e38, -1e3, -20.0, 0.0, 20.0, 1e3, 3e38, jnp.inf]


@pytest.mark.parametrize("loss", [-1.0, 0.0, 1e-38, 1.0, 1e29])
def test_extreme_predictions_have_finite_losses_and_derivatives(loss):
  logs = jnp.array(EXTREME)[:, None]
  losses = jnp.full(logs.shape, loss)
  total = lambda losses, s: w.predicted_uncertainty(losses, s).sum()  # noqa: E731
  value, slopes = jax.value_and_grad(total, (0, 1))(losses, logs)
  assert jnp.isfinite(value)
  assert all(jnp.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize(
  ("loss", "s", "sign"), [(1.0, -50.0, -1), (1.0, 50.0, 1), (0.0, -50.0, 0), (1e9, 50.0, 0)]
)
def test_a_prediction_beyond_its_limit_moves_inwards_alone(loss, s, sign):
  slope = jax.grad(lambda s: w.predicted_uncertainty(jnp.array([loss]), s[None])[0])(jnp.float32(s))
  assert np.sign(slope) == sign


def test_predicted_variances_become_those_of_the_noise():
  """Two groups of examples, of which one has ten times the noise of the other."""
  rng = np.random.default_rng(1)
  is_noisy = np.arange(400) % 2
  x = rng.normal(size=400)
  y = jnp.array(2 * x + 1 + np.where(is_noisy, 1.0, 0.1) * rng.normal(size=400), jnp.float32)
  x, features = jnp.array(x, jnp.float32), jnp.array(np.eye(2)[is_noisy], jnp.float32)

  def loss_fn(params):
    squares = (params["slope"] * x + params["offset"] - y) ** 2
    return w.predicted_uncertainty(squares[:, None], (features @ params["s"])[:, None]), None

  compute = w.losses_and_gradients(loss_fn, w.fixed())
  optimizer = optax.adam(0.05)

  @jax.jit
  def train():
    params = {"slope": jnp.zeros(()), "offset": jnp.zeros(()), "s": jnp.zeros(2)}
    state = w.fixed().init(jnp.zeros(1))

    def step(carry, _):
      params, opt_state = carry
      updates, opt_state = optimizer.update(compute(params, state)[0].gradients, opt_state)
      return (optax.apply_updates(params, updates), opt_state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), length=600)[0][0]

  params = train()
  np.testing.assert_allclose(np.exp(params["s"] / 2), [0.1, 1.0], rtol=0.15)
  # The examples with little noise decide: the errors are those of 200 examples of noise 0.1.
  np.testing.assert_allclose([params["slope"], params["offset"]], [2.0, 1.0], atol=0.03)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: w.predicted_uncertainty(LOSSES, LOGS[:3]), "log_variances: must have the shape"),
    (lambda: w.predicted_uncertainty(LOSSES, LOGS, "half"), "kind: choose from"),
    (lambda: w.predicted_uncertainty(LOSSES, LOGS, KINDS[:2]), "kind: must be one"),
    (lambda: w.predicted_uncertainty(LOSSES, LOGS, limit=0.0), "limit: must be"),
    (lambda: w.predicted_uncertainty(LOSSES, LOGS, valid=jnp.ones(3)), "valid: must have"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
