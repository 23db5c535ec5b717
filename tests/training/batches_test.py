"""The keys of what a network draws in training: their own, and only where it draws."""

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data import padding
from mlseg.training import batches, model_parts
from tests.training import made


def _batch(is_random, step=0, seed=0):
  experiment = made.make_experiment()
  experiment = experiment._replace(network=experiment.network._replace(is_random=is_random))
  data = batches.Data(batches.cases_of(made.make_cases()), np.arange(16))
  data = jax.tree.map(jnp.asarray, data)
  return batches.make_batch_at(experiment)(data, jax.random.key(seed), jnp.int32(step))


def test_a_batch_has_keys_where_the_network_draws():
  without, with_keys = _batch(False), _batch(True)
  assert without.keys is None
  jax.tree.map(np.testing.assert_array_equal, with_keys._replace(keys=None), without)
  drawn = [_batch(True), _batch(True, step=1), _batch(True, seed=1)]
  bits = np.concatenate([jax.random.key_data(batch.keys) for batch in drawn])
  assert bits.shape == (3 * 4, 2)
  assert len(np.unique(bits, axis=0)) == len(bits)


def test_pixels_without_a_class_are_not_valid_in_training():
  cases = made.make_cases()
  cases.masks[:, 0] = padding.UNLABELLED
  data = jax.tree.map(jnp.asarray, batches.Data(batches.cases_of(cases), np.arange(16)))
  experiment = made.make_experiment()
  parts = model_parts.make_parts([experiment], 16, cases)
  batch_at = batches.make_batch_at(experiment, parts.has_unlabelled)
  batch = batch_at(data, jax.random.key(0), jnp.int32(0))
  expected = np.ones((4, made.SIZE, made.SIZE), bool)
  expected[:, 0] = False
  np.testing.assert_array_equal(batch.valid, expected)
  np.testing.assert_array_equal(parts.valid(batch.masks), expected)
  assert model_parts.make_parts([experiment], 16, made.make_cases()).valid(batch.masks) is None
