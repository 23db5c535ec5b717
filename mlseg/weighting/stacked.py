"""Gradients of K losses as one pytree, the losses along the first axis of every leaf.

Methods that need more than the Gram matrix of the gradients are optax transformations; they are in
`from_gradients`. Like `combine_gradients` they take updates in the structure of the parameters with
that axis, and return updates without it. What `combine_gradients` notes on other wrappers of optax
holds for all of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg.weighting.base import Losses, Weights, all_finite, uniform
from mlseg.weighting.checks import check_integer
from mlseg.weighting.presence import as_mask

PyTree = Any


def gram_of(gradients: PyTree) -> jax.Array:
  """Returns the Gram matrix of the gradients: G_ij = sum over all coordinates of g_i g_j.

  Every leaf is converted to float32 first (float64 where a leaf is), so that sums over many small
  numbers do not stop growing, and so that accelerators do not shorten the factors of products. A
  complex leaf counts as its real and imaginary parts, so G_ij = Re Σ conj(g_i) g_j.

  Args:
    gradients: a pytree of arrays [K, ...], at least one.

  Returns:
    [K, K].

  Example:
    >>> gradients = {"a": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "b": jnp.array([1.0, -1.0])}
    >>> gram_of(gradients).tolist()
    [[6.0, 1.0], [1.0, 2.0]]
    >>> gram_of(jnp.array([[1j], [1.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
  """
  leaves = jax.tree.leaves(as_real(gradients))
  dtype = wide_dtype(leaves)
  rows = [leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in leaves]
  products = (jnp.matmul(row, row.T, precision=jax.lax.Precision.HIGHEST) for row in rows)
  return functools.reduce(jnp.add, products)


def weighted_sum(weights: jax.Array, gradients: PyTree) -> PyTree:
  """Returns sum_k w_k g_k, summed in float32 (float64 where the weights are).

  Args:
    weights: [K].
    gradients: a pytree of arrays [K, ...].

  Returns:
    A pytree of arrays [...], each in the dtype of its leaf.

  Example:
    >>> combined = weighted_sum(jnp.array([2.0, 1.0]), {"a": jnp.array([[1.0, 2.0], [0.0, 1.0]])})
    >>> combined["a"].tolist()
    [2.0, 5.0]
  """

  def combine(leaf: jax.Array) -> jax.Array:
    dtype = jnp.promote_types(leaf.dtype, weights.dtype)
    row = leaf.reshape(leaf.shape[0], -1).astype(dtype)
    total = jnp.matmul(weights.astype(dtype), row, precision=jax.lax.Precision.HIGHEST)
    return total.reshape(leaf.shape[1:]).astype(leaf.dtype)

  return jax.tree.map(combine, gradients)


def as_real(tree: PyTree) -> PyTree:
  """Returns the tree with real leaves: of complex leaves [...] the real and imaginary parts.

  Args:
    tree: a pytree of arrays.

  Returns:
    A pytree of real arrays: [..., 2] where the leaf is complex, else the leaf itself.

  Example:
    >>> as_real({"a": jnp.array([1 + 2j]), "b": jnp.array([3.0])})
    {'a': Array([[1., 2.]], dtype=float32), 'b': Array([3.], dtype=float32)}
  """

  def split(leaf: jax.Array) -> jax.Array:
    if not jnp.issubdtype(leaf.dtype, jnp.complexfloating):
      return leaf
    return jnp.stack([jnp.real(leaf), jnp.imag(leaf)], axis=-1)

  return jax.tree.map(split, tree)


def as_complex(tree: PyTree, like: PyTree) -> PyTree:
  """Returns the tree with complex leaves where those of another one are: undoes `as_real`.

  Args:
    tree: a pytree of real arrays.
    like: a pytree of the same structure, of which only the dtypes are read.

  Example:
    >>> as_complex(jnp.array([[1.0, 2.0]]), jnp.array([0j])).tolist()
    [(1+2j)]
  """

  def join(leaf: jax.Array, other: jax.Array) -> jax.Array:
    if not jnp.issubdtype(other.dtype, jnp.complexfloating):
      return leaf
    return jax.lax.complex(leaf[..., 0], leaf[..., 1])

  return jax.tree.map(join, tree, like)


def wide_dtype(tree: PyTree) -> np.dtype:
  """Returns the real dtype to sum in: float32, or float64 where a leaf or a part of it is.

  Args:
    tree: a pytree of arrays, or of `jax.ShapeDtypeStruct`.

  Example:
    >>> str(wide_dtype([jnp.bfloat16(1), jnp.complex64(2)]))
    'float32'
  """
  dtypes = (leaf.dtype for leaf in jax.tree.leaves(tree))
  widest = functools.reduce(jnp.promote_types, dtypes, jnp.dtype(jnp.float32))
  return np.dtype(jnp.finfo(widest).dtype)  # of a complex dtype: that of its parts


def stacked_zeros(params: PyTree, num_losses: int) -> PyTree:
  """Returns zeros into which the gradients of K losses can be summed.

  Args:
    params: a pytree of arrays [...].
    num_losses: K.

  Returns:
    A pytree of zeros [K, ...], in float32 (float64 where the leaf is; complex where it is).

  Example:
    >>> stacked_zeros({"a": jnp.ones(3, jnp.bfloat16)}, 2)
    {'a': Array([[0., 0., 0.],
                 [0., 0., 0.]], dtype=float32)}
  """

  def zeros(leaf: jax.Array) -> jax.Array:
    return jnp.zeros((num_losses, *leaf.shape), jnp.promote_types(leaf.dtype, jnp.float32))

  return jax.tree.map(zeros, params)


def check_stacked(gradients: PyTree, num_losses: int) -> None:
  """Raises ValueError unless every leaf has the K losses along its first axis.

  Args:
    gradients: a pytree of arrays.
    num_losses: K.

  Example:
    >>> check_stacked({"a": jnp.zeros((2, 4))}, 3)
    Traceback (most recent call last):
    ...
    ValueError: updates: must have the K = 3 losses along the first axis, got shapes {'a': (2, 4)}
  """
  shapes = jax.tree.map(jnp.shape, gradients)
  if any(jnp.shape(leaf)[:1] != (num_losses,) for leaf in jax.tree.leaves(gradients)):
    raise ValueError(
      f"updates: must have the K = {num_losses} losses along the first axis, got shapes {shapes}"
    )


def mask_of(num_losses: int, losses: Losses | None, present: Weights | None) -> jax.Array | None:
  """Returns which losses are present as a vector [K] of bools, or None where all are.

  Args:
    num_losses: K.
    losses: a pytree of K scalars, or one array [K]; None where the method takes none.
    present: bools in the structure of the losses, or [K].

  Raises:
    ValueError: where `present` does not match the losses.

  Example:
    >>> mask_of(2, None, [True, False]).tolist(), mask_of(2, None, None)
    ([True, False], None)
  """
  mask = as_mask(np.zeros(num_losses) if losses is None else losses, present)
  if mask is not None and mask.size != num_losses:
    raise ValueError(f"present: must be K = {num_losses} bools, got {present!r}")
  return mask


def only_present(tree: PyTree, present: jax.Array | None, otherwise: PyTree = None) -> PyTree:
  """Returns arrays with an entry per loss, in which those of absent losses are 0, or others.

  Args:
    tree: a pytree of arrays; those [K, ...] have an entry per loss, others stay as they are.
    present: [K], bool, or None for all.
    otherwise: a pytree like `tree` whose entries replace those of absent losses; None for 0.

  Example:
    >>> only_present({"a": jnp.array([[1.0], [jnp.nan]])}, jnp.array([True, False]))["a"].tolist()
    [[1.0], [0.0]]
  """
  if present is None:
    return tree

  def choose(leaf: jax.Array, other: jax.Array) -> jax.Array:
    if jnp.shape(leaf)[:1] != present.shape:
      return leaf
    mask = present.reshape(-1, *[1] * (leaf.ndim - 1))
    return jnp.where(jnp.broadcast_to(mask, leaf.shape), leaf, other)

  others = jax.tree.map(jnp.zeros_like, tree) if otherwise is None else otherwise
  return jax.tree.map(choose, tree, others)


def transformation(
  num_losses: int,
  init: Callable[[PyTree], PyTree],
  step: Callable[[PyTree, PyTree, Losses | None, jax.Array | None], tuple[PyTree, PyTree]],
) -> optax.GradientTransformationExtraArgs:
  """Returns the optax transformation of a method.

  A step whose result would not be finite leaves the state as it is, and returns the mean of the
  gradients. That is not finite where a gradient is not, so that a later transformation such as
  `optax.apply_if_finite` can detect it.

  `update` takes `present=`, which losses the step has, as that of a `LossWeighting` does. The
  gradients of absent losses count as 0, and their entries in arrays [K, ...] of the state stay. A
  step without losses gives zeros, and leaves the state as it is.

  The method sees real arrays alone: complex parameters and gradients as their two parts, in a last
  axis of 2.

  Args:
    num_losses: K.
    init: `init(params) -> state`.
    step: `step(gradients, state, losses, present) -> (combined gradient, state)`. The losses may be
      None; `present` is a mask [K] with at least one loss, or None.
  """
  check_integer("num_losses", num_losses, 1)

  def init_real(params):
    return init(as_real(params))

  def update(updates, state, params=None, *, losses=None, present=None, **extra):
    del params, extra
    check_stacked(updates, num_losses)
    mask = mask_of(num_losses, losses, present)
    like, updates = updates, only_present(as_real(updates), mask)
    some = None if mask is None else mask | ~mask.any()
    combined, next_state = step(updates, state, losses, some)
    next_state = only_present(next_state, mask, state)
    weights = uniform(jnp.zeros(num_losses, wide_dtype(updates)), mask)
    mean = weighted_sum(weights, updates)
    combined = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), combined, mean)
    new, old = (combined, next_state), (mean, state)
    enters = jnp.stack([all_finite(leaf) for leaf in jax.tree.leaves(new)]).all()
    if mask is not None:
      enters &= mask.any()  # else the mean is 0
    combined, state = jax.tree.map(lambda n, o: jnp.where(enters, n, o), new, old)
    return as_complex(combined, like), state

  return optax.GradientTransformationExtraArgs(init_real, update)


def total(tree: PyTree, like: jax.Array) -> jax.Array:
  """Returns the sums over all coordinates of leaves [K, ...], as [K] in the dtype of `like` [K]."""
  sums = (leaf.sum(axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(tree))
  return sum((vector.astype(like.dtype) for vector in sums), jnp.zeros_like(like))
