"""The names of each encoder's layers are those of the peers, and so are the shapes."""

import numpy as np
import pytest

from mlseg.models.encoders import make_encoder
from mlseg.models.pretrained.layers import layers_of
from mlseg.models.pretrained.load import expected_shapes
from mlseg.models.pretrained.names import fitted, is_ignored, simplified, targets

torch = pytest.importorskip("torch")


def _torchvision(name):
  from tests.models import peers

  return getattr(peers.torchvision_models(), name)(weights=None)


def _timm(name):
  return pytest.importorskip("timm").create_model(name)


def _lite(name):
  package = pytest.importorskip("efficientnet_lite_pytorch")
  return package.EfficientNet.from_name(name.replace("_", "-"))


PEERS = [
  *((_torchvision, name) for name in ("resnet18", "resnet34", "resnet50", "convnext_tiny")),
  *((_timm, name) for name in ("resnet18", "resnet50", "convnext_tiny")),
  *((_lite, f"efficientnet_lite{number}") for number in range(3)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "name"), PEERS)
def test_names_and_shapes_are_those_of_the_peers(peer, name):
  with torch.device("meta"):
    arrays = {
      f"model.{key}": np.broadcast_to(np.float32(0), tuple(value.shape))
      for key, value in peer(name).state_dict().items()
    }
  encoder = make_encoder(name, "auto")
  table = targets(layers_of(encoder))
  found = {}
  for key, array in arrays.items():
    target = table.get(simplified(key))
    if target is None:
      assert is_ignored(key), key
    else:
      found[target.path] = fitted(array, target).shape
  assert found == expected_shapes(encoder)
