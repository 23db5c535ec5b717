"""Winograd's convolution equals the direct sum, for any size and padding, and is taken for few."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from mlseg.models import convolution, winograd

PADDINGS = (((1, 1), (1, 1)), ((0, 0), (0, 0)), ((1, 1), (1, 0)), ((2, 1), (0, 2)))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 6), (3, 3), (16, 4)])
def test_equals_the_direct_sum_of_scipy_in_float64(height, width, padding):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    images, kernel = rng.normal(size=(2, height, width, 3)), rng.normal(size=(3, 3, 3, 4))
    out = winograd.correlate(jnp.asarray(images), jnp.asarray(kernel), padding)
    padded = np.pad(images, ((0, 0), *padding, (0, 0)))
    for b in range(2):
      for o in range(4):
        parts = [
          signal.correlate2d(padded[b, ..., i], kernel[..., i, o], mode="valid") for i in range(3)
        ]
        np.testing.assert_allclose(out[b, ..., o], sum(parts), rtol=1e-9, atol=1e-9)


def _layer(channels, dtype=jnp.float32):
  keys = jax.random.split(jax.random.key(0), 3)
  images = jax.random.normal(keys[0], (2, 8, 8, channels), dtype)
  kernel = jax.random.normal(keys[1], (3, 3, channels, 64), dtype) / channels**0.5
  return images, kernel, jax.random.normal(keys[2], (2, 8, 8, 64), dtype)


def test_a_layer_of_many_channels_takes_it_and_keeps_its_value_and_gradients(monkeypatch):
  images, kernel, cotangent = _layer(64)

  def value_and_gradients():
    convolve = lambda x, k: convolution.convolve(x, k, ((1, 1), (1, 1)))  # noqa: E731
    text = str(jax.make_jaxpr(convolve)(images, kernel))
    out, pull_back = jax.vjp(convolve, images, kernel)
    return "conv_general_dilated" in text, (out, *pull_back(cotangent))

  is_direct, fast = value_and_gradients()
  assert not is_direct
  monkeypatch.setattr(convolution, "_WINOGRAD_CHANNELS", 1000)
  is_direct, direct = value_and_gradients()
  assert is_direct
  for actual, expected in zip(fast, direct, strict=True):
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * scale)


@pytest.mark.parametrize(
  ("channels", "dtype"), [(32, jnp.float32), (64, jnp.bfloat16)], ids=["few", "bfloat16"]
)
def test_other_layers_do_not(channels, dtype):
  images, kernel, _ = _layer(channels, dtype)
  text = str(
    jax.make_jaxpr(lambda x, k: convolution.convolve(x, k, ((1, 1), (1, 1))))(images, kernel)
  )
  assert "conv_general_dilated" in text
