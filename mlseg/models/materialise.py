"""Keeps the compiler from computing an array again wherever it is read."""

import jax


def materialised(array: jax.Array) -> jax.Array:
  """Returns the array, on the CPU written to memory before anything reads it.

  XLA on the CPU otherwise computes a cheap elementwise result anew inside each of its readers. A
  transposition for a weight gradient then gathers all the arrays that it is made of, against their
  order in memory: 19 ms instead of 2 for a layer of 128×128×16. Elsewhere fusion is welcome.

  It holds in programs compiled with `builders.compiler_options`, as those of training are; without
  them XLA on the CPU removes the barrier before it fuses.
  """
  if jax.default_backend() != "cpu":
    return array
  return jax.lax.optimization_barrier(array)
