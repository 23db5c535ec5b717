"""The schedule of an auxiliary loss; what it hides from the others is in combinators_test."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.combinators.auxiliary import with_auxiliary
from mlseg.weighting.from_losses.fixed import fixed


def _gammas(num_steps, dtype=jnp.float32, **options):
  weighting = with_auxiliary(fixed(), "focal", **options)
  losses = {"dice": jnp.asarray(0.5, dtype), "focal": jnp.asarray(0.1, dtype)}

  def step(state, _):
    weights, state = weighting.update(losses, state)
    assert weights["focal"].dtype == dtype
    return state, weights["focal"]

  run = jax.jit(lambda: jax.lax.scan(step, weighting.init(losses), length=num_steps))
  return np.asarray(run()[1], np.float64)


@pytest.mark.parametrize(
  "schedule",
  [
    optax.linear_schedule(5.0, 0.0, 10),
    optax.cosine_decay_schedule(2.0, 8),
    optax.join_schedules([optax.constant_schedule(1.0), optax.constant_schedule(0.0)], [4]),
    optax.exponential_decay(5.0, 100, 0.9, staircase=True),
    lambda count: 3.0,
  ],
)
def test_weight_follows_any_schedule_of_optax(schedule):
  expected = [schedule(count) for count in range(12)]
  actual = _gammas(12, schedule=schedule)
  assert actual.min() >= 0  # though a linear schedule ends a rounding below 0
  np.testing.assert_allclose(actual, expected, rtol=1e-6)
  np.testing.assert_allclose(_gammas(12, jnp.bfloat16, schedule=schedule), expected, rtol=1e-2)
  with jax.numpy_dtype_promotion("strict"):
    np.testing.assert_allclose(_gammas(12, schedule=schedule), expected, rtol=1e-6)
  with jax.enable_x64(True):
    double = _gammas(12, jnp.float64, schedule=schedule)
  np.testing.assert_allclose(double, expected, rtol=1e-5, atol=1e-6)


def test_the_default_is_the_exponential_of_the_paper():
  schedule = optax.exponential_decay(5.0, 100, float(np.exp(-0.05)), staircase=True)
  np.testing.assert_allclose(_gammas(350), _gammas(350, schedule=schedule), rtol=1e-5)


def test_a_schedule_that_is_not_finite_gives_no_weight():
  gammas = _gammas(3, schedule=lambda count: jnp.log(count.astype(jnp.float32)))
  np.testing.assert_allclose(gammas, [0, 0, np.log(2)], rtol=1e-6)
