"""The reference network on a data set in the device's memory, whose batches are gathered."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data import pipeline
from mlseg.devices import compiler
from mlseg.training import batches
from mlseg.training import step as train_step
from speed_parts import in_mlseg
from speed_parts.problem import Problem, make_data
from speed_parts.worker import Session


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Compiles a run of steps, each of which draws its batch among `options['cases']` images."""
  count = options["cases"]
  training = in_mlseg.make_training(problem)
  images, masks = make_data(problem)
  grey = np.clip(255 * images, 0, 255).astype(np.uint8)
  copies = -(-count // problem.batch)
  data = tuple(jnp.asarray(np.concatenate([part] * copies)[:count]) for part in (grey, masks))

  def batch_at(data: Any, key: jax.Array, number: jax.Array) -> batches.Batch:
    index = pipeline.batch_indices(jnp.arange(count), key, number, problem.batch)
    return batches.Batch(pipeline.to_float(data[0][index]), data[1][index])

  many = train_step.make_run(training.step, batch_at)
  init = jax.jit(training.init, compiler_options=compiler.init_options())
  held = [init(jax.random.key(problem.seed))]
  program = jax.jit(many, donate_argnums=0).lower(
    held[0], data, jax.ShapeDtypeStruct((), jnp.int32)
  )
  compiled = program.compile(compiler.compiler_options())

  def train(steps: int) -> float:
    held[0], log = compiled(held[0], data, np.int32(steps))
    jax.block_until_ready(held[0])
    return float(sum(log.losses.values()))

  return Session({"device": jax.devices()[0].device_kind}, {"train": train})
