"""Runs for the part 'floor': matrix products, copies, training steps, and steps of many models."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from mlseg.devices import compiler, model_axis
from mlseg.models.layers import onednn
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import optimizer as recipe_optimizer
from mlseg.recipe import parse
from mlseg.recipe import weighting as recipe_weighting
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from speed_parts import in_mlseg
from speed_parts import problem as problems
from speed_parts.problem import Problem
from speed_parts.worker import Session

PyTree = Any
Run = Callable[[int], None]


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Compiles a matrix product, a copy, and the steps of a type; the facts hold their sizes."""
  side, length = options["side"], options["length"]
  dtype = jnp.dtype(options["dtype"])
  facts: dict[str, Any] = {"matmul_operations": 2 * side**3, "device": jax.devices()[0].device_kind}
  runs = {"matmul": _matmul(side, dtype)}
  vector = jnp.ones(length, jnp.float32)
  runs["copy"] = _repeat(jax.jit(lambda a: a * 1.5), vector)
  facts["copy_bytes"] = 2 * vector.nbytes
  training = in_mlseg.make_training(problem, dtype=options["dtype"])
  init = jax.jit(training.init, compiler_options=compiler.init_options())
  state = init(jax.random.key(problem.seed))
  with onednn.unused():  # whose calls say nothing of their operations
    jaxpr = jax.make_jaxpr(training.step)(state, training.batch)
  facts["operations"], facts["megabytes"] = count(jaxpr.jaxpr)
  jax.clear_caches()  # of what was traced without it
  step = jax.jit(training.step, donate_argnums=0).lower(state, training.batch)
  runs["step"] = _train(step.compile(compiler.compiler_options()), state, training.batch)
  for number in options["models"]:
    runs[f"models {number}"] = many_models(number, options)
  return Session(facts, runs)


def _matmul(side: int, dtype: jnp.dtype) -> Run:
  """Returns a product of matrices [side, side], as a 1×1 convolution where oneDNN is used."""
  matrix = jnp.full((side, side), 1 / side, dtype)
  if not onednn.is_used(matrix):
    return _repeat(jax.jit(jnp.matmul), matrix, matrix)
  images, kernel = matrix.reshape(1, 32, -1, side), matrix.reshape(1, 1, side, side)
  product = jax.jit(lambda a, b: onednn.convolve(a, b, ((0, 0), (0, 0))))
  return _repeat(product, images, kernel)


def _repeat(function: Callable[..., Any], *arguments: jax.Array) -> Run:
  def run(times: int) -> None:
    for _ in range(times):
      result = function(*arguments)
    jax.block_until_ready(result)

  return run


def _train(compiled: Any, state: PyTree, *rest: PyTree) -> Run:
  held = [state]

  def run(steps: int) -> None:
    for _ in range(steps):
      held[0], _ = compiled(held[0], *rest)
    jax.block_until_ready(held[0])

  return run


def count(jaxpr: Any) -> tuple[float, float]:
  """Returns the operations of convolutions and matrix products, and the MB of their operands.

  Each operand is counted once, the least that must be read or written. Everything between the
  products (batch norm, activations, the optimiser) could be fused into them, and is not counted.
  """
  operations, moved = 0.0, 0.0
  for equation in _equations(jaxpr):
    if equation.primitive.name not in ("conv_general_dilated", "dot_general"):
      continue
    left, right = (variable.aval for variable in equation.invars)
    (out,) = (variable.aval for variable in equation.outvars)
    if equation.primitive.name == "dot_general":
      (contracted, _), _ = equation.params["dimension_numbers"]
      inner = np.prod([left.shape[axis] for axis in contracted])
    else:
      spec = equation.params["dimension_numbers"].rhs_spec
      # All axes of the kernel but the outputs; an image that is dilated with zeros counts once.
      inner = np.prod([right.shape[axis] for axis in spec[1:]])
      inner /= np.prod(equation.params["lhs_dilation"])
    operations += 2.0 * out.size * inner
    moved += sum(a.size * a.dtype.itemsize for a in (left, right, out)) / 1e6
  return operations, moved


def _equations(jaxpr: Any) -> Iterator[Any]:
  for equation in jaxpr.eqns:
    yield equation
    for inner in core.jaxprs_in_params(equation.params):
      yield from _equations(inner)


def many_models(number: int, options: dict[str, Any]) -> Run:
  """Returns a run of training steps of several models of a recipe, by the strategy 'auto'."""
  config = parse.parse(["", f"--config={options['config']}"])[0]
  model = recipe_model.make_model(config, 2)
  losses = recipe_losses.make_losses(recipe_losses.read(config), 2)
  method = recipe_weighting.make_weighting(config, 14)
  optimizer = recipe_optimizer.make_optimizer(config, 280)
  loss_fn = objective.make_loss_fn(model, losses, 2)
  step = train_step.make_step(loss_fn, optimizer, method)
  pictures = Problem(size=config.data.image_size, batch=config.batch_size)
  images, masks = map(jnp.asarray, problems.make_data(pictures))
  batch = batches.Batch(images, masks)

  def init(key: jax.Array) -> train_step.TrainState:
    variables = model.init(key, images[:1])
    return train_step.init_state(key, variables, optimizer, method, tuple(losses))

  strategy = model_axis.choose("auto", number, jax.default_backend(), 1)
  keys = jax.random.split(jax.random.key(0), number)
  states = jax.jit(jax.vmap(init), compiler_options=compiler.init_options())(keys)
  over = model_axis.over_models(step, strategy)
  program = jax.jit(over, donate_argnums=0).lower(states, batch)
  compiled = program.compile(compiler.compiler_options())
  return _train(compiled, states, batch)
