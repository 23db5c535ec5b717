"""GradNorm's toy: regressions of one family, whose targets have scales from 1 to 100.

Chen et al. 2018, arXiv 1711.02257, section 4: f_k(x) = σ_k tanh((B + ε_k) x), where all tasks share
B and each has an ε_k of its own, with standard deviations of their entries in the ratio 10 : 3.5.
Here inputs are normal, and the entries are scaled so that the argument of tanh has the variance 2.
The paper has 250 inputs and 100 outputs, and here are 10 and 5. Targets have noise, so that a
network can fit its training points too well.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from training import Problem, Score

NUM_INPUTS, NUM_OUTPUTS, WIDTH = 10, 5, 50
NUM_TRAINING, NUM_TEST, BATCH_SIZE = 1000, 1000, 100  # as many validation points as test points
VARIANCE = 2.0  # of the argument of tanh
NOISE = 0.1  # its standard deviation, as a share of σ_k
NUM_STEPS, RATE = 12_000, 3e-3
SCALES = {2: (1.0, 100.0), 10: tuple(float(s) for s in np.logspace(0, 2, 10))}  # σ, by K


def noise_share() -> float:
  """Returns the variance of the noise as a share of that of the targets, the least mean error."""
  z, weights = np.polynomial.hermite_e.hermegauss(64)
  of_function = weights @ np.tanh(np.sqrt(VARIANCE) * z) ** 2 / weights.sum()
  return float(NOISE**2 / (of_function + NOISE**2))


def problem(num_tasks: int) -> Problem:
  """Returns the problem of so many tasks.

  Args:
    num_tasks: 2 or 10.
  """
  scales = jnp.array(SCALES[num_tasks])

  def data(seed):
    """Draws the functions, and the points [n, 10] and targets [n, K, 5] of three sets."""
    keys = iter(jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 4))
    unit = jnp.sqrt(VARIANCE / NUM_INPUTS / (10**2 + 3.5**2))
    common = 10 * unit * jax.random.normal(next(keys), (NUM_INPUTS, NUM_OUTPUTS))
    own = jax.random.normal(next(keys), (num_tasks, NUM_INPUTS, NUM_OUTPUTS))
    matrices = common + 3.5 * unit * own
    count = NUM_TRAINING + 2 * NUM_TEST
    x = jax.random.normal(next(keys), (count, NUM_INPUTS))
    y = jnp.tanh(jnp.einsum("ni,kio->nko", x, matrices))
    y = scales[:, None] * (y + NOISE * jax.random.normal(next(keys), y.shape))
    ends = (NUM_TRAINING, NUM_TRAINING + NUM_TEST)
    names = ("training", "validation", "test")
    return dict(zip(names, zip(jnp.split(x, ends), jnp.split(y, ends), strict=True), strict=True))

  def start(seed):
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2), 3)
    sizes = (NUM_INPUTS, WIDTH, WIDTH, num_tasks * NUM_OUTPUTS)
    layers = [
      {"w": jnp.sqrt(2 / into) * jax.random.normal(key, (into, out)), "b": jnp.zeros(out)}
      for key, into, out in zip(keys, sizes, sizes[1:], strict=False)
    ]
    return {"trunk": layers[:2], "heads": layers[2]}

  def predict(params, x):
    for layer in params["trunk"]:
      x = jax.nn.relu(x @ layer["w"] + layer["b"])
    y = x @ params["heads"]["w"] + params["heads"]["b"]
    return y.reshape(-1, num_tasks, NUM_OUTPUTS)

  def batch(data, key):
    x, y = data["training"]
    chosen = jax.random.randint(key, (BATCH_SIZE,), 0, NUM_TRAINING)
    return x[chosen], y[chosen]

  def errors(params, points):
    x, y = points
    return jnp.mean((predict(params, x) - y) ** 2, (0, 2))

  def score(params, data):
    tasks = {
      name: errors(params, data[name]) / data[name][1].var((0, 2))
      for name in ("validation", "test")
    }
    return Score(tasks["test"].mean(), tasks["validation"].mean(), tasks["test"])

  return Problem(
    name=f"regression_{num_tasks}",
    num_losses=num_tasks,
    num_steps=NUM_STEPS,
    optimizer=optax.adam(optax.cosine_decay_schedule(RATE, NUM_STEPS)),
    data=data,
    start=start,
    batch=batch,
    loss_fn=lambda params, points: (errors(params, points), None),
    score=score,
    shared="trunk",
  )
