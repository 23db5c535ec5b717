"""Methods that compare gradients in float32, where lengths differ by orders of magnitude."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

METHODS = {
  "mgda": w.mgda(),
  "pcgrad": w.pcgrad(),
  "gradvac": w.gradvac(),
  "cagrad": w.cagrad(),
  "impartial_gradients": w.impartial_gradients(),
  "nash_mtl": w.nash_mtl(),
  "fairgrad": w.fairgrad(),
  "aligned_mtl": w.aligned_mtl("rmse"),
  "upgrad": w.upgrad(),
  "dual_projection": w.dual_projection(),
  "conflict_free": w.conflict_free(),
}
SCALE_FREE = set(METHODS) - {"nash_mtl", "fairgrad"}  # whose weights answer to the scale
LENGTHS = np.array([1.0, 30.0, 0.02])


def _gram(seed):
  rows = np.random.default_rng(seed).normal(size=(3, 5))
  rows[2] -= rows[0]  # a conflict
  rows *= LENGTHS[:, None]
  return rows @ rows.T


def _weights(name, grams, dtype):
  """Returns the weights [n, K] for Gram matrices [n, K, K]."""
  method = METHODS[name]

  def weights(gram):
    losses = jnp.ones(3, dtype)
    return method.update(losses, method.init(losses), gram=gram)[0]

  return np.asarray(jax.jit(jax.vmap(weights))(jnp.asarray(grams, dtype)), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_float32_is_near_float64(name):
  grams = np.stack([_gram(seed) for seed in range(20)])
  with jax.enable_x64(True):
    expected = _weights(name, grams, jnp.float64)
  actual = _weights(name, grams, jnp.float32)
  for one, other, gram in zip(actual, expected, grams, strict=True):
    error = (one - other) @ gram @ (one - other)
    assert error <= 1e-6 * (other @ gram @ other) + 1e-9 * np.diag(gram).min()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCALE_FREE))
@pytest.mark.parametrize("scale", [2.0**-66, 2.0**66])
def test_weights_do_not_depend_on_the_common_scale(name, scale):
  grams = np.stack([_gram(seed) for seed in range(3)])
  expected = _weights(name, grams, jnp.float32)
  np.testing.assert_array_equal(_weights(name, grams * scale, jnp.float32), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_zero_gradients_do_no_harm(name):
  grams = np.stack([np.zeros((3, 3)), np.diag([1.0, 0.0, 2.0]), np.diag([0.0, 0.0, 3.0])])
  weights = _weights(name, grams, jnp.float32)
  assert np.isfinite(weights).all()
  assert (weights >= 0).all()
