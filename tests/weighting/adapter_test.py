"""`combine_gradients` as an optax transformation: alone, in chains, and in optax's wrappers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.adapter import combine_gradients
from mlseg.weighting.base import LossWeighting, ravel
from mlseg.weighting.combinators.chain import chain, ema
from mlseg.weighting.from_losses.dynamic_memory_fusion import dynamic_memory_fusion
from mlseg.weighting.from_losses.fixed import fixed
from mlseg.weighting.stacked import gram_of, stacked_zeros

NAMES = {"l1": 0.0, "l2": 0.0, "l4": 0.0}
ADAPTIVE = chain(dynamic_memory_fusion("variance", capacity=4, min_history=2), ema(0.5))
PARAMS = {"w": jnp.array([[0.5, -1.0], [1.5, 0.2]]), "b": jnp.array([0.1, -0.3])}


def _batch(seed=0, size=8):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(size, 2)).astype(np.float32)
  y = x @ np.array([[1.0, 2.0], [-1.0, 0.5]], np.float32) + 0.3
  return {"x": x, "y": y}


def _losses(params, batch):
  error = batch["x"] @ params["w"] + params["b"][None] - batch["y"]
  return {"l1": jnp.abs(error).mean(), "l2": (error**2).mean(), "l4": (error**4).mean()}


def _gradients(params, batch):
  """Returns the losses as a dict, and their gradients stacked."""
  vector = lambda p: jnp.stack(jax.tree.leaves(_losses(p, batch)))  # noqa: E731
  return _losses(params, batch), jax.jacrev(vector)(params)


def _inverse_length():
  """A weighting that compares gradients: w_k = 1 / G_kk, and its state is the last Gram matrix."""

  def update(losses, state, *, gram=None, **extra):
    return ravel(losses)[1](1 / jnp.diag(gram)), gram

  return LossWeighting(lambda losses: jnp.zeros((3, 3)), update, needs_gram=True)


def _direct(weighting, inner, num_steps):
  """Descends by one pull-back of the weights per step, without the transformation."""
  params, opt_state, state = PARAMS, inner.init(PARAMS), weighting.init(NAMES)
  for seed in range(num_steps):
    batch = _batch(seed)
    losses, pull_back = jax.vjp(lambda p, batch=batch: _losses(p, batch), params)
    gram = gram_of(_gradients(params, batch)[1]) if weighting.needs_gram else None
    weights, state = weighting.update(losses, state, gram=gram)
    updates, opt_state = inner.update(pull_back(weights)[0], opt_state, params)
    params = optax.apply_updates(params, updates)
  return params, weights


def _step(optimizer):
  def step(carry, batch):
    params, state = carry
    losses, gradients = _gradients(params, batch)
    updates, state = optimizer.update(gradients, state, params, losses=losses)
    return (optax.apply_updates(params, updates), state), losses

  return step


def _descend(optimizer, num_steps, state=None):
  """Descends with the optimiser in one scan."""
  state = optimizer.init(PARAMS) if state is None else state
  batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(_batch, range(num_steps)))
  (params, state), losses = jax.jit(lambda c, b: jax.lax.scan(_step(optimizer), c, b))(
    (PARAMS, state), batches
  )
  return params, state, losses


def _assert_close(actual, expected, rtol=1e-6, atol=1e-6):
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=rtol, atol=atol), actual, expected
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  "weighting", [fixed((0.5, 2.0, 0.1)), ADAPTIVE, _inverse_length()], ids=["fixed", "dmf", "gram"]
)
@pytest.mark.parametrize("inner", [optax.adam(0.1), optax.sgd(0.05, momentum=0.9)])
def test_a_chain_is_the_optimiser_that_pulls_weights_back(weighting, inner):
  optimizer = optax.chain(combine_gradients(weighting, NAMES), inner)
  params, state, _ = _descend(optimizer, 8)
  expected_params, expected_weights = _direct(weighting, inner, 8)
  _assert_close(params, expected_params, rtol=2e-6)
  _assert_close(state[0].weights, expected_weights, rtol=1e-5)


def test_a_regression_converges():
  optimizer = optax.chain(combine_gradients(ADAPTIVE, NAMES), optax.adam(0.1))
  params, _, losses = _descend(optimizer, 600)
  assert losses["l2"][-1] < 1e-3 * losses["l2"][0]
  np.testing.assert_allclose(params["w"], [[1.0, 2.0], [-1.0, 0.5]], atol=0.1)


def test_losses_may_be_one_array_and_number_says_how_many():
  _, gradients = _gradients(PARAMS, _batch())
  by_number, by_name = (combine_gradients(fixed((1.0, 2.0, 3.0)), one) for one in (3, NAMES))
  state = by_number.init(PARAMS)
  assert state.weights.tolist() == pytest.approx([1 / 3] * 3)
  updates, state = by_number.update(gradients, state, losses=jnp.array([0.1, 0.2, 0.3]))
  np.testing.assert_array_equal(state.weights, [1.0, 2.0, 3.0])
  named, _ = by_name.update(gradients, by_name.init(PARAMS), losses=_losses(PARAMS, _batch()))
  _assert_close(updates, named)


def test_gram_is_that_of_all_leaves_unless_it_is_given():
  losses, gradients = _gradients(PARAMS, _batch())
  transformation = combine_gradients(_inverse_length(), NAMES)
  state = transformation.init(PARAMS)
  _, own = transformation.update(gradients, state, losses=losses)
  rows = np.concatenate([np.asarray(g, np.float64).reshape(3, -1) for g in gradients.values()], 1)
  np.testing.assert_allclose(own.weighting_state, rows @ rows.T, rtol=1e-5)
  given = jnp.diag(jnp.array([1.0, 2.0, 4.0]))
  _, other = transformation.update(gradients, state, losses=losses, gram=given)
  np.testing.assert_array_equal(jax.tree.leaves(other.weights), [1.0, 0.5, 0.25])


def test_key_and_unknown_extras_reach_the_weighting():
  def update(losses, state, *, key=None, epoch=None, **extra):
    return {name: key * epoch for name in losses}, state

  transformation = combine_gradients(fixed()._replace(update=update), NAMES)
  losses, gradients = _gradients(PARAMS, _batch())
  _, state = transformation.update(
    gradients, transformation.init(PARAMS), losses=losses, key=jnp.float32(2.0), epoch=3.0
  )
  assert state.weights["l1"] == 6.0


def _specification(tree):
  return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_updates_are_as_the_parameters_and_the_state_never_changes_shape(dtype):
  with jax.enable_x64(dtype == "float64"):
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), PARAMS)
    losses = jax.tree.map(lambda loss: jnp.asarray(loss, dtype), _losses(PARAMS, _batch()))
    gradients = jax.tree.map(lambda g: g.astype(dtype), _gradients(PARAMS, _batch())[1])
    for example in (NAMES, 3):
      given = losses if example == NAMES else jnp.stack(jax.tree.leaves(losses))
      transformation = combine_gradients(chain(_inverse_length(), ema(0.5)), example)
      state = transformation.init(params)
      updates, next_state = jax.jit(transformation.update)(gradients, state, losses=given)
      assert _specification(updates) == _specification(params)
      wide = "float64" if dtype == "float64" else "float32"
      assert {str(leaf.dtype) for leaf in jax.tree.leaves(next_state.weights)} == {wide}
      members, next_members = (s.weighting_state.members[1] for s in (state, next_state))
      assert _specification(next_members) == _specification(members)


def test_vmap_over_seeds_equals_a_loop():
  optimizer = optax.chain(combine_gradients(ADAPTIVE, NAMES), optax.adam(0.1))
  many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), PARAMS)
  step = lambda params, state: _step(optimizer)((params, state), _batch())[0]  # noqa: E731
  params, _ = jax.jit(jax.vmap(step))(many, jax.vmap(optimizer.init)(many))
  single = jax.jit(step)
  for seed in range(2):
    one = jax.tree.map(lambda leaf, seed=seed: leaf[seed], many)
    expected, _ = single(one, optimizer.init(one))
    _assert_close(jax.tree.map(lambda leaf, seed=seed: leaf[seed], params), expected)


def test_partition_weighs_every_group_by_its_own_gradients():
  labels = {"w": "shared", "b": "heads"}
  groups = {
    "shared": combine_gradients(_inverse_length(), NAMES),
    "heads": combine_gradients(fixed(), NAMES),
  }
  optimizer = optax.chain(optax.partition(groups, labels), optax.sgd(1.0))
  losses, gradients = _gradients(PARAMS, _batch())
  updates, state = jax.jit(optimizer.update)(
    gradients, optimizer.init(PARAMS), PARAMS, losses=losses
  )
  rows = np.asarray(gradients["w"], np.float64).reshape(3, -1)
  shared = (rows / (rows**2).sum(1, keepdims=True)).sum(0).reshape(2, 2)
  np.testing.assert_allclose(updates["w"], -shared, rtol=1e-5)
  np.testing.assert_allclose(updates["b"], -np.asarray(gradients["b"]).sum(0), rtol=1e-5)
  gram = state[0].inner_states["shared"].inner_state.weighting_state
  np.testing.assert_allclose(gram, rows @ rows.T, rtol=1e-5)


def _halves(seed):
  """Returns a batch as two micro-batches that differ much, [2, B / 2, ...]."""
  batch = _batch(seed)
  batch["y"][:4] += 3.0
  return jax.tree.map(lambda leaf: jnp.stack(jnp.split(leaf, 2)), batch), batch


def _inverse_loss():
  """A weighting without memory whose weights depend on the losses: w_k = 1 / L_k."""
  update = lambda losses, state, **_: (jax.tree.map(lambda loss: 1 / loss, losses), state)  # noqa: E731
  return fixed()._replace(update=update)


@pytest.mark.parametrize(
  "weighting", [fixed((1.0, 2.0, 3.0)), _inverse_loss(), _inverse_length()], ids=["f", "loss", "g"]
)
def test_multisteps_around_the_chain_is_the_whole_batch(weighting):
  whole = optax.chain(combine_gradients(weighting, NAMES), optax.adam(0.1))
  optimizer = optax.MultiSteps(whole, 2)
  update = jax.jit(optimizer.update)
  state, whole_state = optimizer.init(PARAMS), whole.init(PARAMS)
  state = state._replace(acc_grads=stacked_zeros(PARAMS, 3))
  params = whole_params = PARAMS
  for seed in range(3):
    halves, batch = _halves(seed)
    losses, gradients = _gradients(whole_params, batch)
    updates, whole_state = whole.update(gradients, whole_state, whole_params, losses=losses)
    whole_params = optax.apply_updates(whole_params, updates)
    means, current = jax.tree.map(jnp.zeros_like, NAMES), params
    for part in range(2):
      half = jax.tree.map(lambda leaf, part=part: leaf[part], halves)
      part_losses, gradients = _gradients(current, half)
      means = jax.tree.map(lambda m, loss: m + loss / 2, means, part_losses)
      updates, state = update(gradients, state, params, losses=means)
      params = optax.apply_updates(params, updates)
      if part == 0:
        assert all((u == 0).all() for u in jax.tree.leaves(updates))
    _assert_close(params, whole_params, rtol=1e-5, atol=1e-5)
  _assert_close(state.inner_opt_state[0].weights, whole_state[0].weights, rtol=1e-4)


def test_multisteps_around_the_chain_without_the_axis_of_the_losses_is_refused():
  optimizer = optax.MultiSteps(optax.chain(combine_gradients(fixed(), NAMES), optax.sgd(0.1)), 2)
  losses, gradients = _gradients(PARAMS, _batch())
  with pytest.raises(ValueError, match="updates: must have the K = 3 losses along the first axis"):
    optimizer.update(gradients, optimizer.init(PARAMS), PARAMS, losses=losses)


@pytest.mark.parametrize(
  ("weighting", "is_whole"), [(fixed((1.0, 2.0, 3.0)), True), (_inverse_loss(), False)]
)
def test_multisteps_after_it_averages_what_each_microbatch_decides(weighting, is_whole):
  accumulated = optax.MultiSteps(optax.sgd(1.0), 2).gradient_transformation()
  optimizer = optax.chain(combine_gradients(weighting, NAMES), accumulated)
  state, sums = optimizer.init(PARAMS), []
  halves, batch = _halves(0)
  for rows in (*(jax.tree.map(lambda leaf, p=p: leaf[p], halves) for p in range(2)), batch):
    losses, gradients = _gradients(PARAMS, rows)
    weights, _ = weighting.update(losses, weighting.init(losses))
    sums.append(np.tensordot(jnp.stack(jax.tree.leaves(weights)), gradients["w"], 1))
    if rows is not batch:
      updates, state = optimizer.update(gradients, state, PARAMS, losses=losses)
  np.testing.assert_allclose(updates["w"], -(sums[0] + sums[1]) / 2, rtol=1e-5)
  assert np.allclose(updates["w"], -sums[2], rtol=1e-4) == is_whole


def test_inject_hyperparams_schedules_the_learning_rate_of_the_chain():
  make = lambda learning_rate: optax.chain(  # noqa: E731
    combine_gradients(ADAPTIVE, NAMES), optax.sgd(learning_rate)
  )
  schedule = optax.linear_schedule(0.02, 0.0, 5)
  params, state, _ = _descend(optax.inject_hyperparams(make)(learning_rate=schedule), 5)
  expected, _ = _direct(ADAPTIVE, optax.sgd(schedule), 5)
  _assert_close(params, expected, rtol=1e-5)
  np.testing.assert_allclose(state.hyperparams["learning_rate"], 0.02 / 5, rtol=1e-5)


def test_apply_if_finite_after_it_skips_a_gradient_that_is_not_finite():
  inner = optax.apply_if_finite(optax.adam(0.1), max_consecutive_errors=3)
  optimizer = optax.chain(combine_gradients(ADAPTIVE, NAMES), inner)
  losses, gradients = _gradients(PARAMS, _batch())
  update = jax.jit(optimizer.update)
  _, state = update(gradients, optimizer.init(PARAMS), PARAMS, losses=losses)
  broken = {**gradients, "b": gradients["b"].at[1, 0].set(jnp.nan)}
  skipped, after = update(broken, state, PARAMS, losses={**losses, "l2": jnp.float32(jnp.nan)})
  assert all((leaf == 0).all() for leaf in jax.tree.leaves(skipped))
  histories = [s[0].weighting_state.members[0] for s in (after, state)]
  _assert_close(*histories, rtol=0, atol=0)
  assert after[1].total_notfinite == 1
  updates, _ = update(gradients, after, PARAMS, losses=losses)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_wrong_arguments_are_refused():
  losses, gradients = _gradients(PARAMS, _batch())
  with pytest.raises(ValueError, match="losses: must be an integer >= 1, got 0"):
    combine_gradients(fixed(), 0)
  with pytest.raises(ValueError, match="losses: must be K >= 1 scalars or one array"):
    combine_gradients(fixed(), {})
  transformation = combine_gradients(fixed(), NAMES)
  state = transformation.init(PARAMS)
  with pytest.raises(TypeError, match="losses"):
    transformation.update(gradients, state)
  with pytest.raises(ValueError, match=r"losses: must have shapes .*'l4'.*, got"):
    transformation.update(gradients, state, losses={"l1": losses["l1"], "l2": losses["l2"]})
  with pytest.raises(ValueError, match="updates: must have the K = 3 losses along the first axis"):
    transformation.update(PARAMS, state, losses=losses)
