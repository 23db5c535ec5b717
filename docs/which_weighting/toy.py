"""The problem of two losses of two numbers on which CAGrad and Nash-MTL show their paths.

Liu et al. 2021, arXiv 2110.14048; the losses, scales, starts, the optimiser and its rate are those
of the code of Navon et al. 2022, arXiv 2202.01017, `experiments/toy` of AvivNavon/nash-mtl, with a
thousand further steps. The losses there may be negative, which methods that read their values are
not made for. So 20 is added to both, their lower bound, before they are scaled: gradients are the
same.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from training import Problem, Score

NUM_STEPS, RATE = 36_000, 1e-3
SCALES = (0.1, 1.0)
TOLERANCE = 0.1  # a distance up to which a start has reached the front; the front is 20 long
LOWEST = 5e-6
PUBLISHED = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
NUM_DRAWN = 10  # starts drawn in the square, for the test; after them, as many for the tuned sum
_DRAWN = np.random.default_rng(0).uniform(-10, 10, (2 * NUM_DRAWN, 2))
STARTS = np.concatenate([PUBLISHED, _DRAWN]).astype(np.float32)


def losses(x: jax.Array) -> jax.Array:
  """Returns both losses before they are scaled, [..., 2], at points [..., 2]."""
  first, second = x[..., 0], x[..., 1]
  turned = jnp.tanh(-second)
  arguments = (0.5 * (-first - 7) - turned, 0.5 * (-first + 3) + turned + 2)
  upper = jnp.stack([jnp.log(jnp.maximum(jnp.abs(a), LOWEST)) + 6 for a in arguments], -1)
  squares = jnp.stack([(-first + 7) ** 2, (-first - 7) ** 2], -1)
  lower = (squares + 0.1 * (-second - 8)[..., None] ** 2) / 10 - 20
  shares = [_positive(jnp.tanh(0.5 * sign * second))[..., None] for sign in (1, -1)]
  return upper * shares[0] + lower * shares[1] + 20


def _positive(values: jax.Array) -> jax.Array:
  """Returns values from 0, with the derivative 1 at 0, as in the authors' code."""
  return jnp.where(values >= 0, values, 0)


@functools.cache
def front() -> np.ndarray:
  """Returns the Pareto front on a dense grid of the square [-10, 10]², [n, 2]."""
  axes = np.meshgrid(np.linspace(-10, 10, 4001), np.linspace(-10, 10, 1001))
  found = np.asarray(losses(jnp.asarray(np.stack(axes, -1).reshape(-1, 2)))).astype(np.float64)
  found = found[np.lexsort((found[:, 1], found[:, 0]))]
  before = np.minimum.accumulate(np.append(np.inf, found[:-1, 1]))
  return found[found[:, 1] < before]


def problem() -> Problem:
  """Returns the problem; its seeds are the rows of `STARTS`."""
  starts, reachable = jnp.asarray(STARTS), jnp.asarray(front(), jnp.float32)

  def score(x, data):
    del data
    found = losses(x)
    distance = jnp.sqrt(((reachable - found) ** 2).sum(-1).min())
    return Score(distance, distance, found)

  return Problem(
    name="toy",
    num_losses=2,
    num_steps=NUM_STEPS,
    optimizer=optax.adam(RATE),
    data=lambda seed: None,
    start=lambda seed: starts[seed],
    batch=lambda data, key: None,
    loss_fn=lambda x, batch: (losses(x) * jnp.array(SCALES), None),
    score=score,
  )
