"""Forward passes of several losses, and the Gram matrices of their gradients."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import ravel
from mlseg.weighting.split_loss import FeatureLoss, SplitLoss, share_inputs
from mlseg.weighting.stacked import gram_of, weighted_sum

PyTree = Any
_NOT_SHARED = (
  "gram_at={!r} compares no gradients here: no two losses read the same {} of the network, so their"
  " Gram matrix is diagonal; use gram_at='params'"
)


class Pass(NamedTuple):
  """The results of a forward pass, and the function for the backward pass."""

  losses: PyTree
  gram: jax.Array | None  # [K, K]
  pull_back: Callable[[PyTree], PyTree]  # from weights to the gradient of the weighted sum
  aux: PyTree


def forward(loss_fn: Callable[..., tuple[PyTree, PyTree]], params: PyTree, *args: PyTree) -> Pass:
  """Returns the losses, and the pull-back of all of them at once."""
  losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  return Pass(losses, None, lambda weights: pull_back(weights)[0], aux)


def forward_at_logits(loss_fn: SplitLoss, params: PyTree, *args: PyTree) -> Pass:
  """Returns the losses, the Gram matrix at the outputs, and the pull-back from the outputs."""
  outputs, pull_back, aux = jax.vjp(lambda p: loss_fn.forward(p, *args), params, has_aux=True)
  losses = loss_fn.losses(outputs, *args)
  stacked = _gradients(lambda z: loss_fn.losses(z, *args), outputs, losses, ("logits", "output"))

  def whole_pull_back(weights: PyTree) -> PyTree:
    return pull_back(weighted_sum(ravel(weights)[0], stacked))[0]

  return Pass(losses, gram_of(stacked), whole_pull_back, aux)


def forward_at_features(loss_fn: FeatureLoss, params: PyTree, *args: PyTree) -> Pass:
  """Returns the losses, the Gram matrix at the features, and the pull-back of both parts."""
  features, pull_features, aux = jax.vjp(lambda p: loss_fn.forward(p, *args), params, has_aux=True)
  losses, pull_heads, of_heads = jax.vjp(
    lambda p, z: loss_fn.losses(p, z, *args), params, features, has_aux=True
  )
  stacked = _gradients(
    lambda z: loss_fn.losses(params, z, *args)[0], features, losses, ("features", "feature")
  )

  def whole_pull_back(weights: PyTree) -> PyTree:
    direct, of_features = pull_heads(weights)
    return jax.tree.map(jnp.add, direct, pull_features(of_features)[0])

  return Pass(losses, gram_of(stacked), whole_pull_back, (aux, of_heads))


def _gradients(
  losses_of: Callable[[PyTree], PyTree], at: PyTree, losses: PyTree, words: tuple[str, str]
) -> PyTree:
  """Returns the gradients of losses with respect to what they read, the losses first."""
  if not share_inputs(losses_of, at):
    warnings.warn(_NOT_SHARED.format(*words), stacklevel=2)

  def gradient(k: int) -> PyTree:
    # Each loss by itself: a unit cotangent of the vector would pull zeros through the other losses.
    return jax.grad(lambda z: _select(losses_of(z), k))(at)

  rows = [gradient(k) for k in range(ravel(losses)[0].size)]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def forward_at_params(
  own: PyTree, loss_fn: Callable[..., tuple[PyTree, PyTree]], params: PyTree, *args: PyTree
) -> Pass:
  """Returns the losses, the Gram matrix of parameters, and the pull-back of all losses.

  Args:
    own: from `is_shared`: which parameters the Gram matrix is of.
    loss_fn: returns losses and aux.
    params: its first argument.
    args: its others.
  """
  losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  vector, unravel = ravel(losses)
  # Side by side, so that the gradients of one array are there at one time and can be forgotten.
  stacked = jax.vmap(lambda row: pull_back(unravel(row))[0])(
    jnp.eye(vector.size, dtype=vector.dtype)
  )
  gram = gram_of(chosen(stacked, own))
  return Pass(losses, gram, lambda weights: pull_back(weights)[0], aux)


def stacked_gradients(
  loss_fn: Callable[..., tuple[PyTree, PyTree]], params: PyTree, *args: PyTree
) -> tuple[PyTree, PyTree, PyTree]:
  """Returns the losses, their gradients with the losses as first axis, and `aux`."""
  losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  vector, unravel = ravel(losses)
  # One after another: a batched backward pass would turn convolutions into grouped ones.
  rows = [pull_back(unravel(row))[0] for row in jnp.eye(vector.size, dtype=vector.dtype)]
  return losses, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows), aux


def recomputed_gradients(
  loss_fn: Callable[..., tuple[PyTree, PyTree]], params: PyTree, *args: PyTree
) -> tuple[PyTree, PyTree, PyTree]:
  """Returns what `stacked_gradients` returns; each loss has a forward pass of its own.

  So no activation of the network is kept longer than in a single backward pass.
  """
  shapes = jax.eval_shape(lambda p: loss_fn(p, *args), params)
  vector, unravel = ravel(jax.tree.map(jnp.zeros_like, shapes[0]))

  def one(carry: PyTree, row: jax.Array) -> tuple[PyTree, PyTree]:
    # The barrier keeps the compiler from moving the forward pass, alike for all, out of the loop.
    own, row = jax.lax.optimization_barrier((params, row))
    losses, pull_back, aux = jax.vjp(lambda p: loss_fn(p, *args), own, has_aux=True)
    return (losses, aux), pull_back(unravel(row))[0]

  start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  (losses, aux), stacked = jax.lax.scan(one, start, jnp.eye(vector.size, dtype=vector.dtype))
  return losses, stacked, aux


def chosen(stacked: PyTree, own: PyTree) -> list[jax.Array]:
  """Returns the arrays of which the second tree says True."""
  pairs = zip(jax.tree.leaves(stacked), jax.tree.leaves(own), strict=True)
  return [leaf for leaf, is_own in pairs if is_own]


def _select(losses: PyTree, k: int) -> jax.Array:
  """Returns the k-th of the losses."""
  leaves = jax.tree.leaves(losses)
  return leaves[0][k] if jnp.ndim(leaves[0]) else leaves[k]
