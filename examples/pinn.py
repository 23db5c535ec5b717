"""A physics-informed network solves Poisson's equation; its losses are balanced in three ways.

The equation is u'' = f on [0, 1] with given ends, and its solution u = x + sin(4πx) is known. The
loss of the equation begins ten thousand times larger than those of the ends, so under the plain sum
some seeds learn the curvature and miss the ends for good. Weights of 1000 for them were tuned on
other seeds, with 3000 steps. `nash_mtl` compares the gradients, and needs no tuning: each loss
gains in proportion. docs/which_weighting.md has more methods. Run it with
`python examples/pinn.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mlseg import weighting as w

NUM_STEPS, NAMES = 2000, ("equation", "left", "right")
METHODS = {"plain sum": w.fixed(), "tuned sum": w.fixed([1, 1e3, 1e3]), "nash_mtl": w.nash_mtl()}


def exact(x):
  """Returns the solution that is to be found, at x [...]."""
  return x + jnp.sin(4 * jnp.pi * x)


def solution(params, x):
  """Returns the network's u at x [...]."""
  return network.apply(params, x[..., None])[..., 0]


def loss_fn(params):
  """Returns the squared residuals of the equation and of both ends, and nothing beside them."""
  x, ends = jnp.linspace(0, 1, 64), jnp.array([0.0, 1.0])
  curvature = jax.vmap(jax.grad(jax.grad(solution, 1), 1), (None, 0))(params, x)
  residuals = curvature + (4 * jnp.pi) ** 2 * jnp.sin(4 * jnp.pi * x)
  left, right = (solution(params, ends) - exact(ends)) ** 2
  return dict(zip(NAMES, ((residuals**2).mean(), left, right), strict=True)), None


def train(key, method):
  """Returns the relative error after training, |u - exact| / |exact|."""

  def step(carry, key):
    params, opt_state, state = carry
    result, state = w.losses_and_gradients(loss_fn, method)(params, state, key=key)
    updates, opt_state = optimizer.update(result.gradients, opt_state)
    return (optax.apply_updates(params, updates), opt_state, state), None

  params, x = network.init(key, jnp.zeros(1)), jnp.linspace(0, 1, 500)
  start = params, optimizer.init(params), method.init(dict.fromkeys(NAMES, 0.0))
  (params, *_), _ = jax.lax.scan(step, start, jax.random.split(key, NUM_STEPS))
  return jnp.linalg.norm(solution(params, x) - exact(x)) / jnp.linalg.norm(exact(x))


network = nn.Sequential([nn.Dense(32), nn.tanh, nn.Dense(32), nn.tanh, nn.Dense(1)])
optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, NUM_STEPS))
train_all = jax.jit(jax.vmap(train, (0, None)), static_argnums=1)
for name, method in METHODS.items():
  errors = 100 * train_all(jax.random.split(jax.random.key(0), 4), method)
  print(f"{name:9} relative error of four seeds in percent:", *(f"{e:6.2f}" for e in errors))
