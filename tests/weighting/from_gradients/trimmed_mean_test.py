"""The trimmed mean against numpy and TorchJD."""

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w


@pytest.mark.parametrize("num_trimmed", [0, 1, 3])
def test_the_mean_is_that_of_the_middle_values(num_trimmed):
  rows = np.random.default_rng(num_trimmed).normal(size=(7, 4, 3)).astype(np.float32)
  transformation = w.trimmed_mean(7, num_trimmed)
  params = jnp.zeros((4, 3))
  found, _ = transformation.update(jnp.array(rows), transformation.init(params))
  middle = np.sort(rows, axis=0)[num_trimmed : 7 - num_trimmed]
  np.testing.assert_allclose(found, middle.mean(axis=0), rtol=1e-5, atol=1e-6)
  torch = pytest.importorskip("torch")
  aggregation = pytest.importorskip("torchjd.aggregation")
  theirs = aggregation.TrimmedMean(num_trimmed)(torch.tensor(rows.reshape(7, 12))).numpy()
  np.testing.assert_allclose(np.ravel(found), theirs, rtol=1e-5, atol=1e-6)


def test_half_of_the_losses_cannot_be_left_out():
  with pytest.raises(ValueError, match="num_trimmed: must be less than half of num_losses = 4"):
    w.trimmed_mean(4, 2)
