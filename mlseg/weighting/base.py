"""The type of a loss weighting, and conversions between losses of any structure and a vector."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

Losses: TypeAlias = Any  # a pytree of K scalars, or one array [K]
Weights: TypeAlias = Any  # a pytree in the structure of the losses
State: TypeAlias = Any  # a pytree whose structure, shapes and dtypes never change


class LossWeighting(NamedTuple):
  """Two pure functions, as in optax, that decide how much each of K losses counts.

  `init(losses)` returns the first state. It reads only the structure, shapes and dtypes of the
  losses, and raises ValueError where the losses do not fit. The arrays of the state share no
  memory, so a compiled step may overwrite them (`donate_argnums`).

  `update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra)` returns the
  weights, in the structure and dtypes of the losses, and the next state. It never raises because of
  a value, never returns a weight that is not finite, and ignores keywords that it does not know.
  Its keywords: `weights`, the weights decided by the weighting before this one in a `chain` (None:
  uniform); `gram` [K, K], the inner products of the gradients of the losses, in the order of
  `jax.tree.leaves` (for a dict: of its sorted keys); `key`, a random key; `present`, which losses
  this step has, as bools in the structure of the losses or [K] (None: all). An absent loss gets the
  weight 0 and leaves no trace in the state, and the others are weighted as if they were alone.

  `needs_gram` tells whether `update` must be given `gram`.

  `decides_first` tells that `update` decides the weights from the state before the losses have
  entered it, so that these count fully from the next update on. `per_epoch` asks such a weighting
  again when it has seen an epoch, so that the epoch counts in the next one.
  """

  init: Callable[[Losses], State]
  update: Callable[..., tuple[Weights, State]]
  needs_gram: bool = False
  decides_first: bool = False


class EmptyState(NamedTuple):
  """The state of a weighting that keeps nothing between steps."""


def num_losses(losses: Losses) -> int:
  """Returns K.

  Args:
    losses: a pytree of K scalars, or one array [K]; arrays, numbers or `jax.ShapeDtypeStruct`.

  Raises:
    ValueError: where there is no loss, or a leaf is neither a scalar nor the one array [K].

  Example:
    >>> num_losses({"dice": 0.5, "focal": 0.1}), num_losses(np.zeros(3))
    (2, 3)
  """
  leaves = jax.tree.leaves(losses)
  shapes = [np.shape(leaf) for leaf in leaves]
  if len(shapes) == 1 and len(shapes[0]) == 1 and shapes[0][0] > 0:
    return shapes[0][0]
  if not shapes or any(shape != () for shape in shapes):
    raise ValueError(f"losses: must be K >= 1 scalars or one array [K], got shapes {shapes}")
  return len(shapes)


def state_dtype(losses: Losses) -> np.dtype:
  """Returns the dtype of the arrays of a state: float32, or float64 where the losses are.

  Args:
    losses: a pytree of K scalars, or one array [K].

  Example:
    >>> str(state_dtype([jnp.bfloat16(1), jnp.bfloat16(2)]))
    'float32'
  """
  num_losses(losses)  # raises where they are no losses
  with jax.numpy_dtype_promotion("standard"):
    dtype = jnp.promote_types(jnp.result_type(*jax.tree.leaves(losses)), jnp.float32)
  if jnp.issubdtype(dtype, jnp.complexfloating):
    raise ValueError(f"losses: must be real, got the dtype {dtype}")
  return dtype


def ravel(losses: Losses) -> tuple[jax.Array, Callable[[jax.Array], Weights]]:
  """Returns the losses as one vector, and the function that gives such a vector their structure.

  Args:
    losses: a pytree of K scalars, or one array [K].

  Returns:
    The vector [K] in the dtype of `state_dtype`, and a function from [K] to a pytree like `losses`,
    its leaves in the dtypes of the losses (float32 where a loss is an integer). A number beyond the
    largest of that dtype becomes the largest.

  Example:
    >>> vector, unravel = ravel({"b": 2.0, "a": 1.0})
    >>> vector.tolist(), {name: float(value) for name, value in unravel(10 * vector).items()}
    ([1.0, 2.0], {'a': 10.0, 'b': 20.0})
  """
  leaves, structure = jax.tree.flatten(losses)
  arrays = [jnp.asarray(leaf) for leaf in leaves]
  dtype = state_dtype(arrays)
  dtypes = [a.dtype if jnp.issubdtype(a.dtype, jnp.floating) else dtype for a in arrays]
  if len(arrays) == 1 and arrays[0].ndim == 1:
    return arrays[0].astype(dtype), lambda vector: jax.tree.unflatten(
      structure, [_narrow(vector, dtypes[0])]
    )

  def unravel(vector: jax.Array) -> Weights:
    return jax.tree.unflatten(structure, [_narrow(vector[k], t) for k, t in enumerate(dtypes)])

  return jnp.stack([a.astype(dtype) for a in arrays]), unravel


def _narrow(values: jax.Array, dtype: np.dtype) -> jax.Array:
  """Returns the values in a dtype; those beyond its largest number become that number."""
  largest = float(jnp.finfo(dtype).max)
  bounded = jnp.clip(values, -largest, largest) if dtype != values.dtype else values
  return bounded.astype(dtype)


def ravel_weights(
  weights: Weights | None, losses: jax.Array, present: jax.Array | None = None
) -> jax.Array:
  """Returns the weights decided earlier in a chain, as a vector; uniform where there are none.

  Args:
    weights: a pytree like the losses, or None.
    losses: [K], the losses as a vector.
    present: [K], bool: the losses that count, or None for all; the others get the weight 0.

  Returns:
    [K], in the dtype of `losses`.

  Example:
    >>> ravel_weights(None, jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
  """
  if weights is None:
    return uniform(losses, present)
  vector = ravel(weights)[0].astype(losses.dtype)
  return vector if present is None else jnp.where(present, vector, 0)


def uniform(like: jax.Array, present: jax.Array | None = None) -> jax.Array:
  """Returns 1/K for each loss; with a mask 1/n for the n present ones, and 0 for the others.

  Args:
    like: [K], of which only shape and dtype are read.
    present: [K], bool, or None.

  Example:
    >>> uniform(jnp.zeros(4), jnp.array([True, False, True, False])).tolist()
    [0.5, 0.0, 0.5, 0.0]
  """
  if present is None:
    return jnp.full_like(like, 1 / like.size)
  mask = present.astype(like.dtype)
  return mask / jnp.maximum(mask.sum(), 1)


def all_finite(values: jax.Array) -> jax.Array:
  """Returns whether no value is NaN or infinite, as a scalar.

  Args:
    values: [...].

  Example:
    >>> bool(all_finite(jnp.array([1.0, jnp.inf])))
    False
  """
  return jnp.isfinite(values).all()


def normalize(scores: jax.Array, present: jax.Array | None = None) -> jax.Array:
  """Returns w_k = s_k / sum_j s_j, or uniform weights where that is not defined.

  Args:
    scores: s, [K]. Uniform weights result if one is negative or not finite, or all are 0.
    present: [K], bool: the losses that count, or None for all; the others get the weight 0.

  Returns:
    [K], sum 1.

  Example:
    >>> normalize(jnp.array([3e38, 3e38])).tolist(), normalize(jnp.zeros(2)).tolist()
    ([0.5, 0.5], [0.5, 0.5])
  """
  scores = scores if present is None else jnp.where(present, scores, 0)
  shrunk, _ = shrink(scores)
  useful = all_finite(scores) & (scores >= 0).all() & (shrunk.sum() > 0)
  if present is not None:
    return jnp.where(useful, shrunk / jnp.where(useful, shrunk.sum(), 1), uniform(scores, present))
  parts = jnp.where(useful, shrunk, 1)
  return parts / parts.sum()


def shrink(values: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the values times a power of two, small enough that they can be summed and divided by.

  The sum of huge values would be infinite. And the compiler may divide by multiplying with a
  reciprocal, which is flushed to 0 for a huge divisor.

  Args:
    values: [K].

  Returns:
    The values [K] times the factor, and the factor, a scalar: 1 where no value is huge.

  Example:
    >>> shrunk, factor = shrink(jnp.array([3e38, 3e38]))
    >>> bool(jnp.isfinite(shrunk.sum())), (shrunk / factor == 3e38).tolist()
    (True, [True, True])
  """
  factor = jnp.where(jnp.abs(values).max() > 2.0**32, 2.0**-64, 1.0).astype(values.dtype)
  return values * factor, factor
