"""EfficientNet-Lite equals the network of its weights' converter, with these weights and others."""

import jax
import numpy as np
import pytest

from mlseg.models import pretrained
from mlseg.models.encoders import efficientnet_lite
from mlseg.models.encoders.efficientnet_lite import EfficientNetLite, block_table
from mlseg.models.pretrained import packaged
from tests.models import peers

peer = pytest.importorskip("efficientnet_lite_pytorch")
BLOCKS = ("r1_k3_s11_e1_i32_o16", "r2_k5_s22_e6_i16_o16", "r1_k3_s22_e6_i16_o24",
          "r1_k5_s22_e6_i24_o24", "r1_k5_s22_e6_i24_o32")  # fmt: skip
GROUPS = ((16, 1, 1, 3), (16, 2, 2, 5), (24, 1, 2, 3), (24, 1, 2, 5), (32, 1, 2, 5))
NAME = "efficientnet_lite0"


def _images(size, batch=2):
  return np.random.default_rng(2).random((batch, *size, 3), np.float32)


def _network(name, **options):
  """Returns the peer, which pads as the size of its images asks."""
  return peer.EfficientNet.from_name(name.replace("_", "-"), image_size=None, **options)


def _peer_features(network, images):
  """Returns the features [B, H, W, C] of images [B, H, W, 3] in [0, 1]."""
  inputs = (255 * peers.torch.from_numpy(images).double() - 127) / 128
  dtype = next(network.parameters()).dtype
  activations = inputs.to(dtype).permute(0, 3, 1, 2)
  activations = network._swish(network._bn0(network._conv_stem(activations)))
  features = []
  for block in network._blocks:
    if tuple(block._depthwise_conv.stride) == (2, 2):
      features.append(activations)
    activations = block(activations)
  features.append(network._swish(network._bn1(network._conv_head(activations))))
  return [f.permute(0, 2, 3, 1) for f in features]


def _features(encoder, variables, images, train=False):
  apply = jax.jit(lambda v, x: encoder.apply(v, x, train, mutable=["batch_stats"]))
  return apply(variables, images)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """A network of six blocks: the peer's, ours, and the weights of both."""
  _, options = peer.utils.get_model_params("efficientnet-lite0", {"image_size": None})
  peers.torch.manual_seed(0)
  network = peer.EfficientNet(peer.utils.BlockDecoder.decode(list(BLOCKS)), options)
  network, encoder = peers.draw_torch(network), EfficientNetLite()
  path = tmp_path_factory.mktemp("lite") / "weights.pth"
  peers.torch.save(network.state_dict(), path)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(efficientnet_lite, "_GROUPS", GROUPS)
    return network, encoder, pretrained.load(path, encoder)


@pytest.fixture
def short(made, monkeypatch):
  """The same, while our network is short."""
  monkeypatch.setattr(efficientnet_lite, "_GROUPS", GROUPS)
  return made


@pytest.mark.parametrize("size", [(64, 64), (65, 47)])
def test_equals_its_peer(short, size):
  network, encoder, variables = short
  images = _images(size)
  with peers.torch.no_grad():
    expected = _peer_features(network, images)
  actual, _ = _features(encoder, variables, images)
  for one, other in zip(actual, expected, strict=True):
    peers.assert_close(one, other)


@pytest.mark.slow
def test_training_equals_its_peer(short, tmp_path):
  network, encoder, variables = short
  images = _images((32, 38), batch=3)
  features, arrays = peers.torch_gradients(network, lambda x: _peer_features(network, x), images)
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
  features, state = _features(encoder.copy(frozen_statistics=True), variables, images, True)
  jax.tree.map(lambda a, e: peers.assert_close(a, e), features, expected)
  jax.tree.map(np.testing.assert_array_equal, state["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("name", efficientnet_lite.VARIANTS)
def test_blocks_are_those_of_the_peer(name):
  with peers.torch.device("meta"):
    network = _network(name)
  for block, other in zip(block_table(name), network._blocks, strict=True):
    assert block.filters == other._bn2.num_features
    assert block.size == other._depthwise_conv.kernel_size[0]
    assert block.stride == other._depthwise_conv.stride[0]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "size"),
  [(NAME, (65, 47)), ("efficientnet_lite1", (50, 66)), ("efficientnet_lite2", (64, 64))],
)
def test_real_weights_give_what_the_peer_gives(name, size):
  encoder = EfficientNetLite(name)
  variables = pretrained.imagenet(encoder, lambda _: None)
  network = _network(name)
  network.load_state_dict(peers.torch.load(packaged.find(name), weights_only=True))
  images = _images(size)
  with peers.torch.no_grad():
    expected = _peer_features(network.eval(), images)
  actual, _ = _features(encoder, variables, images)
  for one, other in zip(actual, expected, strict=True):
    peers.assert_close(one, other, 2e-5)


@pytest.mark.slow
def test_the_inputs_are_those_of_the_weights():
  """Photographs have the statistics of the stem that training left, by these inputs alone."""
  from skimage import data

  variables = pretrained.imagenet(EfficientNetLite(), lambda _: None)
  photographs = [data.astronaut(), data.coffee()[:, 44:444], data.chelsea()[:, 75:375]]
  images = [np.float32(photograph[None, ::2, ::2] / 255) for photograph in photographs]
  trained = np.sqrt(variables["batch_stats"]["stage_0"]["stem_norm"]["var"])
  used = trained > 1e-3  # some channels are dead
  ratios = []
  for scale in (255 / 128, 1 / 0.226):  # of these inputs; and of torchvision's, on average
    centred = [peers.torch.from_numpy(scale * x).permute(0, 3, 1, 2) for x in images]
    kernel = variables["params"]["stage_0"]["stem"]["kernel"].transpose(3, 2, 0, 1)
    weight = peers.torch.from_numpy(np.ascontiguousarray(kernel))
    maps = [peers.torch.nn.functional.conv2d(x, weight, stride=2) for x in centred]
    std = np.mean([m.std((0, 2, 3)).numpy() for m in maps], axis=0)
    ratios.append(np.median(std[used] / trained[used]))
  assert 0.7 < ratios[0] < 1.3
  assert ratios[1] > 1.6
