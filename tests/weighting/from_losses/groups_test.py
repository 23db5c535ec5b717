"""Groups of numbers against every division into groups."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_losses.groups import group_means


def _by_enumeration(values, num_groups):
  """Returns the smallest sum of squares of all assignments to groups, whatever their order."""
  best = np.inf
  for labels in itertools.product(range(num_groups), repeat=len(values)):
    parts = [values[np.array(labels) == g] for g in set(labels)]
    best = min(best, sum(((part - part.mean()) ** 2).sum() for part in parts))
  return best


@pytest.mark.parametrize(("number", "num_groups"), [(5, 1), (5, 2), (6, 3), (6, 4)])
def test_the_groups_are_the_best_of_all(number, num_groups):
  run = jax.jit(lambda values: group_means(values, num_groups))
  for seed in range(8):
    values = np.random.default_rng(seed).gamma(2.0, 1.0, number).astype(np.float32)
    means = np.asarray(run(values))
    assert len(set(means.tolist())) <= num_groups
    for mean in set(means.tolist()):
      np.testing.assert_allclose(values[means == mean].mean(), mean, rtol=1e-5)
    expected = _by_enumeration(values.astype(float), num_groups)
    np.testing.assert_allclose(((values - means) ** 2).sum(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_groups", [4, 9])
def test_with_a_group_for_each_the_values_stay(num_groups):
  values = jnp.array([0.3, 7.0, 1e-6, 0.3])
  assert group_means(values, num_groups).tolist() == values.tolist()


def test_equal_values_stay_exactly():
  values = jnp.full(7, 0.1)
  assert group_means(values, 3).tolist() == values.tolist()


def test_absent_values_are_not_read():
  values = jnp.array([1.0, jnp.nan, 2.0, 9.0, jnp.inf, 8.0])
  present = jnp.array([True, False, True, True, False, True])
  means = group_means(values, 2, present)
  np.testing.assert_allclose(means[present], [1.5, 1.5, 8.5, 8.5])
  assert jnp.isfinite(group_means(values, 2, jnp.zeros(6, bool))).all()


def test_fifty_values_in_far_groups_under_vmap():
  rng = np.random.default_rng(0)
  centres = rng.integers(0, 4, size=(3, 50))
  values = jnp.array(centres + rng.uniform(-0.01, 0.01, size=(3, 50)), jnp.float32)
  means = jax.vmap(lambda row: group_means(row, 4))(values)
  np.testing.assert_allclose(means, centres, atol=0.01)
  assert all(len(set(row.tolist())) == 4 for row in means)
