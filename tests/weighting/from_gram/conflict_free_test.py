"""ConFIG against the reference numbers, and its properties: one cosine, a given length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting
from mlseg.weighting.from_gram.conflict_free import conflict_free


@jax.jit
def _update(losses, gram):
  weighting = conflict_free()
  return weighting.update(losses, weighting.init(losses), gram=gram)[0]


def _weights(rows):
  return np.asarray(_update(jnp.ones(len(rows), rows.dtype), jnp.asarray(rows @ rows.T)))


def _random(number, seed, spread=0.0):
  rng = np.random.default_rng(seed)
  rows = rng.normal(size=(number, 20))
  return rows * 10 ** rng.uniform(-spread, spread, (number, 1))


def _cosines(rows, direction):
  return rows @ direction / np.linalg.norm(rows, axis=1) / np.linalg.norm(direction)


@pytest.mark.shared
@pytest.mark.parametrize(
  "name", ["J2", "J2b_nonconflict", "J2c_torchjd_doc", "J2d_conflict", "J3", "J3c"]
)
def test_equals_the_references(golden, name):
  data = golden("config")
  rows, expected = np.array(data["inputs"]["gradients"][name]), data["outputs"][name]
  with jax.enable_x64(True):
    direction = _weights(rows) @ rows
  np.testing.assert_allclose(direction, expected["TorchJD_direction"], rtol=1e-6)
  # The authors' code is float32: solved by least squares, by a pseudo-inverse, and for two losses
  # in closed form, which exists for these alone.
  solvers = ("lstsq", "pinv", "double") if len(rows) == 2 else ("lstsq", "pinv")
  assert len(expected) == 1 + len(solvers)
  for solver in solvers:
    official = expected[f"official_{solver}_direction"]
    np.testing.assert_allclose(direction, official, rtol=2e-5)


def _paper(rows):
  units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  direction = np.linalg.pinv(units) @ np.ones(len(rows))
  direction /= np.linalg.norm(direction)
  return (rows @ direction).sum() * direction


@pytest.mark.parametrize(("number", "size"), [(1, 20), (2, 20), (3, 20), (8, 20), (6, 4)])
def test_equals_the_paper(number, size):
  for seed in range(4):
    rows = _random(number, seed, spread=1.0)[:, :size]
    with jax.enable_x64(True):
      np.testing.assert_allclose(_weights(rows) @ rows, _paper(rows), rtol=1e-8, atol=1e-12)
    direction = _weights(rows.astype(np.float32)) @ rows
    np.testing.assert_allclose(direction, _paper(rows), atol=1e-4 * np.linalg.norm(direction))


def test_the_cosines_are_equal_and_the_length_is_that_of_all_projections():
  for seed in range(4):
    rows = _random(4, seed, spread=3.0).astype(np.float32)
    direction = _weights(rows).astype(np.float64) @ rows.astype(np.float64)
    cosines = _cosines(rows.astype(np.float64), direction)
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-4)
    assert cosines[0] > 0
    projections = rows @ direction / np.linalg.norm(direction)
    np.testing.assert_allclose(np.linalg.norm(direction), projections.sum(), rtol=1e-4)


def test_conflict_shortens_the_step():
  angles = np.deg2rad([10.0, 60.0, 90.0, 150.0, 179.0])
  lengths = [
    np.linalg.norm(_weights(rows) @ rows)
    for rows in (np.array([[1, 0], [np.cos(a), np.sin(a)]], np.float32) for a in angles)
  ]
  np.testing.assert_allclose(lengths, 2 * np.cos(angles / 2), rtol=1e-2)


def test_gradients_at_right_angles_and_equally_long_are_summed():
  np.testing.assert_allclose(_weights(3 * np.eye(4, dtype=np.float32)), 1, rtol=1e-5)


def test_a_duplicate_changes_the_length_alone_and_a_gradient_of_zero_nothing():
  rows = _random(3, 0)
  with jax.enable_x64(True):
    once = _weights(rows) @ rows
    more = np.concatenate([rows, 0 * rows[:1]])
    weights = _weights(more)
    assert weights[3] == 0
    np.testing.assert_allclose(weights @ more, once, rtol=1e-9)
    more = np.concatenate([rows, rows[:1]])
    twice = _weights(more) @ more
  np.testing.assert_allclose(twice / np.linalg.norm(twice), once / np.linalg.norm(once), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_no_direction_is_left_weights_are_zero(dtype):
  rng = np.random.default_rng(0)
  row = rng.normal(size=(1, 50))
  with jax.enable_x64(dtype == np.float64):
    for rows in (np.concatenate([row, -3 * row]), 0 * np.concatenate([row, row])):
      np.testing.assert_array_equal(_weights(rows.astype(dtype)), [0, 0])


def test_what_is_not_finite_gives_weights_of_one():
  losses, gram = jnp.ones(3), jnp.eye(3)
  for bad_losses, bad_gram in ((losses * jnp.inf, gram), (losses, gram.at[0, 1].set(jnp.nan))):
    weights, _ = conflict_free().update(bad_losses, conflict_free().init(losses), gram=bad_gram)
    np.testing.assert_array_equal(weights, [1, 1, 1])


def test_the_former_name_warns_and_gives_the_same_method():
  with pytest.warns(DeprecationWarning, match="now called mlseg.weighting.conflict_free"):
    former = weighting.config()
  gram = jnp.array([[4.0, -1.0], [-1.0, 1.0]])
  losses = jnp.ones(2)
  weights = former.update(losses, former.init(losses), gram=gram)[0]
  np.testing.assert_array_equal(weights, _update(losses, gram))
