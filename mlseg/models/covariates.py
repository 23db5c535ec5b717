"""Covariates of a patient, such as age, as an input of a network: how they are standardised."""

import jax
import jax.numpy as jnp

from mlseg.models.base import Variables

COLLECTION = "covariates"  # of the variables of a network that reads covariates


def standardised(covariates: jax.Array, mean: jax.Array, deviation: jax.Array) -> jax.Array:
  """Returns covariates in units of their deviation: z = (x - mean) / deviation.

  A covariate that is not known counts as the mean, so that z = 0. So does one whose deviation is 0:
  nothing can be learned from a column that is constant in training.

  Args:
    covariates: x, [B, K]; what is not finite, such as NaN, is not known.
    mean: [K].
    deviation: [K], at least 0.

  Returns:
    [B, K] float32.

  Example:
    >>> covariates = jnp.array([[70.0, 2.0], [jnp.nan, 3.0]])
    >>> standardised(covariates, jnp.array([60.0, 2.0]), jnp.array([5.0, 0.0])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
  """
  difference = covariates.astype(jnp.float32) - mean
  is_used = jnp.isfinite(difference) & (deviation > 0)
  return jnp.where(is_used, difference, 0.0) / jnp.where(deviation > 0, deviation, 1.0)


def with_covariate_statistics(
  variables: Variables, mean: jax.Array, deviation: jax.Array
) -> Variables:
  """Returns the variables of a network that standardises its covariates by these statistics.

  A network begins with a mean of 0 and a deviation of 1, which leave covariates as they are.

  Args:
    variables: from `Model.init`, of a network that reads K covariates.
    mean: [K], finite.
    deviation: [K], finite and at least 0.

  Raises:
    ValueError: the network reads another number of covariates.

  Example:
    >>> fresh = {"params": {}, "covariates": {"mean": jnp.zeros(1), "deviation": jnp.ones(1)}}
    >>> found = with_covariate_statistics(fresh, jnp.array([60.0]), jnp.array([5.0]))
    >>> found["covariates"]["mean"].tolist()
    [60.0]
  """
  statistics = {"mean": mean, "deviation": deviation}
  given = {name: jnp.shape(value) for name, value in statistics.items()}
  wanted = {name: value.shape for name, value in variables.get(COLLECTION, {}).items()}
  if given != wanted:
    raise ValueError(f"mean, deviation: must have the shapes {wanted} of the network, got {given}")
  return {**variables, COLLECTION: statistics}
