"""Poisson's equation, solved by a physics-informed network: the problem of `examples/pinn.py`.

u'' = f on [0, 1] with both ends given, and the solution u = x + sin(4πx) is known. The losses are
the mean of the squared residuals of the equation at 64 points, and the squared errors at both ends.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from training import Problem, Score

from mlseg import weighting as w

NUM_STEPS, RATE, NUM_POINTS = 21_000, 5e-3, 64
EVERY = 100  # steps from one computation of the traces to the next
NAMES = ("equation", "left", "right")
_NETWORK = nn.Sequential([nn.Dense(32), nn.tanh, nn.Dense(32), nn.tanh, nn.Dense(1)])


def exact(x: jax.Array) -> jax.Array:
  """Returns the solution that is to be found, at x [...]."""
  return x + jnp.sin(4 * jnp.pi * x)


def _solution(params, x):
  return _NETWORK.apply(params, x[..., None])[..., 0]


def _of_equation(params, x):
  """Returns the residual of the equation at one point."""
  curvature = jax.grad(jax.grad(_solution, 1), 1)(params, x)
  return curvature + (4 * jnp.pi) ** 2 * jnp.sin(4 * jnp.pi * x)


def _of_end(params, x):
  return _solution(params, x) - exact(x)


def _points():
  return jnp.linspace(0, 1, NUM_POINTS), jnp.zeros(1), jnp.ones(1)


def _squares(params):
  """Returns the squared residuals at the points of the equation, [64], and at both ends, [2]."""
  inside, *ends = _points()
  squares = jax.vmap(_of_equation, (None, 0))(params, inside) ** 2
  return squares, _of_end(params, jnp.concatenate(ends)) ** 2


def _losses(params, batch=None):
  squares, ends = _squares(params)
  return jnp.concatenate([squares.mean(keepdims=True), ends]), None


def _losses_of_points(params, batch=None):
  return jnp.concatenate(_squares(params)), None


def _score(params, data):
  """Returns the relative error |u - exact| / |exact| at 500 points, and the three losses."""
  x = jnp.linspace(0, 1, 500)
  error = jnp.linalg.norm(_solution(params, x) - exact(x)) / jnp.linalg.norm(exact(x))
  return Score(error, error, _losses(params)[0])


def _traces(params, step):
  """Returns the traces of the kernels at each hundredth step; else NaN, which changes nothing."""
  residuals = (_of_equation, _of_end, _of_end)

  def compute(params):
    return jnp.stack(w.kernel_traces(residuals, params, _points()))

  unknown = jnp.full(len(NAMES), jnp.nan)
  return {"traces": jax.lax.cond(step % EVERY == 0, compute, lambda _: unknown, params)}


def problem() -> Problem:
  """Returns the problem of three losses."""
  return Problem(
    name="pinn",
    num_losses=len(NAMES),
    num_steps=NUM_STEPS,
    optimizer=optax.adam(optax.cosine_decay_schedule(RATE, NUM_STEPS)),
    data=lambda seed: None,
    start=lambda seed: _NETWORK.init(jax.random.key(seed), jnp.zeros(1)),
    batch=lambda data, key: None,
    loss_fn=_losses,
    score=_score,
  )


def with_traces() -> Problem:
  """Returns the problem where `update` is given the traces of neural tangent kernels."""
  return problem()._replace(extra=_traces)


def with_points() -> Problem:
  """Returns the problem with a loss for each point of the equation, and those of both ends."""
  return problem()._replace(loss_fn=_losses_of_points, num_losses=NUM_POINTS + 2)


def of_points(method: w.LossWeighting, ends: float) -> w.LossWeighting:
  """Returns a weighting of the points of the equation by a method, and of the ends by a constant.

  Args:
    method: a weighting of single points.
    ends: the weight of each end.
  """

  def init(losses):
    return method.init(losses[:NUM_POINTS])

  def update(losses, state, **extra):
    weights, state = method.update(losses[:NUM_POINTS], state)
    return jnp.concatenate([weights, jnp.full(2, ends)]), state

  return w.LossWeighting(init, update)
