"""The laws of DESIGN over all weightings of the table, and over chains of them drawn at random."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from mlseg import weighting as w
from mlseg.weighting import registry
from tests.weighting import table
from tests.weighting.table import ALL, as_losses, assert_separate, random_losses

over_weightings = pytest.mark.parametrize("name", ALL)
RUNS = {name: table.scan(name) for name in ALL}


def _loop(name, rows, update):
  """Returns what the compiled run does, by calling `update` once per row."""
  state, history = ALL[name].init(as_losses(name, rows[0])), []
  for row in rows:
    weights, state = update(name, row, state)
    history.append(weights)
  return jnp.stack(history), state


def _specification(tree):
  return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


def _assert_close(actual, expected, rtol=1e-5, atol=1e-6):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


@over_weightings
def test_scan_equals_jit_equals_eager_and_traces_once(name):
  traces = []

  def update(name, row, state):
    traces.append(1)
    return table.update(name, row, state)

  rows = random_losses(1, steps=2)  # the second from the first one's state
  expected = _loop(name, rows, table.update)
  # The compiler orders sums otherwise, and a solver's iterations carry that on.
  rtol = 2e-4 if ALL[name].needs_gram else 1e-5
  _assert_close(_loop(name, rows, jax.jit(update, static_argnums=0)), expected, rtol)
  _assert_close(RUNS[name](rows), expected, rtol)
  assert len(traces) == 1


@pytest.mark.slow
@over_weightings
def test_vmap_over_seeds_equals_a_loop(name):
  seeds = jnp.stack([random_losses(seed) for seed in range(4)])
  weights, states = jax.jit(jax.vmap(RUNS[name]))(seeds)
  for seed in range(4):
    expected_weights, expected_state = RUNS[name](seeds[seed])
    rtol = 2e-4 if ALL[name].needs_gram else 1e-5
    _assert_close(weights[seed], expected_weights, rtol)
    _assert_close(jax.tree.map(lambda leaf, seed=seed: leaf[seed], states), expected_state, rtol)


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
  rows = np.repeat(np.array([NASTY[nasty]], np.float32), 9, axis=0)
  if not constant:
    rows[::2] = random_losses()[::2]
    rows[1::2] *= np.linspace(0.5, 1, rows[1::2].shape[0])[:, None]
  weights, state = RUNS[name](jnp.array(rows))
  assert jnp.isfinite(weights).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
  case = table.CASES[name]
  if not case.may_be_negative:
    assert (weights >= 0).all()
  if case.total is not None:
    np.testing.assert_allclose(weights.sum(axis=1), case.total, rtol=1e-5)
  if name == "with_auxiliary":
    np.testing.assert_allclose(weights[:, jnp.array([0, 2])].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
@over_weightings
def test_weights_are_finite_for_tiny_losses_in_half_precision(name):
  row = jnp.array([6e-8, 6e-5, 0.5], jnp.float16)  # 1/L is beyond that type
  losses = as_losses(name, row)
  gram = table.gram_of_row(row.astype(jnp.float32)) if ALL[name].needs_gram else None
  weights, _ = ALL[name].update(losses, ALL[name].init(losses), gram=gram)
  assert all(jnp.isfinite(weight).all() for weight in jax.tree.leaves(weights))


@over_weightings
def test_weights_do_not_depend_on_later_losses(name):
  rows = random_losses(2)
  with_gap, _ = RUNS[name](rows.at[5:8].set(jnp.array([jnp.nan, 1.0, jnp.inf])))
  np.testing.assert_array_equal(with_gap[:5], RUNS[name](rows)[0][:5])
  assert jnp.isfinite(with_gap).all()


# Their weights come from no loss at all.
_CONSTANT = {"fixed", "fixed_values", "scheduled", *table.COMBINATORS, "chain_of_chains",
             "random_weighting", "random_weighting_dirichlet"}  # fmt: skip
# They ask their weighting at some steps alone.
_AT_TIMES = {"every", "every_mgda", "per_epoch"}
# Its weights depend on the current losses, and on parameters that learn from them afterwards.
_BOTH = {"robust"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(ALL) - _CONSTANT - _AT_TIMES - _BOTH))
def test_those_that_decide_first_do_not_read_the_current_losses(name):
  reads, state = [], ALL[name].init(as_losses(name, random_losses()[0]))
  update = jax.jit(table.update, static_argnums=0)
  for row in random_losses(5, steps=5):
    one, other = (update(name, row * scale, state)[0] for scale in (1.0, row / 2))
    reads.append(not np.allclose(one, other, rtol=1e-6))
    _, state = update(name, row, state)
  assert any(reads) != ALL[name].decides_first


def _extras(name, losses):
  gram = table.gram_of_row(losses) if ALL[name].needs_gram else None
  return {"weights": None, "gram": gram}


@pytest.mark.slow
@over_weightings
def test_unknown_extras_are_ignored(name):
  row = random_losses()[0]
  losses, extras = as_losses(name, row), _extras(name, row)
  state = ALL[name].init(losses)
  more = {"step": 3, "key": None, "unheard": "of"}
  actual = ALL[name].update(losses, state, **extras, **more)
  _assert_close(actual, ALL[name].update(losses, state, **extras))


@pytest.mark.slow
@over_weightings
def test_a_key_may_be_given(name):
  row = random_losses()[0]
  losses, extras = as_losses(name, row), _extras(name, row)
  state = ALL[name].init(losses)
  weights, next_state = ALL[name].update(losses, state, key=jax.random.key(0), **extras)
  assert _specification(weights) == _specification(losses)
  assert _specification(next_state) == _specification(state)


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].needs_gram])
def test_a_missing_gram_is_refused(name):
  losses = as_losses(name, random_losses()[0])
  with pytest.raises(ValueError, match="gram: must be given"):
    ALL[name].update(losses, ALL[name].init(losses))


@over_weightings
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
def test_state_and_weights_keep_shapes_and_dtypes(name, dtype):
  row = random_losses()[0].astype(dtype)
  losses, extras = as_losses(name, row), _extras(name, row)
  state = ALL[name].init(losses)
  update = jax.jit(lambda state: ALL[name].update(losses, state, **extras))
  weights, next_state = jax.eval_shape(update, state)
  assert jax.tree.structure(next_state) == jax.tree.structure(state)
  same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), next_state, state)
  assert all(jax.tree.leaves(same))
  same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), weights, losses)
  assert all(jax.tree.leaves(same))


@pytest.mark.slow
@over_weightings
def test_float64_losses_give_float64_weights(name):
  with jax.enable_x64(True):
    row = jnp.array([0.1, 0.2, 0.4], jnp.float64)
    losses, extras = as_losses(name, row), _extras(name, row)
    state = ALL[name].init(losses)
    weights, next_state = jax.jit(lambda state: ALL[name].update(losses, state, **extras))(state)
    assert _specification(weights) == _specification(losses)
    assert _specification(next_state) == _specification(state)


@pytest.mark.parametrize("name", [name for name in ALL if name not in table.ON_DICTS])
@pytest.mark.parametrize(
  "structure",
  [
    # Leaves are in the order of the sorted keys.
    pytest.param(lambda row: (row[0], {"y": row[2], "x": row[1]}), id="nested"),
    pytest.param(lambda row: {"all": row}, marks=pytest.mark.slow, id="one array inside"),
  ],
)
def test_weights_have_the_structure_of_the_losses(name, structure):
  weighting, rows = ALL[name], random_losses(3)

  @jax.jit
  def run(rows):
    def body(state, row):
      weights, state = weighting.update(structure(row), state, **_extras(name, row))
      return state, weights

    return jax.lax.scan(body, weighting.init(structure(rows[0])), rows)[1]

  weights = jax.tree.map(lambda leaf: leaf[-1], run(rows))
  assert jax.tree.structure(weights) == jax.tree.structure(structure(rows[0]))
  flat = jnp.concatenate([jnp.atleast_1d(leaf) for leaf in jax.tree.leaves(weights)])
  np.testing.assert_allclose(flat, RUNS[name](rows)[0][-1], rtol=1e-5)


@over_weightings
def test_init_reads_shapes_alone(name):
  losses = as_losses(name, random_losses()[0])
  abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), losses)
  _assert_close(ALL[name].init(abstract), ALL[name].init(losses))


@over_weightings
def test_a_first_state_can_be_donated(name):
  """No two of its arrays are one."""
  assert_separate(ALL[name].init(as_losses(name, jnp.zeros(3))))


@over_weightings
@pytest.mark.parametrize("losses", [{}, jnp.zeros([2, 2]), {"a": jnp.zeros(2), "b": jnp.zeros(1)}])
def test_init_refuses_what_are_not_losses(name, losses):
  with pytest.raises(ValueError, match="losses"):
    ALL[name].init(losses)


@over_weightings
def test_works_under_strict_promotion(name):
  with jax.numpy_dtype_promotion("strict"):
    weights, _ = jax.eval_shape(table.scan(name), random_losses())
  assert weights.dtype == jnp.float32


def test_every_registered_weighting_is_in_the_table():
  names = {*registry.METHODS, *registry.LIBRARY_ALONE, *registry.REGISTRY["combinators"]}
  assert not names - set(table.CASES), "each needs a line in tests/weighting/table.py"


def _chains():
  """Draws a chain: a method, perhaps at a cadence, then up to three combinators."""
  base = st.sampled_from(sorted(table.BASES))
  wrapper = st.sampled_from(
    [lambda x: x, lambda x: w.every(x, 2), lambda x: w.per_epoch(x, 2), lambda x: w.warm_up(x, 3)]
  )
  more = st.lists(st.sampled_from(sorted(table.COMBINATORS)), max_size=3)
  return st.tuples(base, wrapper, more).map(
    lambda drawn: w.chain(drawn[1](ALL[drawn[0]]), *(ALL[name] for name in drawn[2]))
  )


@pytest.mark.slow
@hypothesis.settings(max_examples=25, deadline=None, database=None, derandomize=True)
@hypothesis.given(_chains(), st.sampled_from(sorted(NASTY)))
def test_laws_of_random_chains(weighting, nasty):
  def step(state, row):
    gram = table.gram_of_row(row) if weighting.needs_gram else None
    weights, state = weighting.update(row, state, gram=gram)
    return state, weights

  def run(rows):
    return jax.lax.scan(step, weighting.init(rows[0]), rows)

  rows = random_losses(4, steps=6)
  rows = rows.at[3].set(jnp.array(NASTY[nasty]))
  compiled = jax.jit(jax.vmap(run))
  states, weights = compiled(jnp.stack([rows, rows[::-1]]))
  assert jnp.isfinite(weights).all()
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(states))
  traces = []

  @jax.jit
  def one(state, row):
    traces.append(row)
    return step(state, row)

  state = weighting.init(rows[0])
  for row, expected in zip(rows, weights[0], strict=True):
    next_state, actual = one(state, row)
    assert _specification(next_state) == _specification(state)
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=1e-5)
    state = next_state
  assert len(traces) == 1
