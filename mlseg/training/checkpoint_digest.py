"""The arrays of a state by name, and a digest that tells a damaged state from a good one."""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def is_key(leaf: Any) -> bool:
  """Returns whether an array of a state is a random key."""
  return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def flatten_names(tree: PyTree) -> list[str]:
  """Returns the names of a state's arrays: their paths, with dots."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]


def flatten(tree: PyTree) -> dict[str, Any]:
  """Returns the arrays of a state by their names, random keys as the integers behind them."""
  values = [jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(tree)]
  return dict(zip(flatten_names(tree), values, strict=True))


_SMALL = 2**14  # entries of an array of one model


def _words(array: jax.Array) -> jax.Array:
  """Returns the bits of each entry as uint32."""
  if array.dtype == jnp.bool_:
    return array.astype(jnp.uint32)
  size = array.dtype.itemsize
  unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[size]
  return jax.lax.bitcast_convert_type(array, unsigned).astype(jnp.uint32)


def _mixed(words: jax.Array) -> jax.Array:
  """Returns words of which every bit depends on every bit (the finaliser of MurmurHash3)."""
  words = (words ^ (words >> 16)) * jnp.uint32(0x85EBCA6B)
  words = (words ^ (words >> 13)) * jnp.uint32(0xC2B2AE35)
  return words ^ (words >> 16)


def digest(arrays: dict[str, jax.Array], num_models: int) -> jax.Array:
  """Returns 64 bits that depend on name, position and value of every entry, [2] uint32.

  It is a sum of integers, so it does not depend on which device holds which part.

  Args:
    arrays: [models, ...] each.
    num_models: how many of the models count.
  """
  sums = [
    _sums(words, zlib.crc32(name.encode()), num_models)
    for name, words in _joined({name: _words(arrays[name]) for name in sorted(arrays)}).items()
  ]
  # One sum over all: a chain of additions compiles in a time that grows as its square.
  return jax.lax.optimization_barrier(jnp.stack(sums)).sum(axis=0, dtype=jnp.uint32)


def _joined(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """Returns the arrays with the small ones joined: each array takes time to compile."""
  small = [name for name, array in arrays.items() if math.prod(array.shape[1:]) <= _SMALL]
  rest = {name: array for name, array in arrays.items() if name not in small}
  if not small:
    return rest
  flat = [arrays[name].reshape(arrays[name].shape[0], -1) for name in small]
  return rest | {" ".join(small): jnp.concatenate(flat, axis=1)}


def _sums(words: jax.Array, salt: int, num_models: int) -> jax.Array:
  """Returns two sums of the hashed words [models, ...] of the models that count, [2] uint32."""
  position = jnp.zeros(words.shape, jnp.uint32)
  for axis, size in enumerate(words.shape):
    position = position * size + jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
  position = _mixed(position + jnp.uint32(salt))
  counts = jax.lax.broadcasted_iota(jnp.int32, words.shape, 0) < num_models
  hashed = [
    jnp.where(counts, _mixed(words ^ (position * jnp.uint32(factor))), 0).sum(dtype=jnp.uint32)
    for factor in (0x9E3779B1, 0x7FEB352D)
  ]
  return jnp.stack(hashed)
