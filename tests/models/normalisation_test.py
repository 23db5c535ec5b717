"""Batch normalisation with ReLU equals Flax's layer and `nn.relu`, in value, state and gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models import normalisation


class _Plain(nn.Module):
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, images, train):
    norm = nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype, name="BatchNorm_0")
    return nn.relu(norm(images))


class _Ours(nn.Module):
  @nn.compact
  def __call__(self, images, train):
    return normalisation.BatchNorm(name="BatchNorm_0")(images, train)


def _run(module, variables, images, cotangent, train):
  def apply(params, images):
    return module.apply({**variables, "params": params}, images, train, mutable=["batch_stats"])

  out, pull_back, state = jax.vjp(apply, variables["params"], images, has_aux=True)
  return out, pull_back(cotangent), state


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 2e-5), (jnp.bfloat16, 2e-2)])
def test_equals_flax(train, dtype, tolerance):
  rng = np.random.default_rng(0)
  images = jnp.asarray(3 + 2 * rng.normal(size=(4, 8, 6, 5)), dtype)
  cotangent = jnp.asarray(rng.normal(size=images.shape), dtype)
  plain = _Plain(dtype)
  variables = plain.init(jax.random.key(0), images, False)
  drawn = jax.tree.map(lambda x: jnp.asarray(rng.uniform(0.5, 2, x.shape), x.dtype), variables)
  assert jax.tree.map(jnp.shape, _Ours().init(jax.random.key(0), images, True)) == jax.tree.map(
    jnp.shape, variables
  )
  expected = _run(plain, drawn, images, cotangent, train)
  for run in (_run, jax.jit(_run, static_argnums=(0, 4))):
    actual = run(_Ours(), drawn, images, cotangent, train)
    assert jax.tree.map(jnp.result_type, actual) == jax.tree.map(jnp.result_type, expected)
    jax.tree.map(
      lambda a, e: np.testing.assert_allclose(
        np.float32(a), np.float32(e), rtol=tolerance, atol=tolerance * max(1, np.abs(e).max())
      ),
      actual,
      expected,
    )


def test_initialisation_keeps_the_statistics():
  images = 5 + jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
  state = _Ours().init(jax.random.key(1), images, True)["batch_stats"]["BatchNorm_0"]
  assert (state["mean"] == 0).all()
  assert (state["var"] == 1).all()
