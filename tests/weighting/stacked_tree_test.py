"""Trees of per-loss gradients: Gram matrices, weighted sums, zeros to sum into."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting import stacked as tree

K = 3


def _gradients(dtypes=("float32", "float32", "float32"), seed=0):
  """Returns a nested tree of stacked gradients: a matrix, a scalar and a vector per loss."""
  rng = np.random.default_rng(seed)
  shapes = [(K, 4, 5), (K,), (K, 7)]
  a, b, c = (jnp.array(rng.normal(size=s), d) for s, d in zip(shapes, dtypes, strict=True))
  return {"a": a, "b": (b, {"c": c})}


def _rows(gradients):
  """Returns the gradients as a float64 matrix [K, n]."""
  leaves = jax.tree.leaves(gradients)
  return np.concatenate([np.asarray(leaf, np.float64).reshape(K, -1) for leaf in leaves], axis=1)


MIXED = [
  ("float32", "float32", "float32"),
  ("bfloat16", "bfloat16", "bfloat16"),
  ("bfloat16", "float32", "float16"),
]


@pytest.mark.parametrize("dtypes", MIXED)
def test_gram_equals_numpy_in_float32_whatever_the_dtypes(dtypes):
  gradients = _gradients(dtypes)
  gram = jax.jit(tree.gram_of)(gradients)
  assert gram.dtype == jnp.float32
  rows = _rows(gradients)
  np.testing.assert_allclose(gram, rows @ rows.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtypes", MIXED)
def test_weighted_sum_equals_numpy_and_keeps_structure_and_dtypes(dtypes):
  gradients, weights = _gradients(dtypes), jnp.array([0.3, -1.7, 2.9])
  combined = jax.jit(tree.weighted_sum)(weights, gradients)
  assert jax.tree.structure(combined) == jax.tree.structure(gradients)
  for one, stacked in zip(jax.tree.leaves(combined), jax.tree.leaves(gradients), strict=True):
    assert (one.dtype, one.shape) == (stacked.dtype, stacked.shape[1:])
    exact = np.tensordot(np.float64(np.asarray(weights)), np.asarray(stacked, np.float64), 1)
    # In float32 and rounded once, so the result is the number of that dtype nearest to the exact.
    half = 0.501 * float(jnp.finfo(one.dtype).eps)
    np.testing.assert_allclose(np.asarray(one, np.float64), exact, rtol=half, atol=1e-6)


def test_float64_gradients_are_summed_in_float64():
  with jax.enable_x64(True):
    gradients = _gradients(("float64", "float32", "float64"))
    gram = tree.gram_of(gradients)
    assert gram.dtype == jnp.float64
    rows = _rows(gradients)
    np.testing.assert_allclose(gram, rows @ rows.T, rtol=1e-12)
    combined = tree.weighted_sum(jnp.array([1.0, 2.0, 3.0], jnp.float64), gradients)
    np.testing.assert_allclose(combined["b"][0], [1.0, 2.0, 3.0] @ rows[:, 20], rtol=1e-7)


def test_many_small_bfloat16_numbers_are_not_lost():
  gradients = {"a": jnp.ones((2, 4096), jnp.bfloat16)}  # 1 + 1 + ... stops at 256 in bfloat16
  np.testing.assert_array_equal(tree.gram_of(gradients), np.full((2, 2), 4096.0))


def test_leaves_without_elements_add_nothing():
  gradients = {"full": jnp.array([[1.0], [2.0]]), "empty": jnp.zeros((2, 0, 3))}
  np.testing.assert_array_equal(tree.gram_of(gradients), [[1.0, 2.0], [2.0, 4.0]])
  combined = tree.weighted_sum(jnp.ones(2), gradients)
  assert combined["empty"].shape == (0, 3)
  np.testing.assert_array_equal(combined["full"], [3.0])


def test_stacked_zeros_are_wide_and_take_shapes_alone():
  params = {"a": jnp.ones((4, 5), jnp.bfloat16), "b": jax.ShapeDtypeStruct((), jnp.float32)}
  zeros = tree.stacked_zeros(params, K)
  assert zeros["a"].shape == (K, 4, 5)
  assert zeros["b"].shape == (K,)
  assert {leaf.dtype for leaf in zeros.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("leaf", [jnp.zeros(()), jnp.zeros((4, K)), jnp.zeros(2)])
def test_gradients_without_the_axis_of_the_losses_are_refused(leaf):
  tree.check_stacked({"a": jnp.zeros((K, 4))}, K)
  with pytest.raises(ValueError, match="updates: must have the K = 3 losses along the first axis"):
    tree.check_stacked({"a": jnp.zeros((K, 4)), "b": leaf}, K)
