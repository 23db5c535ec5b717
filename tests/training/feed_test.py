"""The batches of a group of models, from the devices' memory and from the host's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.data import sampling
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.training import batches, feed
from tests.training import made


@pytest.mark.slow
@pytest.mark.parametrize("method", ["labels", "lesion_size"])
def test_cases_drawn_by_group_are_the_same_from_the_device_and_the_host(method):
  cases = made.make_cases(30)
  cases.masks[::4] = 0
  cases = cases._replace(labels=(np.arange(30) % 5 == 0).astype(np.int32))
  splits = [Split(np.arange(first, first + 22), np.arange(2), np.arange(2)) for first in (0, 5)]
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  states = jax.random.split(jax.random.key(2), 2)
  recipe = made.make_experiment("log_every=3")
  recipes = {
    placement: recipe._replace(data=recipe.data._replace(sampling=method, placement=placement))
    for placement in ("device", "host")
  }  # fmt: skip
  stream = feed.make_feed(recipes["host"], cases, splits, states, mesh)
  batch_at = batches.make_batch_at(recipes["device"])
  shown = []
  for step in (0, 3, 5, 8):  # of 5 in an epoch
    chunk = stream.batches(step)
    for n, split in enumerate(splits):
      groups = sampling.groups(method, cases, split.train)
      data = batches.Data(batches.cases_of(cases), np.int32(split.train), groups)
      key = jax.random.split(states[n])[0]
      with jax.set_mesh(mesh):
        found = batch_at(data, key, jnp.int32(step))
      of_host = jax.tree.map(lambda leaf, n=n: leaf[n, 0], chunk.batches)
      np.testing.assert_array_equal(found.masks, of_host.masks)
      np.testing.assert_array_equal(found.labels, of_host.labels)
      np.testing.assert_array_equal(np.rint(255 * found.images), of_host.images)
      shown.append(np.asarray(found.labels))
  if method == "labels":  # a fifth of the cases, and half of what is shown
    assert 0.3 < np.mean(shown) < 0.7
