"""What a weighting adds to a training step, beside fixed weights, on the network of a config.

    python benchmarks/weighting_overhead.py --config=configs/dmf_busi.py --config.batch_size=8

The variants are compiled once and run in turn, in an order that is drawn anew in every round, so
that what else the machine does meets all of them alike. Printed are the median and the quartiles
over rounds of the ratio to fixed weights in the same round. A ratio so near 1 drowns in the noise
of a shared machine: beside it stands the time of the weighting alone, in a compiled loop, as a
share of the step.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import builders, main
from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.programs import build_programs, device_data

ROUNDS = 25
STEPS = 2
ALONE_STEPS = 20_000
VARIANTS = ("fixed", "variance", "mad", "bayesian")


def _config(base: ConfigDict, variant: str) -> ConfigDict:
  config = base.copy_and_resolve_references()
  config.auxiliary.name = "none"
  config.weighting.name = "fixed" if variant == "fixed" else "dynamic_memory_fusion"
  config.weighting.statistic = "variance" if variant == "fixed" else variant
  config.weighting.min_history = 2  # so that the statistics are at work from the start
  return config


def _stepper(config: ConfigDict, cases: Cases, split: Split) -> Callable[[], float]:
  """Returns a function that trains a few steps and says how long one took, in seconds."""
  programs = build_programs(config, cases, split)
  run = programs.training().run
  data = device_data(cases, split)
  state: list[Any] = [programs.init(jax.random.key(0))]

  def step() -> float:
    started = time.perf_counter()
    state[0], log = run(state[0], data, np.int32(STEPS))
    jax.block_until_ready((state[0], log))
    return (time.perf_counter() - started) / STEPS

  step()  # the first run allocates
  return step


def _alone(config: ConfigDict) -> float:
  """Returns the seconds of one update of the weighting in a compiled loop."""
  weighting = builders.make_weighting(config)
  names = builders.loss_names(config)
  losses = {name: jax.random.uniform(jax.random.key(i), (1000,)) for i, name in enumerate(names)}
  zeros = {name: jnp.zeros(()) for name in names}

  @jax.jit
  def loop(state: Any) -> Any:
    def body(i: jax.Array, carry: Any) -> Any:
      state, total = carry
      weights, state = weighting.update({n: v[i % 1000] for n, v in losses.items()}, state)
      return state, jax.tree.map(jnp.add, total, weights)

    return jax.lax.fori_loop(0, ALONE_STEPS, body, (state, zeros))

  jax.block_until_ready(loop(weighting.init(zeros)))
  started = time.perf_counter()
  jax.block_until_ready(loop(weighting.init(zeros)))
  return (time.perf_counter() - started) / ALONE_STEPS


def benchmark(base: ConfigDict) -> str:
  """Returns the table, in Markdown."""
  cases = builders.make_cases(base)
  split = builders.make_split(base, cases, None, base.seed)
  configs = {variant: _config(base, variant) for variant in VARIANTS}
  steppers = {variant: _stepper(config, cases, split) for variant, config in configs.items()}
  times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
  order = list(VARIANTS)
  for _ in range(ROUNDS):
    random.shuffle(order)
    for variant in order:
      times[variant].append(steppers[variant]())
  step = statistics.median(times["fixed"])
  lines = [
    f"{jax.devices()[0].device_kind}, jax {jax.__version__}, batch {base.batch_size},"
    f" {base.data.image_size}×{base.data.image_size}, {ROUNDS} rounds of {STEPS} steps;"
    f" a step with fixed weights takes {1000 * step:.1f} ms",
    "",
    "| weighting | step, ratio to fixed | quartiles | alone, µs | alone, share of the step |",
    "|---|---|---|---|---|",
  ]
  for variant in VARIANTS:
    ratios = [a / b for a, b in zip(times[variant], times["fixed"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    alone = _alone(configs[variant])
    lines.append(
      f"| {variant} | {middle:.4f} | {low:.4f} to {high:.4f} | {1e6 * alone:.1f}"
      f" | {100 * alone / step:.4f} % |"
    )
  return "\n".join(lines)


if __name__ == "__main__":
  print(benchmark(main.parse([*sys.argv[:1], "--config=configs/dmf_busi.py", *sys.argv[1:]])[0]))
