"""Several models of the reference network, trained by a strategy of `mlseg.devices.model_axis`."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.devices import compiler, model_axis, sharding
from speed_parts import in_mlseg
from speed_parts.problem import Problem
from speed_parts.worker import Session


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds `options['models']` models; a run trains all of them.

  `options['strategy']` is one of `model_axis.STRATEGIES`, or 'python' for a Python loop over a
  compiled step of one model. The models are spread over `options['devices']` devices.
  """
  count, devices = options["models"], options["devices"]
  if devices > 1 and options["device"] == "cpu":
    jax.config.update("jax_num_cpu_devices", devices)  # before the first array
  training = in_mlseg.make_training(problem, vectorized=options["strategy"] == "vmap")
  keys = jax.random.split(jax.random.key(problem.seed), count)
  mesh = sharding.make_mesh(sharding.Layout(devices, 1, 1)) if devices > 1 else None
  where = sharding.by_model(mesh) if mesh else None
  init = jax.jit(
    jax.vmap(training.init), out_shardings=where, compiler_options=compiler.init_options()
  )
  states = init(keys)
  batch = jax.device_put(training.batch, sharding.everywhere(mesh) if mesh else None)
  is_python = options["strategy"] == "python"
  started = time.process_time()
  if is_python:
    held = [jax.tree.map(lambda x, n=n: x[n], states) for n in range(count)]
    program = jax.jit(training.step, donate_argnums=0).lower(held[0], batch)
  else:
    held = [states]
    over = model_axis.over_models(
      lambda state, shared: training.many(state, *shared), options["strategy"], mesh
    )
    shared = (batch, jax.ShapeDtypeStruct((), jnp.int32))
    program = jax.jit(over, donate_argnums=0).lower(states, shared)
  compiled = program.compile(compiler.compiler_options())
  seconds = time.process_time() - started

  def train(steps: int) -> list[float]:
    """Returns the last loss of each model."""
    if is_python:
      logs = {}
      for _ in range(steps):
        for index, state in enumerate(held):
          held[index], logs[index] = compiled(state, batch)
      losses = [sum(log.losses.values()) for log in logs.values()]
    else:
      held[0], log = compiled(held[0], (batch, np.int32(steps)))
      losses = np.asarray(sum(log.losses.values()))
    jax.block_until_ready(held)
    return [float(loss) for loss in losses]

  facts = {"compile_cpu_seconds": seconds, "device": jax.devices()[0].device_kind}
  return Session(facts, {"train": train})
