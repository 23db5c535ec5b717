"""A ring buffer for the histories of K losses, and statistics of one history.

A statistic takes one history [capacity], in any order, and a mask [capacity] of the values that are
filled; `vmap` maps it over the K histories. The statistic of a history without values is 0.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mlseg.weighting.base import all_finite, shrink
from mlseg.weighting.presence import only


class RingBuffer(NamedTuple):
  """The last `capacity` losses, one row per loss.

  A step with a loss that is not finite is left out of all histories, and a step without a loss is
  left out of the history of that loss.
  """

  values: jax.Array  # [K, capacity]; the n-th of a loss is in column n % capacity; zeros until then
  # [K], int32: the losses so far, those included that are overwritten by now
  count: jax.Array  # type: ignore[assignment]  # hides a method of tuples that is not used here


def empty(num_losses: int, capacity: int, dtype: jax.typing.DTypeLike = jnp.float32) -> RingBuffer:
  """Returns a buffer without values.

  Args:
    num_losses: K.
    capacity: values kept per loss.
    dtype: of the values.

  Example:
    >>> empty(2, 5).values.shape
    (2, 5)
  """
  return RingBuffer(jnp.zeros((num_losses, capacity), dtype), jnp.zeros(num_losses, jnp.int32))


def enters(losses: jax.Array, present: jax.Array | None = None) -> jax.Array:
  """Returns whether a step counts: it has a loss, and none that is NaN or infinite, as a scalar.

  Args:
    losses: [K].
    present: [K], bool: which of them the step has, or None for all.

  Example:
    >>> bool(enters(jnp.array([1.0, jnp.nan]), jnp.array([True, False])))
    True
  """
  is_finite = all_finite(only(losses, present))
  return is_finite if present is None else is_finite & present.any()


def push(buffer: RingBuffer, losses: jax.Array, present: jax.Array | None = None) -> RingBuffer:
  """Returns the buffer with one more step; if a row was full, without the oldest value in it.

  A step with a loss that is NaN or infinite changes nothing, and an absent loss changes nothing.

  Args:
    buffer: of K losses.
    losses: [K].
    present: [K], bool: which of them the step has, or None for all.

  Example:
    >>> buffer = push(empty(1, 2), jnp.array([7.0]))
    >>> buffer = push(buffer, jnp.array([jnp.nan]))
    >>> buffer.values.tolist(), buffer.count.tolist()
    ([[7.0, 0.0]], [1])
  """
  number, capacity = buffer.values.shape
  chex.assert_shape(losses, (number,))
  new = only(jnp.broadcast_to(enters(losses, present), number), present, False)
  is_next = jnp.arange(capacity)[None] == (buffer.count % capacity)[:, None]
  column = losses.astype(buffer.values.dtype)[:, None]
  values = jnp.where(is_next & new[:, None], column, buffer.values)
  return RingBuffer(values, buffer.count + new.astype(jnp.int32))


def have(buffer: RingBuffer, number: int, present: jax.Array | None = None) -> jax.Array:
  """Returns whether each present loss had that many values so far, as a scalar.

  Args:
    buffer: of K losses.
    number: of values.
    present: [K], bool, or None for all.

  Example:
    >>> bool(have(push(empty(1, 3), jnp.array([7.0])), 2))
    False
  """
  return only(buffer.count >= number, present, True).all()


def filled(buffer: RingBuffer) -> jax.Array:
  """Returns which entries of the buffer hold a value.

  Args:
    buffer: of K losses.

  Returns:
    [K, capacity], bool.

  Example:
    >>> filled(push(empty(1, 3), jnp.array([7.0]))).tolist()
    [[True, False, False]]
  """
  return jnp.arange(buffer.values.shape[1])[None] < buffer.count[:, None]


def ages(buffer: RingBuffer) -> jax.Array:
  """Returns how many values of its row are newer than each entry of a full buffer.

  Args:
    buffer: of K losses.

  Returns:
    [K, capacity], int32: 0 for the newest.

  Example:
    >>> ages(RingBuffer(jnp.zeros((1, 3)), jnp.array([4], jnp.int32))).tolist()
    [[0, 2, 1]]
  """
  columns = jnp.arange(buffer.values.shape[1], dtype=buffer.count.dtype)
  return (buffer.count[:, None] - 1 - columns[None]) % columns.size


def mean(history: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the mean: (1/n) sum_i h_i.

  Args:
    history: [capacity].
    mask: [capacity], bool: where the n values are.

  Example:
    >>> float(mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])))
    2.0
  """
  number = jnp.maximum(mask.sum(), 1).astype(history.dtype)
  return jnp.where(mask, history, 0).sum() / number


def variance(history: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the variance of the whole history: (1/n) sum_i (h_i - mean(h))^2.

  Source: Golnari & Diba 2026, eq. 3.

  Args:
    history: [capacity].
    mask: [capacity], bool: where the n values are.

  Example:
    >>> float(variance(jnp.array([1.0, 3.0, 9.0]), jnp.array([True, True, False])))
    1.0
  """
  return mean((history - mean(history, mask)) ** 2, mask)


def median(history: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the median, which is halfway between the two middle values where n is even.

  Args:
    history: [capacity].
    mask: [capacity], bool: where the n values are.

  Example:
    >>> float(median(jnp.array([5.0, 1.0, 3.0, 9.0]), jnp.array([True, True, True, False])))
    3.0
  """
  ordered, number = _sort(history, mask)
  return _middle(ordered, (number - 1) // 2, number // 2)


def swapped_median(history: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the "median" of the authors' demo, which swaps odd and even n; for tests alone.

  In sorted order, counted from 0: for odd n halfway between the values n // 2 - 1 and n // 2, for
  even n the value n // 2.

  Source: the public demo of Golnari & Diba.

  Args:
    history: [capacity].
    mask: [capacity], bool: where the n values are.

  Example:
    >>> float(swapped_median(jnp.array([5.0, 1.0, 3.0, 9.0]), jnp.ones(4, bool)))
    5.0
  """
  ordered, number = _sort(history, mask)
  return _middle(ordered, number // 2 - number % 2, number // 2)


def median_absolute_deviation(history: jax.Array, mask: jax.Array, median=median) -> jax.Array:
  """Returns the median absolute deviation: median_i |h_i - median(h)|.

  Source: Golnari & Diba 2026, eq. 5.

  Args:
    history: [capacity].
    mask: [capacity], bool: where the n values are.
    median: the function that computes a median.

  Example:
    >>> float(median_absolute_deviation(jnp.array([1.0, 2.0, 4.0]), jnp.ones(3, bool)))
    1.0
  """
  return median(jnp.abs(history - median(history, mask)), mask)


def symlog(values: jax.Array) -> jax.Array:
  """Returns sign(x) log(1 + |x|).

  Source: Golnari & Diba 2026, eq. 9.

  Args:
    values: [...].

  Example:
    >>> print(symlog(jnp.array([-1.0, 0.0, 1.0])).round(4))
    [-0.6931  0.      0.6931]
  """
  return jnp.sign(values) * jnp.log1p(jnp.abs(values))


def min_max(history: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the history in [0, 1]: (h - min(h)) / (max(h) - min(h)); zeros for a constant one.

  Source: Golnari & Diba 2026, eq. 10.

  Args:
    history: [capacity].
    mask: [capacity], bool: where the n values are.

  Returns:
    [capacity], 0 where there is no value.

  Example:
    >>> min_max(jnp.array([1.0, 3.0, 2.0, 9.0]), jnp.array([True, True, True, False])).tolist()
    [0.0, 1.0, 0.5, 0.0]
  """
  shrunk, _ = shrink(jnp.where(mask, history, 0))
  lowest = jnp.where(mask, shrunk, jnp.inf).min()
  highest = jnp.where(mask, shrunk, -jnp.inf).max()
  varies = highest > lowest
  scaled = (shrunk - jnp.where(varies, lowest, 0)) / jnp.where(varies, highest - lowest, 1)
  return jnp.where(mask & varies, scaled, 0)


def _sort(history: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the values in rising order, with infinity behind them, and their number n."""
  padded = jnp.where(mask, history, jnp.inf)
  # On the CPU, XLA sorts integers five times faster than floats, whose comparison it cannot inline.
  integers = jnp.int64 if padded.dtype == jnp.float64 else jnp.int32
  bits = _flip_negative(jax.lax.bitcast_convert_type(padded, integers))
  ordered = jax.lax.bitcast_convert_type(_flip_negative(jnp.sort(bits)), padded.dtype)
  return ordered, mask.sum()


def _flip_negative(bits: jax.Array) -> jax.Array:
  """Maps the bits of floats to integers of the same order; applied twice, it changes nothing."""
  return jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)


def _middle(ordered: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Returns the mean of the ordered values at two indices, 0 where there are no values."""
  middle = ordered[jnp.maximum(low, 0)] / 2 + ordered[high] / 2
  return jnp.where(jnp.isfinite(middle), middle, 0)
