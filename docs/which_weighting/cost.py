"""Measures the time of a training step of each method, relative to that of the plain sum."""

import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import methods
import training

from mlseg import files

NUM_STEPS, NUM_ROUNDS = 300, 7


def measure(path: pathlib.Path) -> None:
  """Writes a row for each problem and method; steps of all methods are measured in turn.

  Args:
    path: of the CSV file.
  """
  rows = []
  for name in methods.PROBLEMS:
    compiled = {
      method: _compiled(problem._replace(num_steps=NUM_STEPS), weighting)
      for method, (problem, weighting) in methods.cases(name, 1.0).items()
    }
    rounds = [
      {method: _seconds(run) for method, run in compiled.items()} for _ in range(NUM_ROUNDS)
    ]
    for method in compiled:
      ratios = sorted(one[method] / one[methods.PLAIN] for one in rounds)
      row = {"problem": name, "method": method, "step_ratio": statistics.median(ratios)}
      rows.append(row | {"low": ratios[0], "high": ratios[-1]})
      print(*rows[-1].values(), flush=True)
    files.write_file(path, files.to_csv(rows))


def _compiled(problem: training.Problem, weighting):
  """Returns a compiled training of one model, without arguments."""
  seed = jnp.int32(0)
  given = seed, *jax.jit(lambda seed: (problem.data(seed), problem.start(seed)))(seed)
  run = jax.jit(lambda *args: training.train(problem, weighting, *args)).lower(*given).compile()
  return lambda: jax.block_until_ready(run(*given))


def _seconds(run) -> float:
  start = time.perf_counter()
  run()
  return time.perf_counter() - start
