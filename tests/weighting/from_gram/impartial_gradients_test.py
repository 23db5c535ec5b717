"""IMTL-G against the reference numbers, and its property: equal projections."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gram.impartial_gradients import impartial_gradients


@jax.jit
def _update(losses, gram):
  weighting = impartial_gradients()
  return weighting.update(losses, weighting.init(losses), gram=gram)[0]


def _weights(rows):
  return np.asarray(_update(jnp.ones(len(rows), rows.dtype), jnp.asarray(rows @ rows.T)))


def _random(number, seed, spread=0.0):
  rng = np.random.default_rng(seed)
  rows = rng.normal(size=(number, 20)) + 0.5
  return rows * 10 ** rng.uniform(-spread, spread, (number, 1))


def _projections(rows, weights):
  return rows @ (weights @ rows) / np.linalg.norm(rows, axis=1)


@pytest.mark.shared
@pytest.mark.parametrize(
  "name", ["J2", "J2b_nonconflict", "J2c_torchjd_doc", "J2d_conflict", "J3", "J3c"]
)
def test_equals_the_references(golden, name):
  data = golden("imtl_g")
  rows, expected = np.array(data["inputs"]["gradients"][name]), data["outputs"][name]
  with jax.enable_x64(True):
    weights = _weights(rows)
  np.testing.assert_allclose(weights, expected["TorchJD_weights"], rtol=1e-6)
  np.testing.assert_allclose(weights @ rows, expected["ConFIG_IMTLG_direction"], rtol=1e-6)
  np.testing.assert_allclose(weights, expected["nash-mtl_weights"], rtol=2e-5)


def _paper(rows):
  """The paper's closed form: weights of the losses but the first from differences to it."""
  units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  lengths, angles = rows[0] - rows[1:], units[0] - units[1:]
  others = rows[0] @ angles.T @ np.linalg.inv(lengths @ angles.T)
  return np.concatenate([[1 - others.sum()], others])


@pytest.mark.parametrize("number", [2, 3, 8])
def test_equals_the_paper(number):
  for seed in range(4):
    rows = _random(number, seed, spread=0.5)
    with jax.enable_x64(True):
      np.testing.assert_allclose(_weights(rows), _paper(rows), rtol=1e-8)
    np.testing.assert_allclose(_weights(rows.astype(np.float32)), _paper(rows), rtol=1e-3)


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_projections_are_equal_whatever_the_lengths(spread):
  for seed in range(4):
    rows = _random(4, seed, spread).astype(np.float32)
    projections = _projections(rows.astype(np.float64), _weights(rows).astype(np.float64))
    np.testing.assert_allclose(projections, projections[0], rtol=1e-4)
    assert projections[0] > 0


def test_a_duplicate_shares_the_weight_and_a_gradient_of_zero_has_none():
  rows = _random(3, 0)
  more = np.concatenate([rows, rows[:1], 0 * rows[:1]])
  with jax.enable_x64(True):
    once, twice = _weights(rows), _weights(more)
  np.testing.assert_allclose(twice[0], twice[3], rtol=1e-9)
  assert twice[4] == 0
  np.testing.assert_allclose(twice @ more, once @ rows, rtol=1e-9)
  np.testing.assert_allclose(twice.sum(), 1, rtol=1e-12)


def test_more_losses_than_dimensions_have_projections_equal_in_least_squares():
  rows = _random(5, 1, spread=1.0)[:, :3]
  with jax.enable_x64(True):
    weights = _weights(rows)
  units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  best = np.linalg.lstsq(units, np.ones(5), rcond=None)[0]
  direction = weights @ rows
  np.testing.assert_allclose(
    direction / np.linalg.norm(direction), best / np.linalg.norm(best), rtol=1e-7
  )


def test_a_sum_that_is_zero_or_negative_gives_uniform_weights():
  opposite = np.array([[1.0, 0.0], [-3.0, 0.0]], np.float32)
  np.testing.assert_array_equal(_weights(opposite), [0.5, 0.5])
  np.testing.assert_array_equal(_weights(0 * opposite), [0.5, 0.5])
  uphill = np.array([[1, 0, 0], [0, 1, 0], [0.06, 0.06, 0.053]], np.float32)
  projections = _projections(uphill, _paper(uphill.astype(np.float64)))
  assert projections.max() < 0  # the paper's weights
  np.testing.assert_allclose(_weights(uphill), 1 / 3, rtol=1e-6)
