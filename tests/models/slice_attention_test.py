"""Attention over the slices of a volume: its formula, absent slices, orders, covariates."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.data.covariates import statistics
from mlseg.models import SliceAttention, from_linen, with_covariate_statistics

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


@pytest.fixture(scope="module")
def reading(net):
  """The same network, which also reads two covariates."""
  module = SliceAttention(
    _Encoder(), 0, 3, units=(), num_slices=SLICES, attention_units=4, embedding=7, num_textures=2,
    num_covariates=2,
  )  # fmt: skip
  model = from_linen(module, SliceAttention.classify)
  variables = model.init(jax.random.key(0), _tall(net[2]))
  return model, variables


MEAN, DEVIATION = jnp.array([60.0, 1e4]), jnp.array([9.0, 4e3])
COVARIATES = jnp.array([[51.0, 1.8e4], [jnp.nan, 6e3], [60.0, jnp.nan]])
STANDARDISED = [[-1, 2], [0, -1], [0, 0]]


def test_a_network_begins_as_it_does_without_covariates(net, reading):
  plain, before, volumes = net
  model, variables = reading
  own = dict(variables["params"])
  assert not own.pop("covariate_scores")["kernel"].any()
  jax.tree.map(np.testing.assert_array_equal, own, before["params"])
  outputs = model.predict(variables, _tall(volumes), COVARIATES)
  expected = plain.predict(before, _tall(volumes))
  np.testing.assert_array_equal(outputs.class_logits, expected.class_logits)


def test_covariates_add_a_linear_function_to_the_class_scores_alone(net, reading):
  plain, before, volumes = net
  model, variables = reading
  weights = np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32)
  params = {**variables["params"], "covariate_scores": {"kernel": jnp.asarray(weights)}}
  variables = with_covariate_statistics({**variables, "params": params}, MEAN, DEVIATION)
  expected = plain.predict(before, _tall(volumes))
  for train in (False, True):
    outputs, state = model.apply(variables, _tall(volumes), train, covariates=COVARIATES)
    added = np.array(STANDARDISED, np.float32) @ weights
    np.testing.assert_allclose(outputs.class_logits, expected.class_logits + added, rtol=1e-5)
    for name in ("embeddings", "texture_logits", "attention", "features"):
      np.testing.assert_array_equal(getattr(outputs, name), getattr(expected, name))
    np.testing.assert_array_equal(state["covariates"]["mean"], MEAN)
    np.testing.assert_array_equal(state["covariates"]["deviation"], DEVIATION)
  # Saliency maps, which follow the gradient of the class scores, are those of the head alone.
  head = model.classify(variables, outputs.features)
  np.testing.assert_allclose(head, expected.class_logits, rtol=1e-6)


def test_covariates_that_are_missing_or_not_read_are_a_mistake_of_the_program(net, reading):
  plain, before, volumes = net
  model, variables = reading
  with pytest.raises(ValueError, match=r"^covariates: must be of shape \(3, 2\), got None"):
    model.apply(variables, _tall(volumes), False)
  with pytest.raises(ValueError, match=r"^covariates: must be of shape \(3, 2\), got \(3, 1\)"):
    model.predict(variables, _tall(volumes), COVARIATES[:, :1])
  with pytest.raises(ValueError, match=r"^covariates: must be of shape None, got \(3, 2\)"):
    plain.predict(before, _tall(volumes), COVARIATES)


def test_an_outcome_that_only_a_covariate_tells_is_learned(net, reading):
  _, _, volumes = net
  model, variables = reading
  rng = np.random.default_rng(3)
  images = _tall(np.broadcast_to(volumes[2], (24, *volumes.shape[1:])))  # all patients look alike
  labels = np.arange(24) % 3
  known = rng.normal(60, 9, (24, 2)) + 40 * (labels[:, None] == [0, 1])
  values = np.where((np.arange(24) % 5 == 0)[:, None] & [False, True], np.nan, known)
  values = values.astype(np.float32)
  variables = with_covariate_statistics(variables, *map(jnp.asarray, statistics(values)))
  optimizer = optax.adam(0.1)

  def loss(params):
    outputs = model.predict({**variables, "params": params}, images, jnp.asarray(values))
    return optax.softmax_cross_entropy_with_integer_labels(outputs.class_logits, labels).mean()

  @jax.jit
  def step(carry, _):
    params, state = carry
    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(gradient, state)
    return (optax.apply_updates(params, updates), state), value

  start = variables["params"], optimizer.init(variables["params"])
  (params, _), losses = jax.lax.scan(step, start, length=60)
  assert losses[0] == pytest.approx(np.log(3), abs=0.3)
  assert losses[-1] < 0.35
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
