"""The ring buffer and its statistics against numpy on the values that are there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses import history

CAPACITY = 8


def _push_all(rows, capacity=CAPACITY):
  buffer = history.empty(rows.shape[1], capacity)
  for row in rows:
    buffer = history.push(buffer, jnp.array(row))
  return buffer


@pytest.mark.parametrize("num_steps", [0, 1, 7, 8, 9, 21])
def test_buffer_holds_the_last_values(num_steps):
  rows = np.random.default_rng(0).normal(size=[num_steps, 3]).astype(np.float32)
  buffer = _push_all(rows)
  mask = np.asarray(history.filled(buffer))
  np.testing.assert_array_equal(mask.sum(axis=1), min(num_steps, CAPACITY))
  np.testing.assert_array_equal(buffer.count, num_steps)
  for k in range(3):
    kept = np.asarray(buffer.values)[k][mask[k]]
    np.testing.assert_array_equal(np.sort(kept), np.sort(rows[-CAPACITY:, k]))


def test_steps_with_a_loss_that_is_not_finite_do_not_enter():
  rows = np.random.default_rng(1).normal(size=[11, 2]).astype(np.float32)
  broken = rows.copy()
  broken[[2, 5, 10], [0, 1, 0]] = np.nan, np.inf, -np.inf
  expected = _push_all(np.delete(rows, [2, 5, 10], axis=0))
  for one, other in zip(_push_all(broken), expected, strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("num_steps", [5, 16, 27])
def test_a_history_does_not_know_of_the_steps_without_its_loss(num_steps):
  rows = np.random.default_rng(2).normal(size=[num_steps, 3]).astype(np.float32)
  masks = np.ones([num_steps, 3], bool)
  masks[1::2, 1] = False
  masks[3:6, 2] = False
  buffer = history.empty(3, CAPACITY)
  for row, mask in zip(np.where(masks, rows, np.nan), masks, strict=True):
    buffer = history.push(buffer, jnp.array(row), jnp.array(mask))
  for k in range(3):
    alone = _push_all(rows[masks[:, k]][:, [k]])
    for found, expected in [
      (buffer.values, alone.values),
      (buffer.count, alone.count),
      (history.filled(buffer), history.filled(alone)),
      (history.ages(buffer), history.ages(alone)),
    ]:
      np.testing.assert_array_equal(found[k], expected[0])


def test_a_loss_that_is_not_finite_keeps_all_out_but_not_where_it_is_absent():
  present = jnp.array([True, False])
  begin = history.empty(2, CAPACITY)
  for row, count in [([jnp.nan, 1.0], [0, 0]), ([1.0, jnp.nan], [1, 0])]:
    np.testing.assert_array_equal(history.push(begin, jnp.array(row), present).count, count)
  assert not history.enters(jnp.ones(2), jnp.zeros(2, bool))


def _reference_median(values):
  ordered, n = np.sort(values), len(values)
  if n % 2:
    return (ordered[max(n // 2 - 1, 0)] + ordered[n // 2]) / 2
  return ordered[n // 2]


def _mad(values, median=np.median):
  return median(np.abs(values - median(values)))


STATISTICS = {
  "mean": (history.mean, np.mean),
  "variance": (history.variance, np.var),
  "median": (history.median, np.median),
  "median_absolute_deviation": (history.median_absolute_deviation, _mad),
  "swapped_median": (history.swapped_median, _reference_median),
  "swapped_median_absolute_deviation": (
    lambda h, m: history.median_absolute_deviation(h, m, history.swapped_median),
    lambda values: _mad(values, _reference_median),
  ),
}
over_statistics = pytest.mark.parametrize(
  ("statistic", "formula"), STATISTICS.values(), ids=STATISTICS
)


@over_statistics
def test_statistics_equal_numpy_wherever_the_values_lie(statistic, formula):
  jitted, rng = jax.jit(statistic), np.random.default_rng(0)
  for number in 3 * list(range(1, CAPACITY + 1)):
    mask = rng.permutation(np.arange(CAPACITY) < number)
    values = rng.normal(0, 3, CAPACITY).astype(np.float32)
    garbage = np.where(mask, values, 1e30).astype(np.float32)
    expected = formula(values[mask].astype(np.float64))
    value = jitted(jnp.array(garbage), jnp.array(mask))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@over_statistics
def test_statistics_of_no_values_and_of_constants(statistic, formula):
  del formula
  full = jnp.full(CAPACITY, 2.5)
  assert statistic(full, jnp.zeros(CAPACITY, bool)) == 0
  assert statistic(full, jnp.ones(CAPACITY, bool)) in (0, 2.5)


@over_statistics
def test_statistics_under_vmap_and_in_float64(statistic, formula):
  with jax.enable_x64(True):
    values = np.random.default_rng(3).normal(size=[4, CAPACITY])
    result = jax.vmap(statistic, in_axes=(0, None))(jnp.array(values), jnp.ones(CAPACITY, bool))
    assert result.dtype == jnp.float64
    np.testing.assert_allclose(result, [formula(row) for row in values], rtol=1e-12)


def test_median_of_extreme_values():
  values = jnp.array([3e38, 3e38, -3e38, -0.0, 0.0, 1e-38, -1e-38, 3e38])
  np.testing.assert_array_equal(history.median(values, jnp.ones(8, bool)), 0)
  np.testing.assert_allclose(history.median(values, values > 1), 3e38)


def test_min_max_covers_zero_to_one_for_any_range():
  for values in ([1.0, 2.0, 5.0], [-3e38, 0.0, 3e38], [1e-30, 2e-30, 5e-30]):
    scaled = history.min_max(jnp.array([*values, 7.0]), jnp.arange(4) < 3)
    low, high = np.float64(values[0]), np.float64(values[2])
    middle = (values[1] - low) / (high - low)
    np.testing.assert_allclose(scaled, [0, middle, 1, 0], rtol=1e-5)
  np.testing.assert_array_equal(history.min_max(jnp.full(3, 0.7), jnp.ones(3, bool)), 0)
  np.testing.assert_array_equal(history.min_max(jnp.ones(3), jnp.zeros(3, bool)), 0)


def test_symlog_equals_numpy():
  values = np.array([-1e38, -2, -1e-6, 0, 1e-6, 3, 1e38])
  expected = np.sign(values) * np.log1p(np.abs(values))
  np.testing.assert_allclose(history.symlog(jnp.array(values, jnp.float32)), expected, rtol=1e-6)
