"""Batch normalisation with a clip equals Flax's layer and `clip`, in value, state and gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models.layers.normalisation import LINEAR, RELU, RELU6, BatchNorm, ClippedBatchNorm


class _Plain(nn.Module):
  bounds: tuple[float, float] = RELU
  frozen: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, train):
    running = self.frozen or not train
    norm = nn.BatchNorm(running, momentum=0.8, epsilon=1e-3, dtype=self.dtype, name="BatchNorm_0")
    return jnp.clip(norm(images), *self.bounds)


class _Ours(nn.Module):
  bounds: tuple[float, float] = RELU
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


def _inputs(dtype=jnp.float32):
  rng = np.random.default_rng(0)
  images = jnp.asarray(3 + 2 * rng.normal(size=(4, 8, 6, 5)), dtype)
  variables = _Plain().init(jax.random.key(0), images, False)
  drawn = jax.tree.map(lambda x: jnp.asarray(rng.uniform(1, 4, x.shape), x.dtype), variables)
  return drawn, images, jnp.asarray(rng.normal(size=images.shape), dtype)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
  ("bounds", "dtype", "tolerance"),
  [
    *((bounds, jnp.float32, 2e-5) for bounds in (RELU, RELU6, LINEAR)),
    *((bounds, jnp.bfloat16, 2e-2) for bounds in (RELU, LINEAR)),  # at 6 rounding decides
  ],
)
def test_equals_flax(bounds, dtype, tolerance, train, frozen):
  variables, images, cotangent = _inputs(dtype)
  expected = _run(_Plain(bounds, frozen, dtype), variables, images, cotangent, train)
  assert all((expected[0] == bound).any() for bound in bounds if np.isfinite(bound))
  for run in (_run, jax.jit(_run, static_argnums=(0, 4))):
    actual = run(_Ours(bounds, frozen), variables, images, cotangent, train)
    assert jax.tree.map(jnp.result_type, actual) == jax.tree.map(jnp.result_type, expected)
    jax.tree.map(
      lambda a, e: np.testing.assert_allclose(
        np.float32(a), np.float32(e), rtol=tolerance, atol=tolerance * max(1, np.abs(e).max())
      ),
      actual,
      expected,
    )


def test_running_variance_over_one_less():
  variables, images, _ = _inputs()
  _, state = _Ours(LINEAR, unbiased=True).apply(variables, images, True, mutable=["batch_stats"])
  old = variables["batch_stats"]["BatchNorm_0"]["var"]
  expected = 0.8 * old + 0.2 * np.var(images, (0, 1, 2), ddof=1)
  np.testing.assert_allclose(state["batch_stats"]["BatchNorm_0"]["var"], expected, rtol=1e-5)


def test_default_is_relu():
  variables, images, _ = _inputs()
  own = {kind: tree["BatchNorm_0"] for kind, tree in variables.items()}
  out = BatchNorm(epsilon=1e-3).apply(own, images, False)
  np.testing.assert_allclose(out, _Plain().apply(variables, images, False), rtol=2e-5, atol=2e-5)


def test_initialisation_keeps_the_statistics():
  images = 5 + jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
  state = _Ours().init(jax.random.key(1), images, True)["batch_stats"]["BatchNorm_0"]
  assert (state["mean"] == 0).all()
  assert (state["var"] == 1).all()
