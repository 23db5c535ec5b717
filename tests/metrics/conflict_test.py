"""Cosines of gradients against the gradients themselves, and statistics against loops over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.metrics import conflict_statistics, gradient_cosines


def _gram(gradients):
  return jnp.asarray(gradients @ gradients.T, jnp.float32)


def test_cosines_are_those_of_the_gradients():
  gradients = np.random.default_rng(0).normal(size=(5, 40)) * np.logspace(-6, 6, 5)[:, None]
  found = gradient_cosines(_gram(gradients))
  units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
  np.testing.assert_allclose(found, units @ units.T, atol=1e-6)
  np.testing.assert_array_equal(found, found.T)
  np.testing.assert_array_equal(jnp.diagonal(found), 1)
  np.testing.assert_allclose(jax.jit(gradient_cosines)(_gram(gradients)), found, atol=1e-6)


def test_matrices_side_by_side_are_as_each_alone():
  grams = jnp.stack([_gram(np.random.default_rng(seed).normal(size=(3, 7))) for seed in range(4)])
  each = jnp.stack([gradient_cosines(gram) for gram in grams])
  np.testing.assert_allclose(gradient_cosines(grams), each, atol=1e-6)
  np.testing.assert_allclose(jax.vmap(gradient_cosines)(grams), each, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-45, -1.0])
def test_a_gradient_without_a_direction_has_the_cosine_0(value):
  gradients = np.array([[3.0, 4.0], [1.0, 0.0], [-6.0, -8.0]])
  gram = _gram(gradients).at[1].set(value).at[:, 1].set(value)
  found = jax.jit(gradient_cosines)(gram)
  np.testing.assert_array_equal(found, [[1, 0, -1], [0, 0, 0], [-1, 0, 1]])


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_squares_at_the_ends_of_the_dtype_lose_nothing(scale):
  gradients = np.array([[3.0, 4.0], [4.0, -3.0], [0.6, 0.8]]) * scale
  found = gradient_cosines(_gram(gradients))
  np.testing.assert_allclose(found, [[1, 0, 1], [0, 1, 0], [1, 0, 1]], atol=1e-6)


def test_narrow_products_give_cosines_in_single_precision():
  assert gradient_cosines(jnp.eye(2, dtype=jnp.bfloat16)).dtype == jnp.float32
  assert gradient_cosines(jnp.eye(2, dtype=jnp.int32)).dtype == jnp.float32


def test_statistics_are_those_of_a_loop_over_the_steps_that_have_both():
  rng = np.random.default_rng(1)
  series, present = rng.uniform(-1, 1, (30, 4, 4)), rng.random((30, 4)) < 0.6
  present[:, 3] = False
  series[::7, 0, 1] = np.nan
  found = conflict_statistics(series, present)
  for i in range(4):
    for j in range(4):
      own = [c[i, j] for c, has in zip(series, present, strict=True) if has[i] and has[j]]
      own = [value for value in own if not np.isnan(value)]
      assert found.num_measured[i, j] == len(own)
      expected = (np.mean(own), np.mean(np.less(own, 0))) if own else (np.nan, np.nan)
      np.testing.assert_allclose(found.mean_cosine[i, j], expected[0])
      np.testing.assert_allclose(found.conflict_share[i, j], expected[1])
  assert np.isnan(found.mean_cosine[3]).all()


def test_a_series_without_steps_measures_nothing():
  found = conflict_statistics(np.zeros((0, 2, 2)))
  assert np.isnan(found.mean_cosine).all()
  assert not found.num_measured.any()


@pytest.mark.parametrize(
  ("function", "arguments", "message"),
  [
    (gradient_cosines, (jnp.zeros(3),), r"gram: must be \[..., K, K\], got the shape \(3,\)"),
    (gradient_cosines, (jnp.zeros((2, 3)),), "gram: must be"),
    (conflict_statistics, (np.zeros((2, 2)),), r"cosines: must be \[T, K, K\]"),
    (conflict_statistics, (np.zeros((2, 3, 2)),), "cosines: must be"),
    (conflict_statistics, (np.zeros((2, 3, 3)), np.ones((2, 2))), r"present: must be \[T, K\]"),
  ],
)
def test_wrong_shapes_are_refused(function, arguments, message):
  with pytest.raises(ValueError, match=message):
    function(*arguments)
