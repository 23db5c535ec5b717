"""A weight for every example, against the losses of the examples one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

RNG = np.random.default_rng(0)
PARAMS = {
  "a": jnp.array(RNG.normal(size=(3, 4)), jnp.float32),
  "b": jnp.array(RNG.normal(size=4), jnp.float32),
}


def _batch(size):
  rng = np.random.default_rng(size)
  return {
    "x": jnp.array(rng.normal(size=(size, 3)), jnp.float32),
    "y": jnp.array(rng.normal(size=size), jnp.float32),
  }


def _loss_fn(params, example, scale=1.0):
  return scale * (jnp.tanh(example["x"] @ params["a"]) @ params["b"] - example["y"]) ** 2


@pytest.mark.parametrize(
  "method", [w.mgda(), w.upgrad(), w.geometric()], ids=["mgda", "upgrad", "g"]
)
def test_it_is_the_weighting_of_the_losses_of_all_examples(method):
  batch = _batch(6)

  def all_losses(params):
    return jax.vmap(lambda example: _loss_fn(params, example, 2.0))(batch), None

  found, _ = jax.jit(w.instance_losses_and_gradients(_loss_fn, method))(
    PARAMS, method.init(jnp.zeros(6)), batch, 2.0
  )
  expected, _ = jax.jit(w.losses_and_gradients(all_losses, method))(
    PARAMS, method.init(jnp.zeros(6))
  )
  np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
  np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-3, atol=1e-4)
  for name, value in expected.gradients.items():
    np.testing.assert_allclose(found.gradients[name], value, rtol=1e-3, atol=1e-4)


def test_absent_examples_do_not_count():
  method, batch = w.mgda(), _batch(5)
  present = jnp.array([True, False, True, True, False])
  compute = jax.jit(w.instance_losses_and_gradients(_loss_fn, method))
  found, _ = compute(PARAMS, method.init(jnp.zeros(5)), batch, present=present)
  kept = jax.tree.map(lambda leaf: leaf[present], batch)
  alone, _ = compute(PARAMS, method.init(jnp.zeros(3)), kept)
  np.testing.assert_allclose(found.weights[present], alone.weights, rtol=1e-4, atol=1e-5)
  for name, value in alone.gradients.items():
    np.testing.assert_allclose(found.gradients[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", [w.krum(10, 20), w.mgda()], ids=["krum", "mgda"])
def test_a_thousand_examples(method):
  batch = _batch(1024)
  compute = jax.jit(w.instance_losses_and_gradients(_loss_fn, method))
  found, _ = compute(PARAMS, method.init(jnp.zeros(1024)), batch)
  np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-3)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found.gradients))
