"""TODO mlseg.devices.compiler."""

import functools
from typing import Any

import jax


@functools.cache
def compiler_options() -> dict[str, Any]:
  """Returns XLA options that make training faster on this platform, where the version knows them.

  On the CPU, jaxlib 0.10 hands convolutions to a library whose weight gradient is slow; the first
  option keeps that library for reductions, where it is the faster one. The second keeps XLA from
  removing the barriers of `jax.checkpoint` before it merges equal computations, by which it would
  merge every recomputation with the first computation, and save no memory.
  """
  if jax.default_backend() != "cpu":
    return {}
  options = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    "xla_disable_hlo_passes": "cse_barrier_expander",
  }
  return {name: value for name, value in options.items() if _compiles_with({name: value})}


def init_options() -> dict[str, Any]:
  """Returns XLA options for a program that runs once: on the CPU a fifth of the time to compile."""
  return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}


def _compiles_with(options: dict[str, Any]) -> bool:
  """Returns whether this version of XLA knows the options."""
  function = jax.jit(lambda x: jax.lax.optimization_barrier(2 * x) + 1, compiler_options=options)
  try:
    function.lower(1.0).compile()
  except Exception:  # the options are experimental: a version may name or reject them differently
    return False
  return True
