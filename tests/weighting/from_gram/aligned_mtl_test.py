"""Aligned-MTL against the reference numbers, and its property: one condition number for all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gram.aligned_mtl import _balance, aligned_mtl

SCALES = ["min", "median", "rmse"]


@functools.cache
def _compiled(*args):
  weighting = aligned_mtl(*args)
  return jax.jit(
    lambda losses, gram: weighting.update(losses, weighting.init(losses), gram=gram)[0]
  )


def _weights(rows, *args):
  return np.asarray(_compiled(*args)(jnp.ones(len(rows), rows.dtype), jnp.asarray(rows @ rows.T)))


def _random(number, seed, spread=0.0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(number, 20)) * 10 ** rng.uniform(-spread, spread, (number, 1))


@pytest.mark.shared
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
  "name", ["J2", "J2b_nonconflict", "J2c_torchjd_doc", "J2d_conflict", "J3", "J3c"]
)
def test_equals_the_reference(golden, name, scale):
  data = golden("aligned_mtl")
  rows = np.array(data["inputs"]["gradients"][name])
  expected = data["outputs"][name][f"TorchJD_{scale}"]["weights"]
  with jax.enable_x64(True):
    np.testing.assert_allclose(_weights(rows, scale), expected, rtol=1e-6)


def _paper(rows, scale, preference):
  """The alignment of the singular value decomposition of the gradients themselves."""
  left, singular, _ = np.linalg.svd(rows, full_matrices=False)
  keeps = singular > 1e-9 * singular[0]
  left, singular = left[:, keeps], singular[keeps]
  root = {
    "min": singular[-1],
    "median": np.sort(singular)[(len(singular) - 1) // 2],
    "rmse": np.sqrt((singular**2).mean()),
  }[scale]
  return root * (left / singular) @ left.T @ preference


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("number", [1, 2, 6])
def test_equals_the_paper(number, scale):
  preference = tuple(float(k) for k in np.random.default_rng(0).random(number))
  for seed in range(4):
    rows = _random(number, seed, spread=1.0)
    expected = _paper(rows, scale, np.array(preference))
    with jax.enable_x64(True):
      np.testing.assert_allclose(_weights(rows, scale, preference), expected, rtol=1e-8)
    actual = _weights(rows.astype(np.float32), scale, preference)
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("scale", SCALES)
def test_gradients_that_depend_on_others_are_left_out_of_the_eigenvalues(scale):
  rows = _random(3, 0)
  rows = np.concatenate([rows, rows[:1], rows[1:2] - rows[2:3], 0 * rows[:1]])
  expected = _paper(rows, scale, np.full(6, 1 / 6))
  with jax.enable_x64(True):
    np.testing.assert_allclose(_weights(rows, scale), expected, rtol=1e-8, atol=1e-12)
  np.testing.assert_allclose(_weights(rows.astype(np.float32), scale), expected, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_the_aligned_gradients_are_at_right_angles_and_equally_long(scale):
  rows = _random(4, 1, spread=2.0)
  for dtype, tolerance in ((np.float32, 2e-2), (np.float64, 1e-6)):
    with jax.enable_x64(dtype == np.float64):
      rounded = rows.astype(dtype)
      # The Gram matrix in full precision: the test is of what is made of it.
      gram = rounded.astype(np.float64) @ rounded.T.astype(np.float64)
      balance = np.asarray(jax.jit(_balance, static_argnums=1)(jnp.array(gram, dtype), scale))
    aligned = balance.astype(np.float64) @ gram @ balance.astype(np.float64).T
    np.testing.assert_allclose(aligned / aligned[0, 0], np.eye(4), atol=tolerance)


def test_float32_keeps_gradients_that_are_ten_thousand_times_shorter():
  """Eigenvalues of the Gram matrix itself, in float32, would lose the shortest of them."""
  errors, direct_errors = [], []
  for seed in range(20):
    rows = _random(4, seed, spread=2.5)
    exact = np.linalg.svd(rows)[1][-1]
    gram = (rows @ rows.T).astype(np.float32)
    direct_errors.append(abs(float(jnp.linalg.eigvalsh(gram)[0]) / exact**2 - 1))
    expected = _paper(rows, "min", np.full(4, 0.25))
    errors.append(np.abs(_weights(rows.astype(np.float32)) / expected - 1).max())
  assert max(direct_errors) > 1
  assert max(errors) < 1e-2


def test_gradients_at_right_angles_are_brought_to_the_shortest():
  rows = np.diag(np.array([8.0, 2.0, 4.0], np.float32))
  np.testing.assert_allclose(_weights(rows) * 3, [0.25, 1, 0.5], rtol=1e-5)
  np.testing.assert_allclose(_weights(rows, "median") * 3, [0.5, 2, 1], rtol=1e-5)


def test_zeros_and_what_is_not_finite_give_neutral_weights():
  zeros = np.zeros((2, 2), np.float32)
  np.testing.assert_array_equal(_weights(zeros), [0.5, 0.5])
  np.testing.assert_array_equal(_weights(zeros, "min", (3.0, 1.0)), [3, 1])
  np.testing.assert_array_equal(_weights(zeros * np.nan, "min", (3.0, 1.0)), [3, 1])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("max",), r"scale: choose from min, median, rmse; got 'max'"),
    (("min", (1.0, -1.0)), r"preference: must be a finite number in \[0, inf\], got .*-1.0"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    aligned_mtl(*arguments)


def test_init_refuses_preferences_that_do_not_match():
  with pytest.raises(ValueError, match=r"preference: must be one number, 2 numbers"):
    aligned_mtl(preference=(1.0, 2.0, 3.0)).init(jnp.zeros(2))
