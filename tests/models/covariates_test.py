"""Standardised covariates: what is not known, what is constant, and numbers of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models import with_covariate_statistics
from mlseg.models.covariates import standardised


def test_covariates_are_in_units_of_their_deviation():
  rng = np.random.default_rng(0)
  mean, deviation = np.float32([60, 1e4, 2015, 0]), np.float32([9, 4e3, 1.5, 1e-3])
  values = rng.normal(mean, deviation, (20, 4)).astype(np.float32)
  values[rng.random(values.shape) < 0.2] = np.nan
  expected = np.nan_to_num((values.astype(np.float64) - mean) / deviation)
  found = standardised(jnp.asarray(values), jnp.asarray(mean), jnp.asarray(deviation))
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
  np.testing.assert_array_equal(found[np.isnan(values)], 0)


@pytest.mark.parametrize("value", [7.0, 8.0, np.nan, np.inf, -np.inf])
def test_a_column_that_was_constant_in_training_tells_nothing(value):
  found = standardised(jnp.array([[value]]), jnp.array([7.0]), jnp.array([0.0]))
  assert found.tolist() == [[0]]


def test_gradients_are_finite_for_what_is_not_known_and_what_is_constant():
  values = jnp.array([[jnp.nan, 7.0, 1.0], [jnp.inf, 8.0, 3.0]])
  mean, deviation = jnp.array([1.0, 7.0, 2.0]), jnp.array([1.0, 0.0, 1.0])
  gradient = jax.grad(lambda x: standardised(x, mean, deviation).sum())(values)
  assert gradient.tolist() == [[0, 0, 1], [0, 0, 1]]


def test_statistics_of_another_number_of_covariates_are_refused():
  fresh = {"params": {}, "covariates": {"mean": jnp.zeros(2), "deviation": jnp.ones(2)}}
  with pytest.raises(ValueError, match=r"^mean, deviation: must have the shapes {'mean': \(2,\), "):
    with_covariate_statistics(fresh, jnp.zeros(3), jnp.ones(3))
  with pytest.raises(ValueError, match=r"^mean, deviation: must have the shapes {} of the network"):
    with_covariate_statistics({"params": {}}, jnp.zeros(3), jnp.ones(3))
