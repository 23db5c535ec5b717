"""Weights on schedules of optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w


def test_every_loss_follows_its_own_schedule():
  schedules = (optax.cosine_decay_schedule(2.0, 10), 0.5, optax.linear_schedule(-1.0, 1.0, 4))
  weighting = w.scheduled(schedules)
  state = weighting.init(jnp.zeros(3))
  update = jax.jit(lambda state: weighting.update(jnp.ones(3), state))
  for step in range(12):
    weights, state = update(state)
    expected = [schedules[0](step), 0.5, max(float(schedules[2](step)), 0)]
    np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-6)


def test_a_weight_that_is_not_finite_is_zero():
  weighting = w.scheduled(lambda step: jnp.where(step == 0, jnp.nan, jnp.inf))
  weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)))
  assert weights.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("schedules", [(1.0, 2.0), {"a": 1.0}, {"a": 1.0, "c": 1.0}])
def test_schedules_of_other_losses_are_refused(schedules):
  losses = {"a": jnp.zeros(()), "b": jnp.zeros(()), "d": jnp.zeros(())}
  with pytest.raises(ValueError, match="schedules: must be one, 3, or like the losses"):
    w.scheduled(schedules).init(losses)
  with pytest.raises(ValueError, match="schedules: must be a finite number"):
    w.scheduled((-1.0, 1.0))
