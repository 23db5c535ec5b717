"""VGG16 equals Keras's and torchvision's with the same weights, and the photograph's features."""

import jax
import numpy as np
import pytest

from mlseg.models import pretrained
from mlseg.models.encoders.vgg16 import VGG16
from tests.models import peers

SIZES = [(64, 64), (65, 47)]


def _images(size, channels=3):
  return np.random.default_rng(2).random((2, *size, channels), np.float32)


def _features(encoder, variables, images):
  return jax.jit(lambda v, x: encoder.apply(v, x, False))(variables, images)


@pytest.fixture(scope="module")
def keras_weights(tmp_path_factory):
  network = peers.keras_network("vgg16")
  path = tmp_path_factory.mktemp("keras") / "vgg16.weights.h5"
  network.save_weights(path)
  return network, pretrained.load(path, VGG16("keras"))


@pytest.fixture(scope="module")
def torch_weights(tmp_path_factory):
  network = peers.torch_network("vgg16")
  path = tmp_path_factory.mktemp("torch") / "vgg16.pth"
  peers.torch.save(network.state_dict(), path)
  return network, pretrained.load(path, VGG16("torchvision"))


@pytest.mark.slow
@peers.QUIET
@pytest.mark.parametrize("size", SIZES)
def test_equals_keras(keras_weights, size):
  network, variables = keras_weights
  images = _images(size)
  apply, trainable, _ = peers.keras_features(network, "vgg16", images)
  actual = _features(VGG16("keras"), variables, images)
  for one, other in zip(actual, apply(trainable)[0], strict=True):
    peers.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_equals_torchvision(torch_weights, size):
  network, variables = torch_weights
  images = _images(size)
  actual = _features(VGG16("torchvision"), variables, images)
  with peers.torch.no_grad():
    expected = peers.torch_features(network, "vgg16", images)
  for one, other in zip(actual, expected, strict=True):
    peers.assert_close(one, other)


@pytest.mark.slow
def test_gradient_equals_torchvision(torch_weights):
  network, variables = torch_weights
  images = _images((32, 32))
  encoder = VGG16("torchvision")

  def total(params):
    return sum((f**2).mean() for f in encoder.apply({"params": params}, images, True))

  gradient = jax.jit(jax.grad(total))(variables["params"])
  network.zero_grad()
  sum((f**2).mean() for f in peers.torch_features(network, "vgg16", images)).backward()
  for index, name in ((0, "stage_0/conv_1"), (17, "stage_3/conv_1"), (28, "stage_4/conv_3")):
    stage, conv = name.split("/")
    layer = network.features[index]
    kernel = layer.weight.grad.permute(2, 3, 1, 0)
    peers.assert_close(gradient[stage][conv]["kernel"], kernel, 1e-4)
    peers.assert_close(gradient[stage][conv]["bias"], layer.bias.grad, 1e-4)


@pytest.mark.slow
def test_grey_stands_for_three_equal_channels(torch_weights):
  grey = _images((32, 32), 1)
  encoder = VGG16("torchvision")
  one, three = (
    encoder.apply(torch_weights[1], x, False) for x in (grey, np.repeat(grey, 3, axis=-1))
  )
  jax.tree.map(np.testing.assert_array_equal, one, three)


@pytest.mark.shared
def test_photograph_with_the_real_weights(shared):
  folder = shared / "weights"
  encoder = VGG16("keras")
  variables = pretrained.load(folder / "vgg16_keras_imagenet_notop_fp16.safetensors", encoder)
  with np.load(folder / "golden_chelsea.npz") as golden:
    centred = golden["input_caffe_nchw"].transpose(0, 2, 3, 1)
    blue_first = centred + np.array([103.939, 116.779, 123.68])
    images = np.float32(blue_first[..., ::-1] / 255)
    for index, features in enumerate(_features(encoder, variables, images)):
      expected = golden[f"vgg16_stage{index + 1}_gap"]
      difference = np.asarray(features).mean((1, 2)) - expected
      # The file has half the digits of the weights that these means were made with.
      assert np.linalg.norm(difference) <= 4e-4 * np.linalg.norm(expected)
