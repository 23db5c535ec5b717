"""Losses that are absent in a step: they have no weight, leave no trace, and change no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w
from mlseg.weighting import presence
from tests.weighting import table
from tests.weighting.table import ALL, random_losses

over_weightings = pytest.mark.parametrize("name", ALL)
MASK = np.array([True, False, True])
KEPT = np.flatnonzero(MASK)
# Those with a number per loss, as they are for the present losses alone.
ALONE = {
  "fixed_values": w.fixed((0.5, 1.0)),
  "with_prior": w.with_prior((5.0, 2.0)),
  "chain_of_chains": w.chain(w.chain(w.fixed((9.0, 2.0)), w.bounded(0.2, 0.5)), w.ema()),
  "with_auxiliary": w.dynamic_memory_fusion("variance", **table.SHORT),
  "with_auxiliary_gram": w.cagrad(),
}
RANDOM = {"random_weighting", "random_weighting_dirichlet"}  # fewer losses are other draws
# They count steps, whatever losses these have.
COUNTING = {
  "scheduled",
  "every",
  "every_mgda",
  "per_epoch",
  "warm_up",
  "with_auxiliary",
  "with_auxiliary_gram",
}


RUNS = {name: table.scan(name) for name in ALL}


def _alone(name, rows, grams):
  """Returns the weights of the present losses, by the same weighting of these losses alone."""
  weighting = ALONE.get(name, ALL[name])
  names = [key for key, kept in zip("abc", MASK, strict=True) if kept]

  def structured(row):
    return dict(zip(names, row, strict=True)) if name in table.ON_DICTS else row

  def body(state, inputs):
    row, gram = inputs
    given = gram if weighting.needs_gram else None
    weights, state = weighting.update(structured(row), state, gram=given)
    return state, jnp.stack(jax.tree.leaves(weights)).reshape(-1)

  run = jax.jit(lambda rows, grams: jax.lax.scan(body, weighting.init(structured(rows[0])),
                                                 (rows, grams))[1])  # fmt: skip
  return run(rows[:, KEPT], grams[:, KEPT][:, :, KEPT])


def _grams(rows):
  return jax.vmap(table.gram_of_row)(rows)


def _always(mask, rows):
  return jnp.broadcast_to(jnp.asarray(mask), rows.shape)


@over_weightings
def test_present_losses_are_weighted_as_if_they_were_alone(name):
  rows = random_losses(11)
  grams = _grams(rows)
  weights, state = RUNS[name](rows, grams, _always(MASK, rows))
  assert (weights[:, ~MASK] == 0).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
  if name in RANDOM:
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    return
  rtol = 1e-3 if ALL[name].needs_gram else 1e-5
  np.testing.assert_allclose(weights[:, KEPT], _alone(name, rows, grams), rtol=rtol, atol=1e-6)


@over_weightings
def test_an_absent_loss_may_have_any_value(name):
  rows, masks = random_losses(12), np.ones((9, table.K), bool)
  masks[1::2, 1] = False
  masks[4, 0] = masks[4, 2] = False
  grams = _grams(rows)
  hidden = ~masks[:, :, None] | ~masks[:, None]
  expected = RUNS[name](rows, grams, masks)
  found = RUNS[name](jnp.where(masks, rows, jnp.nan), jnp.where(hidden, jnp.inf, grams), masks)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  weights, state = found
  assert (weights[~masks] == 0).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((weights, state)))


@over_weightings
def test_all_present_is_the_update_without_a_mask(name):
  rows = random_losses(13)
  weights, state = RUNS[name](rows, _grams(rows), _always(True, rows))
  expected_weights, expected_state = table.scan(name)(rows)
  rtol = 2e-4 if ALL[name].needs_gram else 1e-5
  np.testing.assert_allclose(weights, expected_weights, rtol=rtol, atol=1e-6)
  for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(expected_state), strict=True):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6)


@over_weightings
def test_a_step_without_losses_has_no_weights_and_changes_no_later_ones(name):
  rows, masks = random_losses(14), np.ones((9, table.K), bool)
  masks[[2, 5]] = False
  weights, _ = RUNS[name](rows, _grams(rows), masks)
  assert (weights[~masks] == 0).all()
  if name not in COUNTING | RANDOM:
    others = rows[masks[:, 0]]
    expected, _ = table.scan(name)(others)
    rtol = 1e-3 if ALL[name].needs_gram else 1e-4
    np.testing.assert_allclose(weights[masks[:, 0]], expected, rtol=rtol, atol=1e-5)


@pytest.mark.slow
@over_weightings
@pytest.mark.parametrize("present", [0, 1, 2])
def test_a_single_present_loss_among_many_has_a_finite_weight(name, present):
  rows = random_losses(15)
  masks = np.zeros((9, table.K), bool)
  masks[:, present] = True
  weights, state = RUNS[name](rows, _grams(rows), masks)
  assert (weights[~masks] == 0).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((weights, state)))


def test_the_mask_may_have_the_structure_of_the_losses():
  weighting = w.geometric()
  losses = {"a": jnp.float32(2.0), "b": jnp.float32(4.0)}
  by_name, _ = weighting.update(
    losses, weighting.init(losses), present={"a": np.bool_(False), "b": np.bool_(True)}
  )
  in_order, _ = weighting.update(losses, weighting.init(losses), present=jnp.array([False, True]))
  assert {name: float(weight) for name, weight in by_name.items()} == {"a": 0.0, "b": 1.0}
  assert jax.tree.map(float, by_name) == jax.tree.map(float, in_order)


@pytest.mark.parametrize("present", [[True], {"a": True, "c": True}, jnp.ones(3, bool)])
def test_a_mask_of_other_losses_is_refused(present):
  losses = {"a": jnp.float32(2.0), "b": jnp.float32(4.0)}
  with pytest.raises(ValueError, match="present: must be 2 bools"):
    presence.as_mask(losses, present)


# Those whose numbers are for K = 3 losses, or whose bounds leave no room for 50.
_FOR_THREE = {"fixed_values", "with_prior", "chain_of_chains", "bounded", "chain", *table.ON_DICTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name not in _FOR_THREE])
@pytest.mark.parametrize("number", [1, 50])
def test_one_loss_and_fifty(name, number):
  rng, weighting = np.random.default_rng(number), ALL[name]
  rows = jnp.array(rng.gamma(2.0, 1.0, [7, number]), jnp.float32)
  gradients = rows[..., None] * jnp.array(rng.normal(size=(1, number, 8)), jnp.float32)
  grams = jnp.matmul(gradients, gradients.swapaxes(1, 2), precision="highest")
  masks = rng.random([7, number]) < 0.7
  masks[:2] = True

  def body(state, inputs):
    row, gram, mask = inputs
    given = gram if weighting.needs_gram else None
    weights, state = weighting.update(row, state, gram=given, present=mask)
    return state, weights

  run = jax.jit(lambda *inputs: jax.lax.scan(body, weighting.init(rows[0]), inputs))
  state, weights = run(rows, grams, masks)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((state, weights)))
  assert (np.asarray(weights)[~masks] == 0).all()
  assert (np.abs(np.asarray(weights)[:2]).sum(axis=1) > 0).all()
