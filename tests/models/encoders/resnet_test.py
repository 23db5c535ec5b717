"""ResNets equal torchvision's with the same weights, also in training."""

import jax
import numpy as np
import pytest

from mlseg.models import pretrained
from mlseg.models.encoders import resnet
from mlseg.models.encoders.resnet import ResNet
from tests.models import peers

SHORT = {"resnet18": "BasicBlock", "resnet50": "Bottleneck"}


def _images(size, batch=2):
  return np.random.default_rng(2).random((batch, *size, 3), np.float32)


def _features(encoder, variables, images, train=False):
  apply = jax.jit(lambda v, x: encoder.apply(v, x, train, mutable=["batch_stats"]))
  return apply(variables, images)


def _loaded(network, encoder, folder):
  peers.torch.save(network.state_dict(), folder / "weights.pth")
  return pretrained.load(folder / "weights.pth", encoder)


def _shorten(patch, name):
  bottleneck = resnet.VARIANTS[name].bottleneck
  patch.setitem(resnet.VARIANTS, name, resnet.Variant(bottleneck, (1, 1, 1, 1)))


@pytest.fixture(scope="module", params=SHORT)
def made(request, tmp_path_factory):
  """A network of one block in each stage: torchvision's, ours, and the weights of both."""
  name, block = request.param, SHORT[request.param]
  module = peers.torchvision_models().resnet
  peers.torch.manual_seed(0)
  network = peers.draw_torch(module.ResNet(getattr(module, block), [1, 1, 1, 1], num_classes=2))
  encoder = ResNet(name)
  with pytest.MonkeyPatch.context() as patch:
    _shorten(patch, name)
    return network, encoder, _loaded(network, encoder, tmp_path_factory.mktemp("resnet"))


@pytest.fixture
def short(made, monkeypatch):
  """The same, while our network is short."""
  _shorten(monkeypatch, made[1].variant)
  return made


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (65, 47)])
def test_equals_torchvision(short, size):
  network, encoder, variables = short
  images = _images(size)
  with peers.torch.no_grad():
    expected = peers.torch_features(network, "resnet", images)
  actual, _ = _features(encoder, variables, images)
  for one, other in zip(actual, expected, strict=True):
    peers.assert_close(one, other)


@pytest.mark.slow
def test_training_equals_torchvision(short, tmp_path):
  network, encoder, variables = short
  images = _images((33, 40), batch=3)
  features, arrays = peers.torch_gradients(
    network, lambda x: peers.torch_features(network, "resnet", x), images
  )
  actual, gradient, stats = peers.our_gradients(encoder, variables, images)
  for one, other in zip(actual, features, strict=True):
    peers.assert_close(one, other, 1e-4)
  np.savez(tmp_path / "gradient.npz", **arrays)
  wanted = pretrained.load(tmp_path / "gradient.npz", encoder)
  jax.tree.map(lambda a, e: peers.assert_close(a, e, 1e-5), stats, wanted["batch_stats"])
  peers.assert_gradients(gradient, wanted["params"])


def test_frozen_statistics_train_as_in_evaluation(short):
  _, encoder, variables = short
  images = _images((32, 32))
  expected, _ = _features(encoder, variables, images)
  frozen, state = _features(encoder.copy(frozen_statistics=True), variables, images, True)
  jax.tree.map(lambda a, e: peers.assert_close(a, e), frozen, expected)
  jax.tree.map(np.testing.assert_array_equal, state["batch_stats"], variables["batch_stats"])


@pytest.mark.slow
@pytest.mark.parametrize("name", resnet.VARIANTS)
def test_whole_networks_equal_torchvision(name, tmp_path):
  network, encoder = peers.torch_network(name), ResNet(name)
  images = _images((65, 47))
  with peers.torch.no_grad():
    expected = peers.torch_features(network, name, images)
  actual, _ = _features(encoder, _loaded(network, encoder, tmp_path), images)
  for one, other in zip(actual, expected, strict=True):
    peers.assert_close(one, other)
