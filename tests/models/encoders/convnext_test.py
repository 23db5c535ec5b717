"""ConvNeXt equals torchvision's with the same weights, also in its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models import pretrained
from mlseg.models.encoders import convnext
from mlseg.models.encoders.convnext import ConvNeXt
from tests.models import peers

NAME = "convnext_tiny"
SHORT = ((8, 1), (12, 1), (16, 1), (24, 1))


def _images(size, batch=2):
  return np.random.default_rng(2).random((batch, *size, 3), np.float32)


def _features(encoder, variables, images):
  return jax.jit(lambda v, x: encoder.apply(v, x, False))(variables, images)


def _loaded(network, encoder, folder):
  peers.torch.save(network.state_dict(), folder / "weights.pth")
  return pretrained.load(folder / "weights.pth", encoder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """A network of few blocks and channels: torchvision's, ours, and the weights of both."""
  module = peers.torchvision_models().convnext
  outs = [*(filters for filters, _ in SHORT[1:]), None]
  setting = [
    module.CNBlockConfig(filters, out, count)
    for (filters, count), out in zip(SHORT, outs, strict=True)
  ]
  peers.torch.manual_seed(0)
  network = module.ConvNeXt(setting, stochastic_depth_prob=0.0, num_classes=2)
  network, encoder = peers.draw_torch(network), ConvNeXt()
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(convnext.VARIANTS, NAME, SHORT)
    return network, encoder, _loaded(network, encoder, tmp_path_factory.mktemp("convnext"))


@pytest.fixture
def short(made, monkeypatch):
  """The same, while our network is short."""
  monkeypatch.setitem(convnext.VARIANTS, NAME, SHORT)
  return made


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (75, 50)])
def test_equals_torchvision(short, size):
  network, encoder, variables = short
  images = _images(size)
  with peers.torch.no_grad():
    expected = peers.torch_features(network, NAME, images)
  for one, other in zip(_features(encoder, variables, images), expected, strict=True):
    peers.assert_close(one, other)


@pytest.mark.slow
def test_gradients_equal_torchvision(short, tmp_path):
  network, encoder, variables = short
  images = _images((32, 40))
  features, arrays = peers.torch_gradients(
    network, lambda x: peers.torch_features(network, NAME, x), images
  )
  actual, gradient, stats = peers.our_gradients(encoder, variables, images)
  assert not stats
  for one, other in zip(actual, features, strict=True):
    peers.assert_close(one, other)
  np.savez(tmp_path / "gradient.npz", **arrays)
  wanted = pretrained.load(tmp_path / "gradient.npz", encoder)
  jax.tree.map(lambda a, e: peers.assert_close(a, e, 1e-4), gradient, wanted["params"])


@pytest.mark.slow
def test_bfloat16_stays_near(short):
  _, encoder, variables = short
  images = _images((32, 32))
  exact = _features(encoder, variables, images)
  for one, other in zip(
    _features(encoder.copy(dtype=jnp.bfloat16), variables, images), exact, strict=True
  ):
    assert one.dtype == jnp.bfloat16
    assert np.linalg.norm(np.float32(one) - other) <= 0.05 * np.linalg.norm(other)


@pytest.mark.slow
def test_the_whole_network_equals_torchvision(tmp_path):
  network, encoder = peers.torch_network(NAME), ConvNeXt()
  images = _images((70, 64))
  with peers.torch.no_grad():
    expected = peers.torch_features(network, NAME, images)
  actual = _features(encoder, _loaded(network, encoder, tmp_path), images)
  for one, other in zip(actual, expected, strict=True):
    peers.assert_close(one, other)
