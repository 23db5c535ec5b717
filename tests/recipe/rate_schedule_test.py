"""The learning rate over a run, against formulas in numpy and optax's own schedules."""

import jax
import numpy as np
import optax
import pytest

from mlseg.errors import UserError
from mlseg.recipe.rate_schedule import SCHEDULES, rate_schedule, warm_up_steps

STEPS = 40


def _formula(name, peak, warm_up, power, end):
  t = np.arange(STEPS + 5.0)
  rest = np.clip((t - warm_up) / (STEPS - warm_up), 0, 1)
  shape = {
    "constant": np.ones_like(t),
    "cosine": end + (1 - end) * (1 + np.cos(np.pi * rest)) / 2,
    "polynomial": end + (1 - end) * (1 - rest) ** power,
  }[name]
  return peak * np.where(t < warm_up, t / max(warm_up, 1), shape)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warm_up", [0, 1, 7, 39])
@pytest.mark.parametrize(("power", "end"), [(0.9, 0.0), (2.0, 0.1)])
def test_equals_its_formula(name, warm_up, power, end):
  schedule = rate_schedule(name, -0.3, STEPS, warm_up, power, end)
  found = jax.vmap(schedule)(np.arange(STEPS + 5))
  expected = np.broadcast_to(_formula(name, -0.3, warm_up, power, end), found.shape)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_equals_the_schedules_of_optax():
  peers = {
    "constant": optax.warmup_constant_schedule(0.0, 0.3, 8),
    "cosine": optax.warmup_cosine_decay_schedule(0.0, 0.3, 8, STEPS, 0.03),
    "polynomial": optax.join_schedules(
      [optax.linear_schedule(0.0, 0.3, 8), optax.polynomial_schedule(0.3, 0.03, 0.9, STEPS - 8)],
      [8],
    ),
  }
  for name, peer in peers.items():
    schedule = rate_schedule(name, 0.3, STEPS, 8, 0.9, 0.1)
    for step in (0, 3, 8, 9, 25, STEPS, STEPS + 3):
      np.testing.assert_allclose(schedule(step), peer(step), rtol=1e-6, err_msg=name)


def test_an_unknown_schedule_is_named():
  with pytest.raises(UserError, match="schedule 'step': choose from constant, cosine, poly"):
    rate_schedule("step", 0.1, 10)


def test_a_warm_up_is_counted_in_steps_and_leaves_one_of_the_run():
  assert warm_up_steps(0.0, 10, 140) == 0
  assert warm_up_steps(2.0, 10, 140) == 28
  assert warm_up_steps(0.25, 10, 140) == 4  # 3.5, to the next
  assert warm_up_steps(1e-3, 10, 140) == 1
  assert warm_up_steps(2.99, 3, 3) == 2
  assert warm_up_steps(0.5, 1, 1) == 0
