"""An inverse problem: the diffusivity of a rod is found from 40 noisy measurements of its heat.

As in jinns there are `nn_params` of the network and `eq_params` of the equation u_t = D u_xx, and
a loss of four terms. The residual of the equation has other units than the rest, and under the
plain sum it hides the measurements. `nash_mtl` compares gradients over `nn_params`, which all terms
share, and lets each term gain in proportion. Run it with `python examples/pinn_inverse.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mlseg import weighting as w

NUM_STEPS, DURATION, DIFFUSIVITY = 1500, 0.05, 2.0  # of a rod that is 1 long
TERMS = ("dyn_loss", "boundary_loss", "initial_condition", "observations")
METHODS = {"plain sum": w.fixed(), "nash_mtl": w.nash_mtl()}


def exact(x, t):
  """Returns the heat at x and t under the true diffusivity, which begins as two waves."""
  waves = jnp.pi * jnp.array([1.0, 2.0])
  return (jnp.exp(-DIFFUSIVITY * waves**2 * t[..., None]) * jnp.sin(waves * x[..., None])).sum(-1)


def heat(params, x, t):
  """Returns the network's heat at x and t."""
  return network.apply(params["nn_params"], jnp.stack([x, t / DURATION], -1))[..., 0]


def residual(params, x, t):
  """Returns u_t - D u_xx at one x and t."""
  u_t, u_xx = jax.grad(heat, 2)(params, x, t), jax.grad(jax.grad(heat, 1), 1)(params, x, t)
  return u_t - jnp.exp(params["eq_params"]["log_diffusivity"]) * u_xx


def loss_fn(params, x, t, measured):
  """Returns the mean squares of the four terms, and the diffusivity beside them."""
  errors = {
    "dyn_loss": jax.vmap(residual, (None, 0, 0))(params, x, t),
    "boundary_loss": jnp.stack([heat(params, 0 * x, t), heat(params, 0 * x + 1, t)]),
    "initial_condition": heat(params, x, 0 * t) - exact(x, 0 * t),
    "observations": heat(params, *measured[:2]) - measured[2],
  }
  values = jax.tree.map(lambda error: (error**2).mean(), errors)
  return values, jnp.exp(params["eq_params"]["log_diffusivity"])


def train(key, method):
  """Returns the diffusivity that is found, where the measurements have a noise of 0.02."""
  keys, box = jax.random.split(key, 4), jnp.array([[1.0], [DURATION]])
  x, t = jax.random.uniform(keys[0], (2, 40)) * box
  measured = x, t, exact(x, t) + 0.02 * jax.random.normal(keys[1], (40,))
  compute = w.losses_and_gradients(loss_fn, method, shared="nn_params")

  def step(carry, key):
    (params, opt_state, state), points = carry, jax.random.uniform(key, (2, 64)) * box
    result, state = compute(params, state, *points, measured)
    updates, opt_state = optimizer.update(result.gradients, opt_state)
    return (optax.apply_updates(params, updates), opt_state, state), result.aux

  eq_params = {"log_diffusivity": jnp.zeros(())}
  params = {"nn_params": network.init(keys[2], jnp.zeros(2)), "eq_params": eq_params}
  start = params, optimizer.init(params), method.init(dict.fromkeys(TERMS, 0.0))
  return jax.lax.scan(step, start, jax.random.split(keys[3], NUM_STEPS))[1][-1]


network = nn.Sequential([nn.Dense(32), nn.tanh, nn.Dense(32), nn.tanh, nn.Dense(1)])
optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, NUM_STEPS))
train_all = jax.jit(jax.vmap(train, (0, None)), static_argnums=1)
for name, method in METHODS.items():
  found = train_all(jax.random.split(jax.random.key(0), 3), method)
  print(f"{name:9} diffusivity of three seeds, 2 in truth:", *(f"{value:.2f}" for value in found))
