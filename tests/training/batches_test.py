"""The keys of what a network draws in training: their own, and only where it draws."""

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.training import batches
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
