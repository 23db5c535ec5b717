"""Gradient surgery: what of a gradient conflicts with another loss is taken away, or turned."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  EmptyState,
  Losses,
  LossWeighting,
  all_finite,
  check_number,
  num_losses,
  ravel,
  state_dtype,
)
from mlseg.weighting.gram import is_finite, normalize, require, unit

# change(row [K], products [K], j, target [K]) -> row [K], target [K]
Visit = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class GradVacState(NamedTuple):
  """The cosines that gradients are turned towards."""

  targets: jax.Array  # [K, K], zero on the diagonal


def pcgrad(reduction: Literal["sum", "mean"] = "sum") -> LossWeighting:
  """Takes from each gradient its component against every other, one after another.

  Formula: for each i, over the other j in random order: g_i ← g_i − min(⟨g_i, g_j⟩, 0)/‖g_j‖² g_j
  (g_j as it was); w from Σ_i g_i = Σ_k w_k g_k

  The order is drawn from `key`; without one it is that of the losses. Where a loss or an inner
  product is not finite, weights are those of no conflict.

  Needs: Gram matrix, key

  Use when: gradients conflict now and then and you want plain descent otherwise: without conflicts
  it is the plain sum.

  Differs: the authors' code averages the projected gradients, LibMTL, TorchJD and ConFIG sum them;
  `reduction` says which, and sums by default.

  Source: Yu et al. 2020, NeurIPS, arXiv 2001.06782, algorithm 1.

  Args:
    reduction: 'sum', or 'mean' for 1/K of it.

  Returns:
    A LossWeighting, at least 1 for every loss with 'sum'. In a chain it replaces what came before.

  Raises:
    ValueError: where the reduction is unknown.

  Example:
    >>> weighting = pcgrad()
    >>> gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> print(weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)[0])
    [1.5 1.5]
  """
  if reduction not in ("sum", "mean"):
    raise ValueError(f"reduction: choose from sum, mean; got {reduction!r}")

  def init(losses: Losses) -> EmptyState:
    num_losses(losses)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, extra
    vector, unravel = ravel(losses)
    gram = require(gram, vector)
    enters = is_finite(gram) & all_finite(vector)
    targets = jnp.zeros_like(gram)  # of no use here
    found, _ = operate(jnp.where(enters, gram, 0), _orders(key, vector.size), targets, project)
    found = jnp.where(enters & all_finite(found), found, 1)
    return unravel(found if reduction == "sum" else found / vector.size), state

  return LossWeighting(init, update, needs_gram=True)


def gradvac(beta: float = 0.01) -> LossWeighting:
  """Turns each gradient towards every other until their cosine is the average one so far.

  Formula: where φ = cos(g_i, g_j) < φ̂_ij: g_i ← g_i + ‖g_i‖ (φ̂ √(1−φ²) − φ √(1−φ̂²)) /
  (‖g_j‖ √(1−φ̂²)) g_j; then φ̂_ij ← (1−β) φ̂_ij + β φ

  The targets φ̂ start at 0, with which it is PCGrad. The order of the j is drawn from `key`; without
  one it is that of the losses. Where a loss or an inner product is not finite, weights are 1 and
  the targets stay.

  Needs: Gram matrix, key

  Use when: losses are related and their gradients should be kept as aligned as they usually are.

  Differs: the paper's β is 1e-2; LibMTL and TorchJD take 0.5 by default.

  Source: Wang et al. 2021, ICLR, arXiv 2010.05874, eqs. 2-3 and algorithm 1.

  Args:
    beta: in [0, 1]: how much the newest cosine counts in the target.

  Returns:
    A LossWeighting, at least 1 for every loss while the targets are not negative. In a chain it
    replaces what came before.

  Raises:
    ValueError: where beta is out of its range.

  Example:
    >>> weighting = gradvac()
    >>> gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> weights, state = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=gram)
    >>> print(weights, state.targets[0])
    [1.5 1.5] [ 0.    -0.005]
  """
  check_number("beta", beta, 0, 1)

  def visit(row, products, j, targets):
    return turn(row, products, j, targets, beta)

  def init(losses: Losses) -> GradVacState:
    number = num_losses(losses)
    return GradVacState(jnp.zeros((number, number), state_dtype(losses)))

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    del weights, extra
    vector, unravel = ravel(losses)
    gram = require(gram, vector)
    enters = is_finite(gram) & all_finite(vector)
    orders = _orders(key, vector.size)
    found, targets = operate(jnp.where(enters, gram, 0), orders, state.targets, visit)
    enters = enters & all_finite(found) & all_finite(targets)
    found = jnp.where(enters, found, 1)
    return unravel(found), GradVacState(jnp.where(enters, targets, state.targets))

  return LossWeighting(init, update, needs_gram=True)


def _orders(key: jax.Array | None, number: int) -> jax.Array:
  """Returns [K, K], for each loss the order in which the others are met; itself is passed over."""
  order = jnp.arange(number)
  if key is None:
    return jnp.broadcast_to(order, (number, number))
  return jax.vmap(lambda k: jax.random.permutation(k, order))(jax.random.split(key, number))


def operate(
  gram: jax.Array, orders: jax.Array, targets: jax.Array, visit: Visit
) -> tuple[jax.Array, jax.Array]:
  """Returns the weights of the sum of all changed gradients [K], and the next targets [K, K].

  It works on unit gradients: row i holds the changed g_i/‖g_i‖ as a combination of g_j/‖g_j‖, so
  lengths that differ by orders of magnitude do no harm.

  Args:
    gram: [K, K], finite.
    orders: [K, K], per loss the order in which the others are met.
    targets: [K, K], the cosines to reach, for a `visit` that has such.
    visit: what changes a gradient when it meets another.

  Example:
    >>> gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> print(operate(gram, jnp.array([[1, 0], [0, 1]]), jnp.zeros((2, 2)), project)[0])
    [1.5 1.5]
  """
  cosines, norms = unit(normalize(gram)[0])
  number = norms.size
  identity = jnp.eye(number, dtype=gram.dtype)

  def change(i, order, target):
    def body(t, carry):
      row, target = carry
      j = order[t]
      # The row of the matrix product, in full precision on every device.
      new_row, new_target = visit(row, (row[:, None] * cosines).sum(axis=0), j, target)
      passes = (j == i) | (norms[j] == 0) | (norms[i] == 0)
      return jnp.where(passes, row, new_row), jnp.where(passes, target, new_target)

    return jax.lax.fori_loop(0, number, body, (identity[i], target))

  rows, targets = jax.vmap(change)(jnp.arange(number), orders, targets)
  # Back to combinations of the gradients themselves: row_ij ‖g_i‖ / ‖g_j‖.
  scaled = rows * norms[:, None] / jnp.where(norms > 0, norms, 1)
  return jnp.where(norms > 0, scaled.sum(axis=0), 1), targets


def project(
  row: jax.Array, products: jax.Array, j: jax.Array, target: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the unit gradient without its component against the unit gradient j.

  Args:
    row: [K], the gradient as a combination of unit gradients.
    products: [K], its inner products with these.
    j: [], which one it meets.
    target: [K], passed through.

  Example:
    >>> project(jnp.array([1.0, 0.0]), jnp.array([1.0, -0.5]), 1, jnp.zeros(2))[0].tolist()
    [1.0, 0.5]
  """
  return row.at[j].add(-jnp.minimum(products[j], 0)), target


def turn(
  row: jax.Array, products: jax.Array, j: jax.Array, target: jax.Array, beta: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the gradient turned towards the unit gradient j, and the targets with its cosine.

  Args:
    row: [K], the gradient as a combination of unit gradients.
    products: [K], its inner products with these.
    j: [], which one it meets.
    target: [K], the cosines to reach.
    beta: how much the newest cosine counts.

  Example:
    >>> row, target = turn(jnp.array([1.0, 0.0]), jnp.array([1.0, -0.5]), 1, jnp.zeros(2), 0.5)
    >>> row.tolist(), target.tolist()
    ([1.0, 0.5], [0.0, -0.25])
  """
  length = jnp.sqrt(jnp.maximum((row * products).sum(), 0))
  cosine = products[j] / jnp.where(length > 0, length, 1)
  cosine = jnp.clip(cosine, -1, 1)
  wanted = target[j]
  sine, wanted_sine = jnp.sqrt(1 - cosine**2), jnp.sqrt(jnp.maximum(1 - wanted**2, 0))
  added = length * (wanted * sine - cosine * wanted_sine)
  turns = (cosine < wanted) & (wanted_sine > 0)
  added = jnp.where(turns, added / jnp.where(turns, wanted_sine, 1), 0)
  return row.at[j].add(added), target.at[j].set((1 - beta) * wanted + beta * cosine)
