"""Trains one model of a problem under a weighting, as a pure function of the seed."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg import weighting as w

PARTS = 3  # of a training; the score is computed at the end of each


class Problem(NamedTuple):
  """What is trained, and how it is scored; every function here can be mapped over seeds."""

  name: str
  num_losses: int
  num_steps: int  # a multiple of `PARTS`
  optimizer: optax.GradientTransformation
  data: Callable[[jax.Array], Any]  # of a seed
  start: Callable[[jax.Array], Any]  # of a seed: the first parameters
  batch: Callable[[Any, jax.Array], Any]  # of the data and a key
  loss_fn: Callable[..., tuple[jax.Array, Any]]  # of parameters and a batch: losses [K], None
  score: Callable[[Any, Any], "Score"]  # of parameters and data
  shared: str | None = None  # the parameters whose gradients are compared; None: all
  extra: Callable[[Any, jax.Array], dict] = lambda params, step: {}  # keywords of `update`


class Score(NamedTuple):
  """How good a model is; less is better everywhere."""

  test: jax.Array  # []
  validation: jax.Array  # [], by which the tuned sum is chosen
  tasks: jax.Array  # [K], of each task on test data


def train(problem: Problem, weighting: w.LossWeighting, seed, data, params) -> Score:
  """Returns the scores of a model after each third of its training.

  Args:
    problem: what is trained.
    weighting: decides the weights of the losses.
    seed: [], an integer, of the batches and of what methods draw.
    data: `problem.data(seed)`.
    params: `problem.start(seed)`.

  Returns:
    The scores, each with the thirds first.
  """
  compute = w.losses_and_gradients(problem.loss_fn, weighting, shared=problem.shared)
  keys = jax.random.key(seed)

  def step(carry, index):
    params, opt_state, state = carry
    batch_key, own_key = jax.random.split(jax.random.fold_in(keys, index))
    batch, extra = problem.batch(data, batch_key), problem.extra(params, index)
    result, state = compute(params, state, batch, key=own_key, **extra)
    updates, opt_state = problem.optimizer.update(result.gradients, opt_state)
    return (optax.apply_updates(params, updates), opt_state, state), None

  def part(carry, indices):
    carry, _ = jax.lax.scan(step, carry, indices)
    return carry, problem.score(carry[0], data)

  state = weighting.init(jnp.zeros(problem.num_losses))
  start = params, problem.optimizer.init(params), state
  indices = jnp.arange(problem.num_steps).reshape(PARTS, -1)
  return jax.lax.scan(part, start, indices)[1]


def train_all(problem: Problem, weighting: w.LossWeighting, seeds: Sequence[int]) -> Score:
  """Returns what `train` gives, for several seeds side by side.

  Args:
    problem: what is trained.
    weighting: decides the weights of the losses.
    seeds: of the models.
  """
  given = jnp.array(seeds), *_begun(problem.data, problem.start, tuple(seeds))
  run = jax.jit(jax.vmap(lambda *args: train(problem, weighting, *args)))
  return jax.device_get(run(*given))


@functools.cache
def _begun(data: Callable, start: Callable, seeds: tuple[int, ...]):
  """Returns data and first parameters, which take longer to compile than most trainings."""
  return jax.jit(jax.vmap(lambda seed: (data(seed), start(seed))))(jnp.array(seeds))
