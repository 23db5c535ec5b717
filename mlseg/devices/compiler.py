"""Options of the XLA compiler for training, and for programs that run once."""

import functools
from typing import Any

import jax


@functools.cache
def compiler_options() -> dict[str, Any]:
  """Returns XLA options that make training faster on this platform, if this version has them.

  Only the CPU needs options. There jaxlib 0.10 hands convolutions to a library whose weight
  gradient is slow; the first option restricts that library to reductions, in which it is faster.
  The second option keeps XLA from removing the barriers of `jax.checkpoint` before it merges equal
  computations; otherwise it would merge each recomputation with the first computation, and
  rematerialisation would save no memory.

  Returns:
    The options by name, for `compiler_options` of `jax.jit`; empty on other platforms.
  """
  if jax.default_backend() != "cpu":
    return {}
  options = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    "xla_disable_hlo_passes": "cse_barrier_expander",
  }
  return {name: value for name, value in options.items() if _compiles_with({name: value})}


def init_options() -> dict[str, Any]:
  """Returns XLA options for programs that run once; the CPU's compile in a fifth of the time."""
  return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}


def _compiles_with(options: dict[str, Any]) -> bool:
  """Returns whether this version of XLA compiles with the options."""
  function = jax.jit(lambda x: jax.lax.optimization_barrier(2 * x) + 1, compiler_options=options)
  try:
    function.lower(1.0).compile()
  except Exception:  # the options are experimental: another version may not know or accept them
    return False
  return True
