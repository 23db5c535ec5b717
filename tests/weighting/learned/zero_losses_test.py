"""Learned weightings under a loss that is exactly 0 for a while, as of a task without labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting import (
  famo,
  fixed,
  gradnorm,
  impartial_losses,
  losses_and_gradients,
  mgda,
  revised_uncertainty,
  robust,
  uncertainty,
)
from tests.weighting import table

LEARNED = {
  "uncertainty": uncertainty(),
  "revised_uncertainty": revised_uncertainty(),
  "impartial_losses": impartial_losses(),
  "robust": robust(),
  "gradnorm": gradnorm(),
}
over_learned = pytest.mark.parametrize("name", LEARNED)
STEP = np.log(1.12)  # Adam's steps are rarely above 0.025 · 0.1 / √0.001 = 0.079 in a logarithm
GRAM = np.diag([1.0, 2.0]).astype(np.float32)


@functools.cache
def _probe(name, num_zeros):
  """Returns the weights [steps, 2] that each state would give to losses of 0.5, and to the zero."""
  weighting = LEARNED[name]
  second = np.r_[np.full(20, 0.5), np.zeros(num_zeros), np.full(60, 0.5)]
  rows = np.stack([np.full_like(second, 0.5), second], axis=1).astype(np.float32)

  def step(state, row):
    absent = jnp.asarray([1.0, jnp.sign(row[1])])
    gram = GRAM * absent[:, None] * absent[None]
    weights, _ = weighting.update(jnp.full(2, 0.5), state, gram=gram)
    given, state = weighting.update(row, state, gram=gram)
    return state, (weights, given)

  run = jax.jit(lambda rows: jax.lax.scan(step, weighting.init(rows[0]), rows)[1])
  return tuple(map(np.asarray, run(jnp.array(rows))))


@over_learned
def test_a_weight_changes_by_a_bounded_factor_in_a_step(name):
  weights, given = _probe(name, 300)
  assert np.isfinite(given).all()
  learned = weights if name == "gradnorm" else np.log(weights)  # it learns the weights themselves
  assert np.abs(np.diff(learned, axis=0)).max() < STEP


@over_learned
def test_the_weight_of_a_zero_grows_no_faster_than_the_documentation_says(name):
  _, given = _probe(name, 300)
  growth = np.log(given[20:320, 1] / given[20, 1])
  # A factor e in 40 steps, and somewhat more at first, after steps with small gradients.
  assert (growth <= 0.025 * np.arange(300) + 0.6).all()


@over_learned
def test_the_live_loss_keeps_its_weight(name):
  _, given = _probe(name, 300)
  assert given[20:320, 0].min() > 0.2 * given[19, 0]


def _losses(params, step):
  """Returns a sum of squares, and a hinge that is 0 for 120 steps of 200."""
  hinge = jnp.where(step % 200 < 120, 0.0, jnp.maximum(0.3 + 0.1 * params[0], 0.0))
  return jnp.stack([((params - 1) ** 2).sum(), hinge]), None


@pytest.mark.parametrize("name", ["fixed", *LEARNED])
def test_training_survives_the_return_of_a_loss(name):
  weighting = {**LEARNED, "fixed": fixed()}[name]
  compute = losses_and_gradients(_losses, weighting)

  def step(carry, number):
    params, state = carry
    result, state = compute(params, state, number)
    return (params - 0.01 * result.gradients, state), result.losses[0]

  @jax.jit
  def run(carry):
    return jax.lax.scan(step, carry, jnp.arange(200))[1]

  main = run((jnp.zeros(3), weighting.init(jnp.zeros(2))))
  assert main.max() <= 3.0 + 1e-5  # that of the start


def test_a_huge_loss_does_not_throw_the_scale_of_the_revised_form():
  weighting = revised_uncertainty()
  state = weighting.init(jnp.zeros(1))
  update = jax.jit(weighting.update)
  for loss in [0.0] * 200 + [1e6]:
    before = state.parameters
    _, state = update(jnp.array([loss]), state)
    assert abs(float(jnp.log(state.parameters / before)[0])) < STEP


def test_a_step_that_is_not_finite_keeps_every_bit_of_the_revised_form():
  weighting = revised_uncertainty(0.3)
  state = weighting.init(jnp.zeros(2))
  for row in ([0.7, 3.0], [0.2, 1.0]):
    _, state = weighting.update(jnp.array(row), state)
  _, after = weighting.update(jnp.array([jnp.nan, 1.0]), state)
  jax.tree.map(np.testing.assert_array_equal, after, state)


def test_famo_and_mgda_do_not_stop_the_live_loss():
  """Nor do the others that move weights to the shortest gradient."""
  for name in ("famo", "mgda", "modo", "sdmgrad"):
    weighting = table.ALL[name]
    state = weighting.init(jnp.zeros(2))
    update = jax.jit(weighting.update)
    for n in range(300):
      present = 1.0 if n < 5 else 0.0
      losses = jnp.array([0.5, 0.4 * present])
      weights, state = update(losses, state, gram=GRAM * np.array([1.0, present])[:, None])
    assert weights[0] > 0.1, name
    assert jnp.isfinite(weights).all()


def test_a_gradient_of_zero_changes_nothing_among_the_others_of_mgda():
  rows = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
  update = jax.jit(lambda gram: mgda().update(jnp.ones(len(gram)), (), gram=gram)[0])
  expected = update(jnp.array(rows[1:] @ rows[1:].T))
  rows[0] = 0
  weights = update(jnp.array(rows @ rows.T))
  np.testing.assert_allclose(weights, [0, *expected], rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(update(jnp.zeros((3, 3))), 1 / 3, rtol=1e-6)


def test_famo_goes_on_from_before_a_loss_was_at_its_bound():
  weighting, rows = famo(), jnp.array([[0.5, 0.4], [0.45, 0.3], [0.4, 0.25]])
  state = weighting.init(rows[0])
  for row in rows[:2]:
    _, state = weighting.update(row, state)
  held = state
  for _ in range(3):
    weights, held = weighting.update(jnp.array([0.4, 0.0]), held)
    np.testing.assert_allclose(weights, jax.nn.softmax(state.logits), rtol=1e-6)
  jax.tree.map(np.testing.assert_array_equal, held, state)
