"""The reference network in mlseg, trained by the functions with which mlseg trains its runs."""

import resource
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg import models, weighting
from mlseg.devices import compiler
from mlseg.recipe import loss_table
from mlseg.recipe import model as recipe_model
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from speed_parts import problem as problems
from speed_parts.problem import Problem
from speed_parts.worker import Session

PyTree = Any
RUNS = ("train", "many", "evaluate")


class Training(NamedTuple):
  """The pure functions of a training, and its data.

  Attributes:
    init: `init(key) -> TrainState`.
    step: `step(state, batch) -> (state, StepLog)`.
    many: `many(state, batch, num_steps) -> (state, StepLog)`, many steps in one program.
    forward: `forward(variables, images) -> logits`, or a tuple of the logits of several heads.
    batch: the batch that every step reads.
  """

  init: Callable[[jax.Array], train_step.TrainState]
  step: Callable[..., tuple[train_step.TrainState, train_step.StepLog]]
  many: Callable[..., tuple[train_step.TrainState, train_step.StepLog]]
  forward: Callable[[PyTree, jax.Array], PyTree]
  batch: batches.Batch


def make_module(problem: Problem, dtype: str = "float32", remat: bool = False) -> models.UNet:
  """Returns the reference network."""
  return models.UNet(
    num_classes=problem.num_classes,
    depth=problem.depth,
    filters=problem.filters,
    convs_per_level=2,
    decoder_convs=2,
    norm_momentum=problems.NORM_MOMENTUM,
    upsampling="transposed2",
    upsampling_norm=False,
    remat=remat,
    dtype=recipe_model.DTYPES[dtype],
  )


def make_training(
  problem: Problem,
  dtype: str = "float32",
  remat: bool = False,
  losses: tuple[str, ...] = problems.LOSSES,
  num_microbatches: int = 1,
  vectorized: bool = False,
  repeats: int = 1,
) -> Training:
  """Returns the training of the reference network under equally weighted losses, or repeats."""
  model = models.from_linen(make_module(problem, dtype, remat))
  functions = {name: loss_table.LOSSES[name].function for name in losses}
  loss_fn, names = objective.make_loss_fn(model, functions, problem.num_classes), tuple(losses)
  if repeats > 1:
    loss_fn = repeated(loss_fn, repeats)
    names = tuple(f"{name} {n}" for n in range(repeats) for name in losses)
  optimizer, fixed = optax.adam(problems.LEARNING_RATE), weighting.fixed()
  step = train_step.make_step(loss_fn, optimizer, fixed, num_microbatches=num_microbatches)
  many = train_step.make_run(step, lambda batch, key, number: batch, not vectorized)
  images, masks = problems.make_data(problem)

  def init(key: jax.Array) -> train_step.TrainState:
    variables = model.init(key, jnp.zeros_like(images[:1]))
    return train_step.init_state(key, variables, optimizer, fixed, names)

  def forward(variables: PyTree, images: jax.Array) -> jax.Array:
    return model.apply(variables, images, False)[0].logits

  batch = batches.Batch(jnp.asarray(images), jnp.asarray(masks))
  return Training(init, step, many, forward, batch)


def repeated(loss_fn: weighting.SplitLoss, times: int) -> weighting.SplitLoss:
  """Returns the losses several times, each time of other logits, so that all are computed."""

  def values(outputs: PyTree, *rest: PyTree) -> dict[str, jax.Array]:
    found = {}
    for n in range(times):
      own = outputs._replace(logits=(1 + 1e-3 * n) * outputs.logits)
      found |= {f"{name} {n}": value for name, value in loss_fn.losses(own, *rest).items()}
    return found

  return weighting.SplitLoss(loss_fn.forward, values)


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds the network and compiles the runs that `options['runs']` names, by default all."""
  keys = ("dtype", "remat", "losses", "num_microbatches", "repeats")
  training = make_training(problem, **{key: options[key] for key in keys if key in options})
  return session_of(training, problem.seed, options)


def session_of(training: Training, seed: int, options: dict[str, Any]) -> Session:
  """Compiles the runs of a training that `options['runs']` names, by default all of `RUNS`."""
  init = jax.jit(training.init, compiler_options=compiler.init_options())
  state = init(jax.random.key(seed))
  params = sum(leaf.size for leaf in jax.tree.leaves(state.variables["params"]))
  batch, count = training.batch, jax.ShapeDtypeStruct((), jnp.int32)
  programs = {
    "train": (training.step, (0,), (state, batch)),
    "many": (training.many, (0,), (state, batch, count)),
    "evaluate": (training.forward, (), (state.variables, batch.images)),
  }
  compiled, seconds, memory = {}, {}, {}
  for name in options.get("runs", RUNS):
    function, donated, arguments = programs[name]
    started = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=donated).lower(*arguments)
    compiled[name] = lowered.compile(compiler.compiler_options())
    seconds[name] = time.perf_counter() - started
    memory[name] = planned_memory(compiled[name])
  held = [state]

  def train(steps: int) -> float:
    for _ in range(steps):
      held[0], log = compiled["train"](held[0], batch)
    return _total(held[0], log)

  def many(steps: int) -> float:
    held[0], log = compiled["many"](held[0], batch, np.int32(steps))
    return _total(held[0], log)

  def evaluate(steps: int) -> float:
    for _ in range(steps):
      logits = compiled["evaluate"](held[0].variables, batch.images)
    return float(sum(part.sum() for part in jax.tree.leaves(logits)))

  def resident(steps: int) -> dict[str, int]:
    """Returns the peak memory of the process in bytes, and that of the GPU if there is one."""
    del steps
    sizes = {"resident": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    stats = jax.devices()[0].memory_stats()
    return sizes | {"device": stats["peak_bytes_in_use"]} if stats else sizes  # None on a CPU

  runs = {"train": train, "many": many, "evaluate": evaluate}
  runs = {name: run for name, run in runs.items() if name in compiled}
  facts = {
    "params": params,
    "versions": {"jax": jax.__version__, "jaxlib": jax.lib.__version__},
    "device": jax.devices()[0].device_kind,
    "compile_seconds": seconds,
    "memory": memory,
  }
  next(iter(runs.values()))(1)
  facts["seconds_to_first_step"] = time.time() - options["started"]
  return Session(facts, {**runs, "resident": resident})


def _total(state: train_step.TrainState, log: train_step.StepLog) -> float:
  jax.block_until_ready(state)
  return float(sum(log.losses.values()))


def planned_memory(compiled: jax.stages.Compiled) -> dict[str, int]:
  """Returns the memory that XLA plans, in bytes by kind; {} if the platform does not report it."""
  analysis = compiled.memory_analysis()
  names = ("argument", "output", "temp", "alias")
  sizes = {name: getattr(analysis, f"{name}_size_in_bytes", None) for name in names}
  return {name: size for name, size in sizes.items() if size is not None}
