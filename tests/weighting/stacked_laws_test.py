"""What holds for all transformations of per-loss gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.weighting.from_gradients.db_mtl import db_mtl
from mlseg.weighting.from_gradients.excess_mtl import excess_mtl
from mlseg.weighting.from_gradients.graddrop import graddrop
from mlseg.weighting.from_gradients.learning_rate_annealing import learning_rate_annealing
from mlseg.weighting.from_gradients.moco import moco
from mlseg.weighting.from_gradients.trimmed_mean import trimmed_mean
from mlseg.weighting.registry import REGISTRY
from mlseg.weighting.stacked import stacked_zeros
from tests.weighting.table import assert_separate

K = 3
ALL = {
  "graddrop": graddrop(K),
  "graddrop_leak": graddrop(K, leak=(0.0, 0.5, 1.0), seed=1),
  "learning_rate_annealing": learning_rate_annealing(K, reference=1),
  "excess_mtl": excess_mtl(K, step_size=0.1),
  "trimmed_mean": trimmed_mean(K),
  "moco": moco(K),
  "moco_reference": moco(K, variant="reference"),
  "db_mtl": db_mtl(K),
}
over_all = pytest.mark.parametrize("name", ALL)
PARAMS = {
  "w": jnp.zeros((4, 2)),
  "b": jnp.zeros(2),
  "scale": jnp.ones(()),
  "none": jnp.zeros((0, 3)),
}


def _gradients(seed, dtype=jnp.float32):
  """Returns random losses [K], and gradients with the losses first."""
  rng = np.random.default_rng(seed)
  shapes = jax.tree.map(lambda p: (K, *p.shape), PARAMS)
  draw = lambda shape: jnp.array(rng.normal(size=shape), dtype)  # noqa: E731
  gradients = jax.tree.map(draw, shapes, is_leaf=lambda s: isinstance(s, tuple))
  return jnp.array(rng.gamma(2.0, 1.0, K), dtype), gradients


def _specification(tree):
  return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


def _is_finite(tree):
  return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def _assert_close(actual, expected, rtol=1e-5, atol=1e-6):
  assert _specification(actual) == _specification(expected)
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=rtol, atol=atol), actual, expected
  )


@over_all
def test_a_first_state_can_be_donated(name):
  assert_separate(ALL[name].init(PARAMS))


def _loop(transformation, steps, update):
  state, history = transformation.init(PARAMS), []
  for losses, gradients in steps:
    updates, state = update(gradients, state, losses=losses)
    history.append(updates)
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *history), state


@pytest.mark.slow
@over_all
def test_scan_equals_jit_equals_eager(name):
  steps = [_gradients(seed) for seed in range(2)]
  expected = _loop(ALL[name], steps, ALL[name].update)
  _assert_close(_loop(ALL[name], steps, jax.jit(ALL[name].update)), expected)

  def body(state, step):
    losses, gradients = step
    return ALL[name].update(gradients, state, losses=losses)[::-1]

  rows = jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)
  state, updates = jax.lax.scan(body, ALL[name].init(PARAMS), rows)
  _assert_close((updates, state), expected)


@over_all
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_updates_are_as_the_parameters_and_the_state_keeps_shapes_and_dtypes(name, dtype):
  with jax.enable_x64(dtype == "float64"):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    losses, gradients = _gradients(0, dtype)
    state = ALL[name].init(params)
    updates, next_state = jax.eval_shape(
      lambda g, s, vector: ALL[name].update(g, s, losses=vector), gradients, state, losses
    )
    assert jax.tree.map(lambda u: (u.shape, u.dtype), updates) == _specification(params)
    assert jax.tree.map(lambda s: (s.shape, s.dtype), next_state) == _specification(state)
    floats = {s.dtype for s in jax.tree.leaves(state) if s.dtype != jnp.int32}
    assert floats <= {jnp.dtype("float64" if dtype == "float64" else "float32")}


@over_all
def test_works_under_strict_promotion(name):
  losses, gradients = _gradients(0)
  with jax.numpy_dtype_promotion("strict"):
    updates, _ = jax.eval_shape(ALL[name].update, gradients, ALL[name].init(PARAMS), losses=losses)
  assert updates["w"].dtype == jnp.float32


@pytest.mark.slow
@over_all
def test_vmap_over_seeds_equals_a_loop(name):
  seeds = [_gradients(seed) for seed in range(3)]
  losses, gradients = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
  states = jax.vmap(ALL[name].init, axis_size=3, in_axes=None)(PARAMS)
  update = jax.jit(lambda g, s, vector: ALL[name].update(g, s, losses=vector))
  results = jax.jit(jax.vmap(update))(gradients, states, losses)
  for seed in range(3):
    expected = update(seeds[seed][1], ALL[name].init(PARAMS), seeds[seed][0])
    _assert_close(jax.tree.map(lambda leaf, seed=seed: leaf[seed], results), expected)


NASTY = {
  "nan": lambda g: g.at[0].set(jnp.nan),
  "inf": lambda g: g.at[1].set(jnp.inf),
  "huge": lambda g: 1e30 * g,
  "largest": lambda g: jnp.full_like(g, 3e38),
  "subnormal": lambda g: 1e-40 * g,
  "zero": jnp.zeros_like,
  "one zero": lambda g: g.at[2].set(0.0),
}
UPDATES = {name: jax.jit(transformation.update) for name, transformation in ALL.items()}


@over_all
@pytest.mark.parametrize("nasty", NASTY)
def test_the_state_stays_finite_and_of_use_after_any_gradients(name, nasty):
  update = UPDATES[name]
  losses, gradients = _gradients(0)
  state = update(gradients, ALL[name].init(PARAMS), losses=losses)[1]
  bad = jax.tree.map(NASTY[nasty], gradients)
  updates, after = update(bad, state, losses=losses)
  assert _is_finite(after)
  assert _is_finite(updates) or nasty in ("nan", "inf", "largest")  # 3 · 3e38 has no float32
  if nasty in ("nan", "inf"):
    assert not jnp.isfinite(updates["w"]).any()  # for those who look at what comes out
    if "graddrop" not in name:
      _assert_close(after, state, rtol=0, atol=0)
  if nasty == "zero":
    assert bool((updates["w"] == 0).all()) or name in ("moco", "moco_reference", "db_mtl")
  updates, after = update(gradients, after, losses=losses)
  assert _is_finite((updates, after))


@pytest.mark.parametrize("name", ["moco_reference", "db_mtl"])
@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_losses_that_are_not_finite_give_the_mean_of_the_gradients(name, loss):
  losses, gradients = _gradients(0)
  state = UPDATES[name](gradients, ALL[name].init(PARAMS), losses=losses)[1]
  updates, after = UPDATES[name](gradients, state, losses=losses.at[1].set(loss))
  if name == "db_mtl" and loss == np.inf:  # ∇log L is 0 then
    assert _is_finite((updates, after))
  else:
    _assert_close(updates, jax.tree.map(lambda g: g.mean(0), gradients))
    _assert_close(after, state, rtol=0, atol=0)


def _regression(params, x, y):
  error = params["scale"] * (x @ params["w"]) + params["b"][None] - y
  return jnp.stack([jnp.abs(error).mean(), (error**2).mean(), jnp.log(jnp.cosh(error)).mean()])


RATE = optax.cosine_decay_schedule(0.05, 400)
PLAIN_SUM = graddrop(K, leak=1.0)
INNERS = {"adam": optax.adam(RATE, b1=0.0), "momentum": optax.sgd(RATE, momentum=0.5)}


@functools.cache
def _fit(transformation, inner):
  """Returns the last losses of a regression with noise in its targets, and the first."""
  rng = np.random.default_rng(0)
  x = jnp.array(rng.normal(size=(32, 4)), jnp.float32)
  y = x @ jnp.array(rng.normal(size=(4, 2)), jnp.float32)
  y = y + jnp.array(0.3 * rng.normal(size=(32, 2)) + 0.5, jnp.float32)
  optimizer = optax.chain(transformation, inner)

  def step(carry, _):
    params, state = carry
    losses, gradients = _regression(params, x, y), jax.jacrev(_regression)(params, x, y)
    updates, state = optimizer.update(gradients, state, params, losses=losses)
    return (optax.apply_updates(params, updates), state), losses

  run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=400))
  losses = run((PARAMS, optimizer.init(PARAMS)))[1]
  return losses[-1], losses[0]


@pytest.mark.slow
@over_all
@pytest.mark.parametrize("inner", INNERS)
def test_a_regression_converges_as_with_the_plain_sum(name, inner):
  last, first = _fit(ALL[name], INNERS[inner])
  plain, _ = _fit(PLAIN_SUM, INNERS[inner])
  assert (plain < 0.2 * first).all()
  assert (last < 1.08 * plain).all()


@over_all
def test_partition_gives_a_group_what_it_would_get_alone(name):
  losses, gradients = _gradients(0)
  labels = {key: "own" if key in ("w", "scale") else "other" for key in PARAMS}
  split = optax.partition({"own": ALL[name], "other": PLAIN_SUM}, labels)
  updates, _ = split.update(gradients, split.init(PARAMS), losses=losses)
  own = {key: gradients[key] for key in ("w", "scale")}
  state = ALL[name].init({key: PARAMS[key] for key in own})
  alone, _ = ALL[name].update(own, state, losses=losses)
  _assert_close({key: updates[key] for key in own}, alone)
  np.testing.assert_allclose(updates["b"], gradients["b"].sum(0), rtol=1e-5)


@over_all
def test_multisteps_around_it_is_one_step_on_the_mean_gradients(name):
  optimizer = optax.MultiSteps(ALL[name], 2)
  zeros = stacked_zeros(PARAMS, K)
  state = optimizer.init(PARAMS)._replace(acc_grads=zeros)
  losses, _ = _gradients(9)
  halves = [_gradients(seed)[1] for seed in range(2)]
  update = jax.jit(optimizer.update)
  for gradients in halves:
    updates, state = update(gradients, state, PARAMS, losses=losses)
  mean = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
  expected, _ = ALL[name].update(mean, ALL[name].init(PARAMS), losses=losses)
  _assert_close(updates, expected)


def test_every_registered_transformation_is_in_the_table():
  assert not set(REGISTRY["from_gradients"]) - set(ALL), "each needs a line at the top of this file"


def test_gradients_without_the_axis_of_the_losses_are_refused():
  for transformation in ALL.values():
    state = transformation.init(PARAMS)
    with pytest.raises(ValueError, match="updates: must have the K = 3 losses along the first"):
      transformation.update(PARAMS, state, losses=jnp.ones(K))
