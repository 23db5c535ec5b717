"""Covariates of patients: the columns that a network reads, and their statistics."""

import numpy as np
import pytest

from mlseg.data import covariates


def test_statistics_are_those_of_the_known_values():
  rng = np.random.default_rng(0)
  values = (rng.normal(size=(40, 3)) * [0.1, 3000, 1] + [2, 1e4, 2015]).astype(np.float32)
  values[rng.random(values.shape) < 0.3] = np.nan
  mean, deviation = covariates.statistics(values)
  assert mean.dtype == deviation.dtype == np.float32
  np.testing.assert_allclose(mean, np.nanmean(values, 0, dtype=np.float64), rtol=1e-6)
  np.testing.assert_allclose(deviation, np.nanstd(values, 0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1e4, -7.3e8])
def test_a_constant_column_has_no_deviation(value):
  mean, deviation = covariates.statistics(np.full((7, 1), value, np.float32))
  np.testing.assert_array_equal(mean, np.float32([value]))
  assert deviation.tolist() == [0]


def test_a_column_without_a_known_value_counts_as_constant():
  values = np.array([[np.nan, 3.0], [np.inf, 5.0]], np.float32)
  mean, deviation = covariates.statistics(values)
  assert (mean.tolist(), deviation.tolist()) == ([0, 4], [0, 1])


@pytest.mark.parametrize(
  ("known", "message"),
  [(("age", "volume_ml"), ": choose from age, volume_ml"), ((), ", nor any other")],
)
def test_a_column_that_is_not_there_is_named(known, message):
  values = np.zeros((2, len(known))) if known else None
  with pytest.raises(ValueError, match=f"^the manifest has no covariate 'agee'{message}$"):
    covariates.columns(values, known, ("agee",))
