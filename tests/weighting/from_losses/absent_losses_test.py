"""What weightings from losses keep of losses that are absent in some steps, beyond the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

KEPT = [0, 2]
# Those with a number per loss, for three losses and for the first and the last of them.
PAIRS = {
  "prior": tuple(
    w.dynamic_memory_fusion("bayesian", 6, 3, 0.2, prior) for prior in ((1.0, 2.0, 4.0), (1.0, 4.0))
  ),
  "prior_again": tuple(
    w.dynamic_memory_fusion("bayesian", 6, 3, 1.0, prior) for prior in ((1.0, 2.0, 4.0), (1.0, 4.0))
  ),
  "cosmos": (w.cosmos((0.5, 1.0, 2.0)), w.cosmos((0.5, 2.0))),
  "boundary": tuple(
    w.penalty_boundary_intersection(preference) for preference in ((0.5, 1.0, 2.0), (0.5, 2.0))
  ),
  "tchebycheff": tuple(
    w.smooth_tchebycheff(0.5, preference) for preference in ((0.5, 1.0, 2.0), (0.5, 2.0))
  ),
  "tchebycheff_log": tuple(
    w.smooth_tchebycheff(0.5, preference, log=True, warm_up=1, nadir_updates=2)
    for preference in ((0.5, 1.0, 2.0), (0.5, 2.0))
  ),
  "inverses": 2 * (w.soft_optimal_uncertainty(None),),
  "softadapt_seldom": 2 * (w.softadapt(window=3, update_every=2),),
  "average_with_current": 2 * (w.dynamic_weight_average(window=2, include_current=True),),
  "relobralo_expected": 2 * (w.relobralo(0.5, 1.0, 0.9, random=False),),
  "famo_bounds": (w.famo(min_losses=(-1.0, 9.0, 0.0)), w.famo(min_losses=(-1.0, 0.0))),
}


def _rows(steps, seed=0):
  return jnp.array(np.random.default_rng(seed).gamma(3.0, 1.0, [steps, 3]), jnp.float32)


def _run(weighting, rows, masks=None, **extra):
  """Returns the weights and the states after each row."""

  def step(state, inputs):
    row, mask, more = inputs
    weights, state = weighting.update(row, state, present=mask, **more)
    return state, (weights, state)

  run = jax.jit(lambda *inputs: jax.lax.scan(step, weighting.init(rows[0]), inputs)[1])
  return jax.tree.map(np.asarray, run(rows, masks, extra))


@pytest.mark.parametrize("name", PAIRS)
def test_numbers_per_loss_are_those_of_the_present_losses(name):
  weighting, alone = PAIRS[name]
  rows = _rows(9)
  masks = np.broadcast_to([True, False, True], rows.shape)
  weights, _ = _run(weighting, rows.at[:, 1].set(jnp.nan), masks)
  expected, _ = _run(alone, rows[:, KEPT])
  np.testing.assert_allclose(weights[:, KEPT], expected, rtol=1e-5, atol=1e-7)


def _scaled(values):
  values = np.log1p(np.asarray(values, float))
  return (values - values.min()) / (values.max() - values.min())


def test_memory_fusion_reads_the_own_history_of_each_loss():
  rows, masks = _rows(16), np.ones((16, 3), bool)
  masks[1::2, 1] = False
  masks[4:7, 2] = False
  rows = jnp.where(masks, rows, jnp.nan)
  weights, _ = _run(w.dynamic_memory_fusion("variance", 20, 4), rows, masks)
  for step in (9, 14, 15):
    variances = np.array(
      [_scaled(rows[: step + 1, k][masks[: step + 1, k]]).var() for k in range(3)]
    )
    variances = variances * masks[step]
    np.testing.assert_allclose(weights[step], variances / variances.sum(), rtol=1e-4)


def test_the_prior_of_an_absent_loss_stays_and_that_of_the_others_is_shared_among_them():
  rows, masks = _rows(12), np.ones((12, 3), bool)
  masks[8:, 1] = False
  weighting = w.dynamic_memory_fusion("bayesian", 6, 3, 0.1, (1.0, 2.0, 1.0))
  weights, states = _run(weighting, rows, masks)
  np.testing.assert_array_equal(states.log_prior[8:, 1], states.log_prior[7, 1])
  np.testing.assert_allclose(np.exp(states.log_prior).sum(axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
  assert np.abs(states.log_prior[11] - states.log_prior[7])[[0, 2]].min() > 0.01


def test_softadapt_holds_the_weight_of_an_absent_loss():
  rows, masks = _rows(9), np.ones((9, 3), bool)
  masks[5:8, 1] = False
  weights, states = _run(w.softadapt(beta=1.0, window=3), rows, masks)
  np.testing.assert_array_equal(states.weights[5:8, 1], states.weights[4, 1])
  np.testing.assert_allclose(states.weights.sum(axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(weights[8], states.weights[8], rtol=1e-5)
  np.testing.assert_array_equal(states.num_updates, np.arange(1, 10))


def test_a_weight_that_was_zero_can_rise_without_the_loss_that_had_all():
  rows = jnp.array([[-3e38, 3.0, 1.0], [3e38, 2.0, 1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
  masks = np.array([[True, True, True]] * 2 + [[False, True, True]] * 2)
  weights, states = _run(w.softadapt(beta=1.0, window=2, update_every=3), rows, masks)
  np.testing.assert_allclose(weights[1], 1 / 3, rtol=1e-6)
  weights, states = _run(w.softadapt(beta=1.0, window=2), rows, masks)
  np.testing.assert_allclose(weights[1], [1, 0, 0])
  expected = np.exp([-1.0, 1.0]) / np.exp([-1.0, 1.0]).sum()
  np.testing.assert_allclose(weights[2, 1:], expected, rtol=1e-5)
  assert (states.weights[2, 1:] > 0).all()


def test_relobralo_holds_the_weights_while_a_loss_is_new():
  rows, masks = _rows(6), np.ones((6, 3), bool)
  masks[:3, 1] = False
  weights, states = _run(w.relobralo(0.5, 1.0, 0.9), rows, masks)
  np.testing.assert_array_equal(states.weights[:4, 1], 1)
  np.testing.assert_array_equal(states.weights[3], states.weights[2])
  np.testing.assert_array_equal(states.first[-1], [rows[0, 0], rows[3, 1], rows[0, 2]])
  np.testing.assert_allclose(states.weights.sum(axis=1), 3, rtol=1e-5)
  np.testing.assert_allclose(weights.sum(axis=1), masks.sum(axis=1), rtol=1e-5)
  assert np.abs(weights[4] - weights[3]).min() > 1e-3


def test_each_loss_varies_around_its_own_mean():
  rows, masks = _rows(10), np.ones((10, 3), bool)
  masks[1::2, 1] = False
  _, states = _run(w.coefficient_of_variation(), rows, masks)
  _, gapless = _run(w.coefficient_of_variation(), rows[::2])
  for found, expected in zip(states, gapless, strict=True):
    np.testing.assert_array_equal(found[-1, 1], expected[-1, 1])
  np.testing.assert_array_equal(states.num_seen[-1], [10, 5, 10])


def test_the_mean_losses_of_tchebycheff_come_from_the_own_steps_of_each_loss():
  rows, masks = _rows(8), np.ones((8, 3), bool)
  masks[[0, 2, 3], 1] = False
  weighting = w.smooth_tchebycheff(1.0, log=True, warm_up=1, nadir_updates=2)
  weights, states = _run(weighting, rows, masks)
  expected = rows[1:3].mean(axis=0).at[1].set(rows[4:6, 1].mean())
  np.testing.assert_allclose(states.nadir[-1], expected, rtol=1e-6)
  # A loss whose mean is not known yet makes all weights inverses, but not where it is absent.
  np.testing.assert_allclose(weights[4:6], 1 / rows[4:6], rtol=1e-6)
  assert np.abs(weights[3] * rows[3] - 1)[KEPT].min() > 1e-3


def test_famo_learns_from_the_losses_that_both_steps_have():
  rows, after, masks = _rows(6), _rows(6, seed=1), np.ones((6, 3), bool)
  masks[2, 1] = False
  weights, states = _run(w.famo(), rows, masks, losses_after=after)
  # These are of the batch before, in which the loss was absent, so the number has no meaning.
  changed = _run(w.famo(), rows, masks, losses_after=after.at[3, 1].set(99.0))
  jax.tree.map(np.testing.assert_array_equal, (weights, states), changed)
  np.testing.assert_array_equal(states.logits[2:4, 1], states.logits[1, 1])
  np.testing.assert_array_equal(states.log_losses[2, 1], states.log_losses[1, 1])
  assert np.abs(np.diff(states.logits[1:, KEPT], axis=0)).min() > 1e-4
  assert states.logits[4, 1] != states.logits[3, 1]


@pytest.mark.parametrize(
  ("distribution", "subsets"),
  [("bernoulli", [1, 4, 5]), ("constrained_bernoulli", [1, 4])],
)
def test_random_subsets_of_the_present_losses_are_equally_likely(distribution, subsets):
  weighting, losses = w.random_weighting(distribution), jnp.full(3, jnp.nan)
  state, present = weighting.init(losses), jnp.array([True, False, True])
  keys = jax.random.split(jax.random.key(0), 5000)
  draw = jax.jit(jax.vmap(lambda key: weighting.update(losses, state, key=key, present=present)[0]))
  weights = np.asarray(draw(keys))
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
  shares = np.bincount((weights > 0) @ [1, 2, 4], minlength=8) / len(keys)
  np.testing.assert_allclose(shares[subsets], 1 / len(subsets), atol=0.035)
  assert shares[subsets].sum() == pytest.approx(1)
