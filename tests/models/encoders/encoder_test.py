"""Encoders by name, their mistakes, and training stage by stage."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.errors import UserError
from mlseg.models.encoders import encoder
from mlseg.models.encoders.convention import CAFFE, SYMMETRIC, TORCHVISION, prepare


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ("vgg19", "keras"),
      "unknown encoder 'vgg19': choose from convnext_tiny, efficientnet_lite0, efficientnet_lite1,"
      " efficientnet_lite2, mobilenet_v2, resnet18, resnet34, resnet50, vgg16",
    ),
    (("vgg16", "tf"), "unknown convention 'tf': choose from keras, tensorflow, torchvision"),
    (
      ("vgg16", "tensorflow"),
      "encoder 'vgg16': convention must be 'auto' or 'keras' or 'torchvision', not 'tensorflow'",
    ),
    (
      ("efficientnet_lite0", "torchvision"),
      "encoder 'efficientnet_lite0': convention must be 'auto' or 'tensorflow', not 'torchvision'",
    ),
    (("resnet18", "auto", 0.5), "encoder 'resnet18' has one width, 1.0, not 0.5"),
    (("vgg16", "keras", 0.5), "encoder 'vgg16' has one width, 1.0, not 0.5"),
    (("mobilenet_v2", "keras", -1.0), "encoder: width must be positive, not -1.0"),
  ],
)
def test_mistakes_are_reported_in_one_line(arguments, message):
  with pytest.raises(UserError) as caught:
    encoder.make_encoder(*arguments)
  assert str(caught.value) == message


@pytest.mark.slow
@pytest.mark.parametrize("name", encoder.NAMES)
def test_strides_are_those_of_the_features(name):
  module = encoder.make_encoder(name, "auto")
  image = jax.ShapeDtypeStruct((1, 96, 64, 3), jnp.float32)
  features, variables = jax.eval_shape(
    lambda x: module.init_with_output(jax.random.key(0), x, True), image
  )
  sizes = [(96 // stride, 64 // stride) for stride in module.strides]
  assert [f.shape[1:3] for f in features] == sizes
  labels = set(jax.tree.leaves(encoder.stage_labels({"encoder": variables["params"]})))
  assert labels == {f"stage_{i}" for i in range(5)}


def test_auto_is_the_convention_of_the_usual_weights():
  conventions = {name: encoder.make_encoder(name, "auto").convention for name in encoder.NAMES}
  assert conventions.pop("vgg16") == "keras"
  assert conventions.pop("mobilenet_v2") == "torchvision"
  for name, convention in conventions.items():
    assert convention == ("tensorflow" if "lite" in name else "torchvision")


@pytest.mark.slow
@pytest.mark.parametrize("name", encoder.NAMES)
def test_dtype_momentum_and_frozen_statistics_reach_every_encoder(name):
  module = encoder.make_encoder(name, "auto", 1.0, True, jnp.bfloat16, 0.7)
  image = jax.ShapeDtypeStruct((1, 33, 50, 1), jnp.float32)
  features, variables = jax.eval_shape(
    lambda x: module.init_with_output(jax.random.key(0), x, True), image
  )
  assert {f.dtype for f in features} == {jnp.dtype(jnp.bfloat16)}
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
  if "batch_stats" in variables:
    assert (module.frozen_statistics, module.momentum) == (True, 0.7)
  else:
    assert name in ("vgg16", "convnext_tiny")


def test_a_frozen_stage_stays_and_others_have_their_rates():
  params = {
    "encoder": {f"stage_{i}": {"conv_1": {"kernel": jnp.ones(2)}} for i in range(3)},
    "head": {"kernel": jnp.ones(2)},
  }
  rates = {"stage_0": 0.0, "stage_1": 0.1, "stage_2": 0.2, "head": 0.5}
  optimizer = optax.multi_transform(
    {name: optax.sgd(rate) if rate else optax.set_to_zero() for name, rate in rates.items()},
    encoder.stage_labels,
  )
  updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
  for i in range(3):
    update = updates["encoder"][f"stage_{i}"]["conv_1"]["kernel"]
    np.testing.assert_allclose(update, -rates[f"stage_{i}"])
  np.testing.assert_allclose(updates["head"]["kernel"], -0.5)


def test_inputs_are_those_of_the_conventions():
  red = jnp.asarray([1.0, 0.0, 0.5]).reshape(1, 1, 1, 3)
  np.testing.assert_allclose(
    prepare(red, CAFFE).ravel(), [127.5 - 103.939, -116.779, 255 - 123.68], rtol=1e-5
  )
  np.testing.assert_allclose(prepare(red, SYMMETRIC).ravel(), [1, -1, 0], atol=1e-6)
  expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.5 - 0.406) / 0.225]
  np.testing.assert_allclose(prepare(red, TORCHVISION).ravel(), expected, rtol=1e-5)
  assert prepare(red[..., :1], TORCHVISION).shape == (1, 1, 1, 3)


@pytest.mark.slow
def test_bfloat16_stays_near():
  module = encoder.make_encoder("mobilenet_v2", "keras", 0.35)
  images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
  shapes = jax.eval_shape(lambda x: module.init(jax.random.key(1), x, False), images)
  rng = np.random.default_rng(1)

  def draw(leaf):
    if len(leaf.shape) == 1:
      return jnp.asarray(rng.uniform(0.5, 1, leaf.shape), jnp.float32)
    return jnp.asarray(rng.normal(size=leaf.shape) / np.prod(leaf.shape[:3]) ** 0.5, jnp.float32)

  variables = jax.tree.map(draw, shapes)
  exact, short = (
    jax.jit(m.apply, static_argnums=2)(variables, images, False)
    for m in (module, module.copy(dtype=jnp.bfloat16))
  )
  for one, other in zip(short, exact, strict=True):
    assert one.dtype == jnp.bfloat16
    assert np.linalg.norm(np.float32(one) - other) <= 0.1 * np.linalg.norm(other)
