"""The fast formulations equal Flax's plain layers, in value and gradient, and inside a loop."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models.layers import blocks, pooling, strided


def _agree(ours, plain, shape, images=None):
  """Compares two modules on the same parameters: value and every gradient."""
  rng = np.random.default_rng(0)
  images = rng.normal(size=shape).astype(np.float32) if images is None else images
  variables = plain.init(jax.random.key(1), images)
  expected_shapes = jax.tree.map(jnp.shape, variables)
  assert jax.tree.map(jnp.shape, ours.init(jax.random.key(1), images)) == expected_shapes
  out = plain.apply(variables, images)
  cotangent = rng.normal(size=out.shape).astype(np.float32)

  def value_and_gradients(module):
    value, pull_back = jax.vjp(module.apply, variables, images)
    return value, pull_back(cotangent)

  expected = jax.jit(lambda: value_and_gradients(plain))()
  for actual in (
    value_and_gradients(ours),
    jax.jit(lambda: value_and_gradients(ours))(),
    jax.lax.map(lambda _: value_and_gradients(ours), jnp.arange(2)),
  ):
    actual = jax.tree.map(lambda a, e: a.reshape(-1, *e.shape)[-1], actual, expected)
    jax.tree.map(
      lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4), actual, expected
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("use_bias", [False, True])
def test_conv_equals_flax(size, use_bias):
  ours = blocks.Conv(5, size=size, use_bias=use_bias)
  _agree(ours, nn.Conv(5, (size, size), use_bias=use_bias), (2, 8, 6, 3))


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("use_bias", [False, True])
def test_up_conv_equals_flax(size, use_bias):
  plain = nn.ConvTranspose(4, (size, size), (2, 2), use_bias=use_bias)
  _agree(blocks.UpConv(4, size=size, use_bias=use_bias), plain, (2, 4, 6, 3))


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_patch_conv_equals_flax(size):
  plain = nn.Conv(5, (size, size), (size, size), padding="VALID")
  _agree(strided.PatchConv(5, size), plain, (2, 9, 12, 3))


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 2)])
def test_max_pool3_equals_flax_also_on_ties(size):
  rng = np.random.default_rng(2)
  images = rng.integers(-2, 1, (2, *size, 3)).astype(np.float32)  # many equal maxima
  expected, plain_back = jax.vjp(lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), images)
  actual, our_back = jax.vjp(pooling.max_pool3, images)
  np.testing.assert_array_equal(actual, expected)
  cotangent = rng.normal(size=actual.shape).astype(np.float32)
  np.testing.assert_allclose(our_back(cotangent)[0], plain_back(cotangent)[0], atol=1e-6)


def test_max_pool_equals_flax_also_on_ties():
  rng = np.random.default_rng(2)
  images = rng.integers(0, 3, (2, 8, 6, 3)).astype(np.float32)  # many equal maxima
  expected, plain_back = jax.vjp(lambda x: nn.max_pool(x, (2, 2), (2, 2)), images)
  actual, our_back = jax.vjp(pooling.max_pool, images)
  np.testing.assert_array_equal(actual, expected)
  cotangent = rng.normal(size=actual.shape).astype(np.float32)
  np.testing.assert_array_equal(our_back(cotangent)[0], plain_back(cotangent)[0])


def test_repeat2_equals_numpy():
  images = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
  np.testing.assert_array_equal(pooling.repeat2(images), images.repeat(2, 1).repeat(2, 2))
