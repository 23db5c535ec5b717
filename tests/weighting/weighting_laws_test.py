"""The laws of DESIGN over all weightings; a new factory is one line in WEIGHTINGS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

WEIGHTINGS = {
  "fixed": w.fixed(),
  "fixed_values": w.fixed((0.5, 2.0, 1.0)),
  "variance": w.dynamic_memory_fusion("variance", capacity=6, min_history=3),
  "mad": w.dynamic_memory_fusion("mad", capacity=6, min_history=3),
  "bayesian": w.dynamic_memory_fusion("bayesian", capacity=6, min_history=3),
  "bayesian_forgetting": w.dynamic_memory_fusion("bayesian", 6, 3, forgetting=0.2),
  "ema": w.ema(0.8),
  "bounded": w.bounded(0.1, 0.6),
  "chain": w.chain(
    w.dynamic_memory_fusion("mad", capacity=6, min_history=2), w.ema(0.5), w.bounded(0.1, 0.7)
  ),
  "chain_of_chains": w.chain(w.chain(w.fixed((9.0, 1.0, 2.0)), w.bounded(0.2, 0.5)), w.ema()),
}
# Those that act on dicts alone: law tests give them the same numbers under names.
ON_DICTS = {
  "with_auxiliary": w.with_auxiliary(
    w.dynamic_memory_fusion("variance", capacity=6, min_history=3), "b", decay_every=2
  ),
}
NOT_NORMALIZED = {"fixed", "fixed_values", "chain_of_chains", "with_auxiliary"}
ALL = {**WEIGHTINGS, **ON_DICTS}
over_weightings = pytest.mark.parametrize("name", ALL)

K, STEPS = 3, 9


def _as_losses(name, vector):
  """Returns the structure that the weighting takes: the array [K], or a dict."""
  return dict(zip("abc", vector, strict=True)) if name in ON_DICTS else vector


def _random_losses(seed=0, steps=STEPS) -> jax.Array:
  return jnp.array(np.random.default_rng(seed).gamma(2.0, 1.0, [steps, K]), jnp.float32)


def _scan(name):
  """Returns the compiled function from rows [steps, K] to the weights [steps, K] and last state."""

  def run(rows):
    def body(state, row):
      weights, state = ALL[name].update(_as_losses(name, row), state)
      return state, jnp.stack(jax.tree.leaves(weights)).reshape(K)

    state, weights = jax.lax.scan(body, ALL[name].init(_as_losses(name, rows[0])), rows)
    return weights, state

  return jax.jit(run)


RUNS = {name: _scan(name) for name in ALL}


def _loop(name, rows, update):
  """Returns what the compiled run does, by calling `update` once per row."""
  state, history = ALL[name].init(_as_losses(name, rows[0])), []
  for row in rows:
    weights, state = update(_as_losses(name, row), state)
    history.append(jnp.stack(jax.tree.leaves(weights)).reshape(K))
  return jnp.stack(history), state


def _specification(tree):
  return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


def _assert_close(actual, expected, rtol=1e-5):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6)


@over_weightings
def test_scan_equals_jit_equals_eager_and_traces_once(name):
  traces = []

  def update(losses, state):
    traces.append(1)
    return ALL[name].update(losses, state)

  rows = _random_losses(1)
  expected = _loop(name, rows, ALL[name].update)
  _assert_close(_loop(name, rows, jax.jit(update)), expected)
  _assert_close(RUNS[name](rows), expected)
  assert len(traces) == 1


@over_weightings
def test_vmap_over_seeds_equals_a_loop(name):
  seeds = jnp.stack([_random_losses(seed) for seed in range(4)])
  weighting = ALL[name]
  steps = [
    _as_losses(name, seeds[:, step].T) if name in ON_DICTS else seeds[:, step]
    for step in range(STEPS)
  ]
  states = jax.vmap(weighting.init)(steps[0])
  update = jax.jit(jax.vmap(weighting.update))
  for losses in steps:
    weights, states = update(losses, states)
  weights = jnp.stack(jax.tree.leaves(weights), axis=-1) if name in ON_DICTS else weights
  for seed in range(4):
    expected_weights, expected_state = RUNS[name](seeds[seed])
    _assert_close(weights[seed], expected_weights[-1])
    _assert_close(jax.tree.map(lambda leaf, seed=seed: leaf[seed], states), expected_state)


NASTY = {
  "constant": [0.7, 0.7, 0.7],
  "zero": [0.0, 0.0, 0.0],
  "huge": [1e38, 3e38, 1e38],
  "tiny": [1e-38, 1e-40, 1e-30],
  "negative": [-1.0, -3e38, -0.1],
  "nan": [np.nan, 1.0, 2.0],
  "infinite": [np.inf, 1.0, -np.inf],
}


@over_weightings
@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("constant", [True, False], ids=["always", "between others"])
def test_weights_are_finite_for_nasty_losses(name, nasty, constant):
  rows = np.repeat(np.array([NASTY[nasty]], np.float32), STEPS, axis=0)
  if not constant:
    rows[::2] = _random_losses()[::2]
    rows[1::2] *= np.linspace(0.5, 1, rows[1::2].shape[0])[:, None]
  weights, state = RUNS[name](jnp.array(rows))
  assert jnp.isfinite(weights).all()
  assert (weights >= 0).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
  if name not in NOT_NORMALIZED:
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
  if name in ON_DICTS:
    np.testing.assert_allclose(weights[:, jnp.array([0, 2])].sum(axis=1), 1, rtol=1e-5)


@over_weightings
def test_weights_do_not_depend_on_later_or_non_finite_losses(name):
  rows = _random_losses(2)
  with_gap, _ = RUNS[name](rows.at[5:8].set(jnp.array([jnp.nan, 1.0, jnp.inf])))
  np.testing.assert_array_equal(with_gap[:5], RUNS[name](rows)[0][:5])
  assert jnp.isfinite(with_gap).all()


@over_weightings
def test_unknown_extras_are_ignored(name):
  losses = _as_losses(name, _random_losses()[0])
  state = ALL[name].init(losses)
  extras = {"step": 3, "weights": None, "gram": None, "key": jax.random.key(0), "unheard": "of"}
  _assert_close(ALL[name].update(losses, state, **extras), ALL[name].update(losses, state))


@over_weightings
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
def test_state_and_weights_keep_shapes_and_dtypes(name, dtype):
  losses = _as_losses(name, _random_losses()[0].astype(dtype))
  state = ALL[name].init(losses)
  for _ in range(4):
    weights, next_state = ALL[name].update(losses, state)
    assert _specification(next_state) == _specification(state)
    assert _specification(weights) == _specification(losses)
    state = next_state


@over_weightings
def test_float64_losses_give_float64_weights(name):
  with jax.enable_x64(True):
    losses = _as_losses(name, jnp.array([0.1, 0.2, 0.4], jnp.float64))
    state = ALL[name].init(losses)
    weights, next_state = jax.jit(ALL[name].update)(losses, state)
    assert _specification(weights) == _specification(losses)
    assert _specification(next_state) == _specification(state)


@pytest.mark.parametrize("name", WEIGHTINGS)
@pytest.mark.parametrize(
  "structure",
  [
    lambda row: {"dice": row[1], "cross_entropy": row[0], "focal": row[2]},
    lambda row: [row[0], row[1], row[2]],
    lambda row: (row[0], {"x": row[1], "y": row[2]}),
    lambda row: {"all": row},
  ],
  ids=["dict", "list", "nested", "one array inside"],
)
def test_weights_have_the_structure_of_the_losses(name, structure):
  weighting, rows = WEIGHTINGS[name], _random_losses(3)
  state, update = weighting.init(structure(rows[0])), jax.jit(weighting.update)
  for row in rows:
    weights, state = update(structure(row), state)
    assert jax.tree.structure(weights) == jax.tree.structure(structure(row))
  flat = jnp.concatenate([jnp.atleast_1d(leaf) for leaf in jax.tree.leaves(weights)])
  np.testing.assert_array_equal(flat, RUNS[name](rows)[0][-1])


@over_weightings
def test_init_reads_shapes_alone(name):
  losses = _as_losses(name, _random_losses()[0])
  abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), losses)
  _assert_close(ALL[name].init(abstract), ALL[name].init(losses))


@over_weightings
@pytest.mark.parametrize("losses", [{}, jnp.zeros([2, 2]), {"a": jnp.zeros(2), "b": jnp.zeros(1)}])
def test_init_refuses_what_are_not_losses(name, losses):
  with pytest.raises(ValueError, match="losses"):
    ALL[name].init(losses)


@over_weightings
def test_works_under_strict_promotion(name):
  with jax.numpy_dtype_promotion("strict"):
    weights, _ = jax.eval_shape(_scan(name), _random_losses())
  assert weights.dtype == jnp.float32


def test_every_public_factory_is_in_the_table():
  factories = {name for name in w.__all__ if name[0].islower()}
  covered = set(ALL) | {"dynamic_memory_fusion"}
  assert factories <= covered
