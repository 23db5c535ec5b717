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
