"""Batch normalisation with a clip equals Flax's layer and `clip`, in value, state and gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models.clipped_normalisation import LINEAR, RELU6, ClippedBatchNorm


class _Plain(nn.Module):
  bounds: tuple[float, float]
  frozen: bool

  @nn.compact
  def __call__(self, images, train):
    running = self.frozen or not train
    norm = nn.BatchNorm(running, momentum=0.8, epsilon=1e-3, name="BatchNorm_0")
    return jnp.clip(norm(images), *self.bounds)


class _Ours(nn.Module):
  bounds: tuple[float, float]
  frozen: bool = False
  unbiased: bool = False

  @nn.compact
  def __call__(self, images, train):
    norm = ClippedBatchNorm(self.bounds, 0.8, 1e-3, self.unbiased, self.frozen, name="BatchNorm_0")
    return norm(images, train)


def _run(module, variables, images, cotangent, train):
  def apply(params, images):
    return module.apply({**variables, "params": params}, images, train, mutable=["batch_stats"])

  out, pull_back, state = jax.vjp(apply, variables["params"], images, has_aux=True)
  return out, pull_back(cotangent), state


def _inputs():
  rng = np.random.default_rng(0)
  images = jnp.asarray(3 + 2 * rng.normal(size=(4, 8, 6, 5)), jnp.float32)
  variables = _Ours(RELU6).init(jax.random.key(0), images, False)
  drawn = jax.tree.map(lambda x: jnp.asarray(rng.uniform(1, 4, x.shape), x.dtype), variables)
  return drawn, images, jnp.asarray(rng.normal(size=images.shape), jnp.float32)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("bounds", [RELU6, LINEAR])
def test_equals_flax(bounds, train, frozen):
  variables, images, cotangent = _inputs()
  expected = _run(_Plain(bounds, frozen), variables, images, cotangent, train)
  actual = _run(_Ours(bounds, frozen), variables, images, cotangent, train)
  if bounds == RELU6:
    assert (expected[0] == 6).any()
    assert (expected[0] == 0).any()
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=2e-5, atol=2e-5 * np.abs(e).max()),
    actual,
    expected,
  )


def test_running_variance_over_one_less():
  variables, images, _ = _inputs()
  _, state = _Ours(LINEAR, unbiased=True).apply(variables, images, True, mutable=["batch_stats"])
  old = variables["batch_stats"]["BatchNorm_0"]["var"]
  expected = 0.8 * old + 0.2 * np.var(images, (0, 1, 2), ddof=1)
  np.testing.assert_allclose(state["batch_stats"]["BatchNorm_0"]["var"], expected, rtol=1e-5)
