"""Numbers replaced by the means of their groups: k-means of numbers on a line, solved exactly."""

import jax
import jax.numpy as jnp

from mlseg.weighting.presence import only


def group_means(values: jax.Array, num_groups: int, present: jax.Array | None = None) -> jax.Array:
  """Returns for each value the mean of its group, under the best division into groups.

  The division has the smallest Σ_k (v_k - mean of the group of k)² of all divisions into at most
  `num_groups` groups. On a line each group of the best division is an interval, so dynamic
  programming over the sorted values finds it, in time and memory of K²: there are no centres to
  begin with, and no local optima.

  Args:
    values: v, [K], finite; differences should have squares within the dtype's range.
    num_groups: at least 1.
    present: [K], bool: the values that count, or None for all; those of the others are not read.

  Returns:
    [K]; any finite numbers for the absent values.

  Source: Wang & Song 2011, The R Journal 3(2), "Ckmeans.1d.dp: Optimal k-means clustering in one
  dimension by dynamic programming".

  Example:
    >>> group_means(jnp.array([9.0, 1.0, 2.0, 11.0]), 2).tolist()
    [10.0, 1.5, 1.5, 10.0]
  """
  order = jnp.argsort(only(values, present, jnp.inf))
  counts = jnp.ones_like(values) if present is None else present.astype(values.dtype)
  values, counts = only(values, present)[order], counts[order]
  means, costs = _intervals(values, counts)
  starts = _best_starts(costs, min(num_groups, values.size))
  indices = jnp.arange(values.size)

  def take_last(state, first):
    # The last group of what is left, which ends at `end`; nothing is left where end is -1.
    result, end = state
    start = jnp.where(end < 0, 0, first[end])
    inside = (indices >= start) & (indices <= end)
    return (jnp.where(inside, means[start, end], result), start - 1), None

  begin = (jnp.zeros_like(values), indices[-1])
  (grouped, _), _ = jax.lax.scan(take_last, begin, starts, reverse=True)
  return jnp.zeros_like(values).at[order].set(grouped)


def _intervals(values: jax.Array, counts: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the means and the sums of squared deviations of values[i : j + 1], each [i, j]."""
  indices = jnp.arange(values.size)

  def add(state, inputs):
    # Welford's update of all intervals that end here, which keeps equal values equal.
    number, mean, squares = state
    index, value, count = inputs
    added = jnp.where(indices <= index, count, 0)
    number = number + added
    change = value - mean
    mean = mean + change * added / jnp.maximum(number, 1)
    squares = squares + added * change * (value - mean)
    return (number, mean, squares), (mean, squares)

  zeros = jnp.zeros_like(values)
  _, (means, squares) = jax.lax.scan(add, (zeros, zeros, zeros), (indices, values, counts))
  return means.T, squares.T


def _best_starts(costs: jax.Array, num_groups: int) -> jax.Array:
  """Returns where the last of at most g + 1 groups of the values up to j begins, [g, j]."""
  size = costs.shape[0]
  indices = jnp.arange(size)
  fits = indices[:, None] <= indices[None]

  def one_more(best, _):
    before = jnp.concatenate([jnp.zeros(1, costs.dtype), best[:-1]])  # nothing is left to group
    totals = jnp.where(fits, before[:, None] + costs, jnp.inf)
    return totals.min(axis=0), totals.argmin(axis=0)

  first = jnp.zeros((1, size), indices.dtype)
  _, starts = jax.lax.scan(one_more, costs[0], length=num_groups - 1)
  return jnp.concatenate([first, starts.astype(indices.dtype)])
