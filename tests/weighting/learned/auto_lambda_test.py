"""Auto-Lambda against the authors' code, and against quadratic losses by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w

# Losses Σ_d h_kd (θ_d - c_kd)² / 2, of which other data have other centres.
H = np.array([[1.0, 2.0, 0.5], [0.3, 1.0, 2.0]])
TRAIN = np.array([[1.0, 0.0, -1.0], [0.5, -2.0, 3.0]])
VALIDATION = np.array([[0.8, 0.3, -1.5], [1.0, 1.0, 1.0]])
THETA, LAMBDA, RATE = np.array([2.0, -1.0, 0.5]), np.array([0.3, 0.7]), 0.1


def _quadratic(params, centres):
  return (jnp.asarray(H, jnp.float32) * (params[None] - centres) ** 2).sum(axis=1) / 2, None


def _move(params, gradient):
  return params - RATE * gradient


@pytest.mark.parametrize("primary", [None, (1.0, 0.0), (0.2, 3.0)])
def test_slopes_of_quadratic_losses_are_those_by_hand(primary):
  gradients = H * (THETA - TRAIN)
  moved = THETA - RATE * LAMBDA @ gradients
  factors = np.ones(2) if primary is None else np.array(primary)
  upper = factors @ (H * (moved - VALIDATION))
  slopes = jax.jit(
    lambda theta, values, *data: w.validation_slopes(
      _quadratic, theta, values, data[:1], data[1:], move=_move, primary=primary
    )
  )(*(jnp.array(a, jnp.float32) for a in (THETA, LAMBDA, TRAIN, VALIDATION)))
  np.testing.assert_allclose(slopes, -RATE * gradients @ upper, rtol=1e-5)


def test_slopes_through_a_step_of_adam_are_those_of_finite_differences():
  optimizer = optax.adam(0.1)
  state = optimizer.init(jnp.zeros(3))
  _, state = optimizer.update(jnp.array([0.3, -0.1, 0.2]), state)
  _, pull_back, _ = jax.vjp(lambda p: _quadratic(p, TRAIN), jnp.array(THETA), has_aux=True)

  def move(params, gradient):
    return optax.apply_updates(params, optimizer.update(gradient, state)[0])

  def after_step(values):
    return float(_quadratic(move(jnp.array(THETA), pull_back(values)[0]), VALIDATION)[0].sum())

  slopes = w.validation_slopes(
    _quadratic, jnp.array(THETA), jnp.array(LAMBDA), (TRAIN,), (VALIDATION,), move=move
  )
  for k, step in enumerate(1e-2 * np.eye(2)):
    up, down = (after_step(jnp.array(LAMBDA + sign * step, jnp.float32)) for sign in (1, -1))
    np.testing.assert_allclose(slopes[k], (up - down) / 2e-2, rtol=0.02, atol=1e-3)


# AutoLambda of github.com/lorenmt/auto-lambda (commit bdba636, auto_lambda.py), in float64, on the
# network and the batches below, with torch.optim.SGD(lr=0.2) for the network and SGD(lr=0.5) for λ,
# from 0.1: λ after each step. The second has two primary tasks, momentum 0.9 and weight decay 0.01.
GOLDEN = [
  (
    (1.0, 0.0, 0.0),
    optax.sgd(0.2),
    [
      [0.370899, -0.218381, 0.14753],
      [0.326692, -0.215579, 0.16455],
      [0.300557, -0.197355, 0.160337],
      [0.301549, -0.226951, 0.156969],
    ],
    [0.9649296159267137, -0.6173583833687448, 0.29851408983886774],
  ),
  (
    (1.0, 0.0, 1.0),
    optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.2, momentum=0.9)),
    [
      [0.438473, -0.281393, 0.180386],
      [0.414901, -0.258228, 0.11905],
      [0.459555, -0.264415, 0.089494],
      [0.406536, -0.256625, 0.095487],
    ],
    [0.9111197913366448, -0.8647925012436708, 0.23844927314385997],
  ),
]


def _network_losses(params, x, y):
  hidden = jnp.tanh(x @ params["a"])
  first, second = hidden[:, 0], hidden[:, 1]
  b = params["b"]
  outputs = jnp.stack([first * b[0] + second, second * b[1] + first, hidden.sum(axis=1) * b[2]])
  return ((outputs - y) ** 2).mean(axis=1), None


@pytest.mark.parametrize(("primary", "optimizer", "expected", "last"), GOLDEN, ids=["one", "two"])
def test_equals_the_authors_code(primary, optimizer, expected, last):
  rng = np.random.default_rng(3)
  shapes = ((4, 5, 2), (4, 3, 5), (4, 5, 2), (4, 3, 5))
  data = [jnp.array(np.round(rng.normal(size=shape), 2), jnp.float32) for shape in shapes]
  method = w.auto_lambda(lowest=-10.0, optimizer=optax.sgd(0.5))
  compute = w.losses_and_gradients(_network_losses, method)
  params = {"a": jnp.array([[0.5, -0.3], [0.2, 0.8]]), "b": jnp.array([1.0, -0.5, 0.3])}
  state, opt_state = method.init(jnp.zeros(3)), optimizer.init(params)

  @jax.jit
  def step(params, opt_state, state, x, y, *validation):
    def move(params, gradient):
      return optax.apply_updates(params, optimizer.update(gradient, opt_state, params)[0])

    slopes = w.validation_slopes(
      _network_losses, params, state.parameters, (x, y), validation, move=move, primary=primary
    )
    result, state = compute(params, state, x, y, slopes=slopes)
    updates, opt_state = optimizer.update(result.gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, state, result.weights

  for *batch, row in zip(*data, expected, strict=True):
    params, opt_state, state, weights = step(params, opt_state, state, *batch)
    # The authors take finite differences over a distance of 0.01.
    np.testing.assert_allclose(weights, row, atol=2e-4)
  np.testing.assert_allclose(params["b"], last, atol=2e-4)


def test_an_auxiliary_loss_that_leads_away_loses_its_weight():
  """The second loss has its minimum elsewhere; only the first one matters."""
  method = w.auto_lambda(initial=0.5, optimizer=optax.sgd(0.5))
  compute = w.losses_and_gradients(_quadratic, method)

  @jax.jit
  def run():
    def step(carry, _):
      theta, state = carry
      slopes = w.validation_slopes(
        _quadratic, theta, state.parameters, (TRAIN,), (TRAIN,), move=_move, primary=(1.0, 0.0)
      )
      result, state = compute(theta, state, TRAIN, slopes=slopes)
      return (_move(theta, result.gradients), state), result.weights

    return jax.lax.scan(step, (jnp.array(THETA), method.init(jnp.zeros(2))), length=60)[1]

  weights = run()
  assert weights[-1, 0] > weights[-1, 1]
  assert weights[-1, 1] == 0


def test_weights_stay_without_slopes_that_are_known():
  method = w.auto_lambda()
  _, state = method.update(jnp.ones(2), method.init(jnp.ones(2)), slopes=jnp.array([1.0, -1.0]))
  for slopes in (None, [jnp.nan, 1.0], [jnp.inf, 1.0]):
    given = None if slopes is None else jnp.array(slopes)
    weights, after = method.update(jnp.ones(2), state, slopes=given)
    assert weights.tolist() == state.parameters.tolist() == after.parameters.tolist()


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: w.auto_lambda(initial=-0.1), "initial: must be"),
    (lambda: w.auto_lambda(lowest=2.0, highest=1.0), "highest: must be"),
    (
      lambda: w.auto_lambda().update(jnp.ones(2), None, slopes=jnp.ones(3)),
      "slopes: must be 2 numbers",
    ),
    (
      lambda: w.validation_slopes(
        _quadratic, jnp.ones(3), jnp.ones(3), (TRAIN,), (TRAIN,), move=_move
      ),
      "weights: must be 2 numbers",
    ),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
