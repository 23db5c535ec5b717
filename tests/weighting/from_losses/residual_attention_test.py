"""Residual-based attention against its formula, in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w


def test_multipliers_are_those_of_the_formula():
  rng = np.random.default_rng(0)
  weighting, multipliers = w.residual_based_attention(0.9, 0.1), np.zeros(6)
  state = weighting.init(jnp.zeros(6))
  for _ in range(30):
    residuals = rng.normal(size=6)
    multipliers = 0.9 * multipliers + 0.1 * np.abs(residuals) / np.abs(residuals).max()
    weights, state = weighting.update(jnp.array(residuals**2, jnp.float32), state)
    np.testing.assert_allclose(weights, multipliers**2 / 6, rtol=1e-5)
  assert multipliers.max() < 0.1 / (1 - 0.9)


def test_several_sets_of_points_are_weighted_under_vmap():
  weighting = w.residual_based_attention()
  squares = jnp.array([[1.0, 4.0], [9.0, 1.0]])
  states = jax.vmap(weighting.init)(squares)
  weights, _ = jax.vmap(weighting.update)(squares, states)
  for row, own in zip(squares, weights, strict=True):
    np.testing.assert_allclose(own, weighting.update(row, weighting.init(row))[0])


def test_points_without_residuals_count_alike():
  weighting = w.residual_based_attention(rate=0.5)
  weights, state = weighting.update(jnp.zeros(4), weighting.init(jnp.zeros(4)))
  np.testing.assert_allclose(weights, 0.25 / 4)
  assert (state.multipliers == 0).all()


@pytest.mark.parametrize(
  ("options", "message"),
  [({"decay": 1.0}, "decay: must be below 1"), ({"rate": 0.0}, "rate: must be")],
)
def test_wrong_arguments_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    w.residual_based_attention(**options)
