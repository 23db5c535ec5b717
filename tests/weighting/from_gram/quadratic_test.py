"""The interior-point solver against all supports tried one by one, and the fixed points."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gram import cagrad, quadratic

SIZES = (1, 2, 3, 5)
NUM_PROGRAMS = 40


def _programs(number, seed=0):
  """Returns cosines [n, K, K] of random gradients and linear parts [n, K]."""
  rng = np.random.default_rng([number, seed])
  rows = rng.normal(size=(NUM_PROGRAMS, number, number + 1))
  rows /= np.linalg.norm(rows, axis=2, keepdims=True)
  return rows @ rows.swapaxes(1, 2), rng.uniform(-1, 1, (NUM_PROGRAMS, number))


def _by_supports(matrix, linear, normal=None):
  """Returns the optimum: of each support the stationary point, of those allowed the least."""
  number, best = len(linear), (np.inf, None)
  for support in itertools.product([False, True], repeat=number):
    on = np.flatnonzero(support)
    if normal is None:
      solution = np.linalg.solve(matrix[np.ix_(on, on)], -linear[on])
    elif on.size:
      system = np.zeros((on.size + 1, on.size + 1))
      system[:-1, :-1] = matrix[np.ix_(on, on)]
      system[-1, :-1] = system[:-1, -1] = normal[on]
      solution = np.linalg.solve(system, np.append(-linear[on], 1))[:-1]
    else:
      continue
    v = np.zeros(number)
    v[on] = solution
    value = v @ matrix @ v / 2 + linear @ v
    if v.min() >= 0 and value < best[0]:
      best = (value, v)
  return best[1]


@pytest.mark.slow
@pytest.mark.parametrize("number", SIZES)
@pytest.mark.parametrize("constrained", [False, True])
def test_equals_the_best_of_all_supports(number, constrained):
  matrices, linear = _programs(number)
  normals = np.random.default_rng(1).uniform(1e-3, 1, linear.shape)
  normals /= normals.max(axis=1, keepdims=True)
  expected = np.stack(
    [
      _by_supports(*program[:2], program[2] if constrained else None)
      for program in zip(matrices, linear, normals, strict=True)
    ]
  )

  @jax.jit
  @jax.vmap
  def solve(matrix, linear, normal):
    return quadratic.minimize_quadratic(matrix, linear, normal if constrained else None)

  for precise, tolerance in ((True, 1e-10), (False, 2e-4)):
    with jax.enable_x64(precise):
      actual = np.asarray(solve(jnp.array(matrices), jnp.array(linear), jnp.array(normals)))
    scale = np.abs(expected).max(axis=1, keepdims=True) + 1e-3
    np.testing.assert_allclose(actual / scale, expected / scale, atol=tolerance)
    if precise:
      assert actual[expected == 0].max(initial=0) < 1e-14


@pytest.mark.parametrize("number", [2, 8, 9, 64])
def test_solver_equals_numpy(number):
  """Arithmetic in line up to K = 8, LAPACK beyond."""
  rng = np.random.default_rng(number)
  rows = rng.normal(size=(number, number + 3))
  matrix, vector = rows @ rows.T + np.eye(number), rng.normal(size=number)
  with jax.enable_x64(True):
    actual = jax.jit(lambda m, b: quadratic.solver(m)(b))(jnp.array(matrix), jnp.array(vector))
  np.testing.assert_allclose(actual, np.linalg.solve(matrix, vector), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", [3, 16, 64])
def test_conditions_of_optimality_hold_for_many_unknowns(number):
  matrices, linear = _programs(number, seed=2)
  matrices = matrices[:4] + 1e-6 * np.eye(number)
  with jax.enable_x64(True):
    v = np.asarray(
      jax.jit(jax.vmap(quadratic.minimize_quadratic))(jnp.array(matrices), jnp.array(linear[:4]))
    )
  slack = np.einsum("nij,nj->ni", matrices, v) + linear[:4]
  assert v.min() >= 0
  assert slack.min() > -1e-9
  np.testing.assert_allclose(slack * v, 0, atol=1e-8)


def test_equal_gradients_share_equally():
  """Of many solutions it takes the one in the middle."""
  with jax.enable_x64(True):
    ones = jnp.ones((3, 3))
    v = np.asarray(quadratic.minimize_quadratic(quadratic.definite(ones), jnp.zeros(3), ones[0]))
  np.testing.assert_allclose(v, 1 / 3, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("number", "dimensions"), [(33, 40), (33, 300), (33, 10), (64, 80)], ids=str
)
@pytest.mark.parametrize("kind", ["usual", "conflicting"])
def test_many_programs_together_equal_each_by_itself(number, dimensions, kind):
  """Those of `upgrad`, whose solutions are unique where gradients are independent."""
  rows = np.random.default_rng(number).normal(size=(number, dimensions))
  if kind == "conflicting":
    rows -= 0.9 * rows.mean(axis=0)
  rows /= np.linalg.norm(rows, axis=1, keepdims=True)
  cosines = (rows @ rows.T).astype(np.float32)
  together = jax.jit(lambda c: quadratic.minimize_quadratics(quadratic.definite(c), c))
  v = np.asarray(together(jnp.array(cosines)), np.float64)
  assert v.min() >= 0
  sums = (np.eye(number) + v) @ rows
  lengths = np.linalg.norm(sums, axis=1, keepdims=True)
  assert (sums @ rows.T).min() > -1e-4
  with jax.enable_x64(True):
    exact = jax.jit(jax.vmap(quadratic.minimize_quadratic, in_axes=(None, 0)))
    wide = jnp.array(cosines, float)
    one_by_one = np.asarray(exact(quadratic.definite(wide), wide))
  expected = (np.eye(number) + one_by_one) @ rows
  np.testing.assert_allclose(sums, expected, atol=5e-4 * max(1.0, lengths.max()))


def test_repeated_steps_end_where_they_are_not_needed():
  def halve(n, value):
    return value / 2

  for number, expected in ((8, 0.25), (9, 2.0)):
    found = quadratic.repeat(5, halve, lambda v: v > 3.0, jnp.float32(8.0), number)
    assert float(found) == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 9], ids=["all steps", "as few as needed"])
@pytest.mark.parametrize("precise", [False, True], ids=["float32", "float64"])
def test_the_root_of_a_falling_function_is_found(number, precise):
  """The slopes are between -1 and 0, as those of the lengths in `cagrad`."""

  def function(x, steepness, root):
    return -0.02 * (x - root) - 0.9 * (jnp.tanh(steepness * (x - root))) / steepness

  with jax.enable_x64(precise):
    roots, steepness = np.random.default_rng(0).uniform((-9, 0.1), (3, 1.0), (200, 2)).T

    @jax.jit
    @jax.vmap
    def find(root, s):
      ends = (jnp.asarray(-9.5, root.dtype), jnp.asarray(3.5, root.dtype))
      return cagrad._root(lambda x: function(x, s, root), *ends, number)

    found = find(jnp.array(roots), jnp.array(steepness))
    np.testing.assert_allclose(found, roots, atol=1e-9 if precise else 1e-5)
    low, high = jnp.array(-1.0), jnp.array(1.0)
    assert float(cagrad._root(lambda x: -0.5 * (x + 4), low, high, number)) == -1
    assert float(cagrad._root(lambda x: -0.5 * (x - 4), low, high, number)) == 1
