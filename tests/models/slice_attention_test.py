"""Attention over the slices of a volume: against its formula, absent slices, orders."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models import SliceAttention, from_linen

SLICES, SIDE = 5, 8


class _Encoder(nn.Module):
  """Five halvings of nothing but means, and a layer."""

  @property
  def strides(self):
    return (8,)

  @nn.compact
  def __call__(self, images, train):
    count, height, width, channels = images.shape
    parts = images.reshape(count, height // 8, 8, width // 8, 8, channels).mean((2, 4))
    return (nn.relu(nn.Dense(6)(parts)),)


@pytest.fixture(scope="module")
def net():
  module = SliceAttention(
    _Encoder(), 0, 3, units=(), num_slices=SLICES, attention_units=4, embedding=7, num_textures=2
  )
  model = from_linen(module, SliceAttention.classify)
  rng = np.random.default_rng(0)
  volumes = rng.uniform(0.1, 1, (3, SLICES, SIDE, SIDE, 1)).astype(np.float32)
  volumes[0, 3:] = 0
  volumes[1, 0] = 0
  return model, model.init(jax.random.key(0), _tall(volumes)), volumes


def _tall(volumes):
  return jnp.asarray(volumes.reshape(len(volumes), -1, SIDE, 1))


def test_volumes_are_gathered_by_the_formula(net):
  model, variables, volumes = net
  outputs, _ = model.apply(variables, _tall(volumes), False)
  own = jax.tree.map(np.asarray, variables["params"])

  def dense(name, x):
    return x @ own[name]["kernel"] + own[name].get("bias", 0)

  for n, volume in enumerate(volumes):
    there = [s for s in range(SLICES) if volume[s].any()]
    means = volume[there].reshape(len(there), -1).mean(1, keepdims=True)
    layer = own["encoder"]["Dense_0"]
    hidden = np.maximum(means @ layer["kernel"] + layer["bias"], 0)
    scores = dense(
      "score", np.tanh(dense("content", hidden)) / (1 + np.exp(-dense("gate", hidden)))
    )
    weights = np.exp(scores[:, 0]) / np.exp(scores).sum()
    np.testing.assert_allclose(outputs.attention[n, np.array(there)], weights, rtol=1e-5)
    assert outputs.attention[n].sum() == pytest.approx(1, rel=1e-6)
    gathered = weights @ hidden
    np.testing.assert_allclose(
      outputs.class_logits[n], dense("classification", gathered), rtol=1e-4
    )
    np.testing.assert_allclose(outputs.texture_logits[n], dense("texture", gathered), rtol=1e-4)
    projected = dense("projection_1", np.maximum(dense("projection_0", gathered), 0))
    projected = projected / np.linalg.norm(projected)
    np.testing.assert_allclose(outputs.embeddings[n], projected, rtol=1e-4, atol=1e-6)


def test_the_order_of_slices_does_not_count(net):
  model, variables, volumes = net
  order = np.random.default_rng(1).permutation(SLICES)
  first, _ = model.apply(variables, _tall(volumes), False)
  second, _ = model.apply(variables, _tall(volumes[:, order]), False)
  np.testing.assert_allclose(second.class_logits, first.class_logits, rtol=1e-5)
  np.testing.assert_allclose(second.attention, first.attention[:, order], rtol=1e-5)


def test_the_head_alone_gives_the_scores_of_the_features(net):
  model, variables, volumes = net
  outputs, _ = model.apply(variables, _tall(volumes), False)
  assert outputs.features.shape == (3, SLICES, 1, 6)
  np.testing.assert_allclose(
    model.classify(variables, outputs.features), outputs.class_logits, rtol=1e-6
  )


@pytest.mark.slow
def test_a_volume_without_slices_has_finite_scores_and_gradients(net):
  model, variables, volumes = net

  def total(params, images):
    outputs, _ = model.apply({"params": params}, images, False)
    return outputs.class_logits.sum() + outputs.embeddings.sum()

  gradient = jax.grad(total)(variables["params"], _tall(0 * volumes))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
