"""Batches: each case once per epoch, another order every epoch, a pure function of the step."""

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data import pipeline

CASES = jnp.array([3, 5, 8, 9, 12, 20, 21, 22, 30, 31, 40], jnp.int32)


def _epoch(epoch, key=jax.random.key(0), batch=3):  # noqa: B008 - a constant
  steps = len(CASES) // batch
  return [
    np.asarray(pipeline.batch_indices(CASES, key, epoch * steps + i, batch)) for i in range(steps)
  ]


def test_no_case_twice_in_an_epoch_and_only_the_remainder_is_left_out():
  for epoch in range(4):
    used = np.concatenate(_epoch(epoch)).tolist()
    assert len(used) == len(set(used)) == 9
    assert set(used) <= set(CASES.tolist())


def test_every_epoch_and_every_key_has_its_own_order():
  first, second = np.concatenate(_epoch(0)), np.concatenate(_epoch(1))
  assert first.tolist() != second.tolist()
  assert first.tolist() != np.concatenate(_epoch(0, jax.random.key(1))).tolist()
  np.testing.assert_array_equal(first, np.concatenate(_epoch(0)))


def test_over_many_epochs_every_case_is_used():
  used = np.concatenate([np.concatenate(_epoch(epoch)) for epoch in range(10)])
  assert set(used.tolist()) == set(CASES.tolist())


GROUPS = jnp.array([0, 0, 1, 0, 0, 1, 0, 0, 2, 0, 0], jnp.int32)  # 8, 2 and 1 of the cases


def _order(key, epoch, groups=GROUPS):
  return np.asarray(pipeline.epoch_order(CASES, key, epoch, groups))


def test_without_groups_an_epoch_is_the_permutation_that_it_was():
  key, epoch = jax.random.key(3), jnp.int32(5)
  expected = jax.random.permutation(jax.random.fold_in(key, epoch), CASES)
  np.testing.assert_array_equal(pipeline.epoch_order(CASES, key, epoch), expected)


def test_groups_are_equally_frequent_in_every_epoch_and_over_all():
  draw = jax.jit(jax.vmap(_traced_order, (None, 0)))
  orders = np.asarray(draw(jax.random.key(4), jnp.arange(300)))
  index = np.searchsorted(CASES, orders)
  of_group = np.stack([(np.asarray(GROUPS)[index] == n).sum(1) for n in range(3)], 1)
  assert of_group.sum(1).tolist() == [11] * 300
  assert of_group.min() == 3  # 11 draws of three groups: 4, 4 and 3
  assert of_group.max() == 4
  np.testing.assert_allclose(of_group.mean(0), 11 / 3, atol=0.1)
  of_case = np.stack([(index == n).sum(1) for n in range(11)], 1)
  for group, size in enumerate((8, 2, 1)):
    own = of_case[:, np.asarray(GROUPS) == group]
    assert (own.max(1) - own.min(1)).max() <= 1  # in an epoch, none twice as often as another
    np.testing.assert_allclose(own.mean(0), 11 / 3 / size, atol=0.12)
  assert len({tuple(order) for order in orders.tolist()}) == 300


def _traced_order(key, epoch):
  return pipeline.epoch_order(CASES, key, epoch, GROUPS)


def test_places_of_an_epoch_are_of_any_group():
  draw = jax.jit(jax.vmap(_traced_order, (None, 0)))
  first = np.searchsorted(CASES, np.asarray(draw(jax.random.key(5), jnp.arange(600)))[:, 0])
  share = np.bincount(np.asarray(GROUPS)[first], minlength=3) / 600
  np.testing.assert_allclose(share, 1 / 3, atol=0.07)


def test_batches_are_parts_of_the_order_of_groups():
  key = jax.random.key(6)
  for epoch in range(2):
    batches = [
      np.asarray(pipeline.batch_indices(CASES, key, jnp.int32(3 * epoch + n), 3, GROUPS))
      for n in range(3)
    ]
    np.testing.assert_array_equal(np.concatenate(batches), _order(key, epoch)[:9])
