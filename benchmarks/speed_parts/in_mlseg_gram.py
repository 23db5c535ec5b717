"""Gradients of eight losses of the multi-task network in mlseg, weighted by their Gram matrix."""

import resource
import time
from typing import Any

import jax
import jax.numpy as jnp

from mlseg import weighting as w
from mlseg.devices import compiler
from mlseg.recipe import model as recipe_model
from speed_parts import gram_problem, in_mlseg_multitask
from speed_parts import multitask_problem as problems
from speed_parts.in_mlseg import planned_memory
from speed_parts.problem import SMOOTH, Problem, make_data
from speed_parts.worker import Session

PyTree = Any


def losses_of(logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Returns the eight losses of logits [B, H, W, 2] and masks [B, H, W] of zeros and ones."""
  p = jax.nn.softmax(logits)[..., 1]
  tp, fp, fn = (p * masks).sum(), (p * (1 - masks)).sum(), ((1 - p) * masks).sum()
  alphas = jnp.array(gram_problem.ALPHAS)
  return 1 - (tp + SMOOTH) / (tp + alphas * fp + (1 - alphas) * fn + SMOOTH)


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Compiles a step; `options['keep']` is what is kept, or 'sum': one backward pass, no matrix."""
  config = in_mlseg_multitask.recipe(problem)
  model = recipe_model.make_model(config, problem.num_classes, problems.NUM_LABELS)
  images, masks = map(jnp.asarray, make_data(problem))

  def loss_fn(params: PyTree, state: PyTree, images: jax.Array, masks: jax.Array) -> Any:
    outputs, new = model.apply({**state, "params": params}, images, True)
    return losses_of(outputs.logits, masks.astype(jnp.float32)), new

  plain = options["keep"] == "sum"
  method = w.fixed() if plain else w.upgrad()
  compute = w.losses_and_gradients(loss_fn, method, keep="all" if plain else options["keep"])
  variables = dict(model.init(jax.random.key(problem.seed), images[:1]))
  params = variables.pop("params")
  arguments = params, method.init(jnp.zeros(len(gram_problem.ALPHAS))), variables, images, masks
  started = time.perf_counter()
  compiled = jax.jit(compute).lower(*arguments).compile(compiler.compiler_options())
  seconds = time.perf_counter() - started

  def train(steps: int) -> list[float]:
    for _ in range(steps):
      result, _ = compiled(*arguments)
    jax.block_until_ready(result)
    return [float(sum((g**2).sum() for g in jax.tree.leaves(result.gradients)))]

  def resident(steps: int) -> dict[str, int]:
    del steps
    return {"resident": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}

  facts = {
    "versions": {"jax": jax.__version__},
    "compile_seconds": seconds,
    "memory": planned_memory(compiled),
  }
  return Session(facts, {"train": train, "resident": resident})
