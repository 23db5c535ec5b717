"""Combinators that scale the weights of the weighting before them in a chain."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import (
  EmptyState,
  Losses,
  LossWeighting,
  Weights,
  all_finite,
  normalize,
  num_losses,
  ravel_weights,
  shrink,
  uniform,
)
from mlseg.weighting.checks import check_per_loss, per_loss
from mlseg.weighting.presence import number_of, ravel_present

_TARGETS = ("sum_to_one", "sum_to_num_losses", "first_loss")


def with_prior(prior: Weights) -> LossWeighting:
  """Multiplies weights by given ratios, and keeps their sum.

  Formula: w_k → w_k p_k Σ_j w_j / Σ_j w_j p_j

  Where a weight is not finite, or either sum is not positive: p_k / Σ_j p_j.

  Needs: weights of a chain

  Use when: some losses are known to matter more, say 5 : 1, and a method should decide the rest.

  Args:
    prior: p >= 0, one positive: K numbers in the order of `jax.tree.leaves`, or a pytree like the
      losses. Only their ratios count.

  Returns:
    A LossWeighting for use in a `chain`.

  Raises:
    ValueError: where a number is negative or not finite, or all are 0; in `init`, where they do not
      match the losses.

  Example:
    >>> weighting = with_prior((5.0, 1.0))
    >>> losses = jnp.zeros(2)
    >>> weights = jnp.array([0.5, 2.5])
    >>> weighting.update(losses, weighting.init(losses), weights=weights)[0].tolist()
    [1.5, 1.5]
  """
  check_per_loss("prior", prior, 0)
  if not any(np.any(leaf) for leaf in jax.tree.leaves(prior)):
    raise ValueError(f"prior: must have a positive number, got {prior!r}")

  def init(losses: Losses) -> EmptyState:
    per_loss("prior", prior, losses)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    given = per_loss("prior", prior, losses)
    ratios = jnp.asarray(given / given.max(), vector.dtype)
    current = ravel_weights(weights, vector, present)
    shrunk, factor = shrink(current)
    products = shrunk * ratios
    scaled, exists = _divide(products, products.sum())
    kept = scaled * shrunk.sum() / factor
    useful = exists & (shrunk.sum() > 0) & all_finite(current) & all_finite(kept)
    return unravel(jnp.where(useful, kept, normalize(ratios, present))), state

  return LossWeighting(init, update)


def rescale(
  to: Literal["sum_to_one", "sum_to_num_losses", "first_loss"] = "sum_to_one",
) -> LossWeighting:
  """Divides all weights by one number, so that their sum or the first weight is fixed.

  Formula: w_k → w_k / d, d = Σ_j w_j, or d = (1/K) Σ_j w_j, or d = w_1

  So the sum becomes 1 ('sum_to_one') or K ('sum_to_num_losses'), or the weight of the first loss in
  the order of `jax.tree.leaves` (for a dict: of its sorted keys) becomes 1 ('first_loss').

  Where a weight is not finite, d is not positive, or a result is too large for the floats, all
  weights are equal: 1/K for 'sum_to_one', else 1.

  Needs: weights of a chain

  Use when: methods whose weights have different sums are compared, since the sum acts as a factor
  of the learning rate; 'first_loss' if the other losses are measured against one loss.

  Args:
    to: 'sum_to_one', 'sum_to_num_losses' or 'first_loss'.

  Returns:
    A LossWeighting for use in a `chain`.

  Raises:
    ValueError: where `to` is none of these.

  Example:
    >>> weighting = rescale("sum_to_num_losses")
    >>> losses = jnp.zeros(2)
    >>> weights = jnp.array([3.0, 1.0])
    >>> weighting.update(losses, weighting.init(losses), weights=weights)[0].tolist()
    [1.5, 0.5]
  """
  if to not in _TARGETS:
    raise ValueError(f"to: choose from {', '.join(_TARGETS)}; got {to!r}")

  def init(losses: Losses) -> EmptyState:
    num_losses(losses)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    current = ravel_weights(weights, vector, present)
    shrunk, _ = shrink(current)
    divisors = {
      "sum_to_one": shrunk.sum(),
      "sum_to_num_losses": shrunk.sum() / number_of(vector, present),
      "first_loss": shrunk[0 if present is None else present.argmax()],
    }
    scaled, exists = _divide(shrunk, divisors[to])
    useful = exists & all_finite(current) & all_finite(scaled)
    equal = uniform(vector, present) if to == "sum_to_one" else jnp.ones_like(vector)
    return unravel(jnp.where(useful, scaled, equal)), state

  return LossWeighting(init, update)


def _divide(values: jax.Array, divisor: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns values / divisor, and whether the divisor is positive and large enough for that."""
  exists = divisor >= float(jnp.finfo(values.dtype).tiny)
  return values / jnp.where(exists, divisor, 1), exists
