"""The layers of each encoder, and their names in Keras and torchvision."""

import collections
from typing import NamedTuple

from mlseg.models.encoders.encoder import Encoder
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2, block_table
from mlseg.models.encoders.vgg16 import FILTERS

CONV, DEPTHWISE, NORM = "conv2d", "depthwise_conv2d", "batch_normalization"  # Keras's class names


class Layer(NamedTuple):
  """One layer with parameters."""

  path: tuple[str, ...]  # the names that lead to it in the encoder's variables
  kind: str  # CONV, DEPTHWISE or NORM
  torch: str  # its name in torchvision, such as 'features.0.0'
  keras: tuple[str, ...]  # its names in the versions of Keras, the newest first


def layers_of(encoder: Encoder) -> list[Layer]:
  """Returns the layers of an encoder in the order of the network, which Keras's files also have."""
  return _mobilenet_v2(encoder) if isinstance(encoder, MobileNetV2) else _vgg16()


def family(encoder: Encoder) -> str:
  """Returns the name of an encoder for messages, with its width if it has one."""
  if isinstance(encoder, MobileNetV2):
    return f"mobilenet_v2 of width {encoder.width:g}"
  return "vgg16"


def by_class_and_order(layers: list[Layer]) -> dict[str, Layer]:
  """Returns the layers by their names in Keras 3's files: 'conv2d', 'conv2d_1' and so on."""
  counts: collections.Counter[str] = collections.Counter()
  names = {}
  for layer in layers:
    count = counts[layer.kind]
    names[f"{layer.kind}_{count}" if count else layer.kind] = layer
    counts[layer.kind] += 1
  return names


def _vgg16() -> list[Layer]:
  layers, index = [], 0
  for stage, (_, count) in enumerate(FILTERS):
    for conv in range(1, count + 1):
      keras = (f"block{stage + 1}_conv{conv}",)
      layers.append(Layer((f"stage_{stage}", f"conv_{conv}"), CONV, f"features.{index}", keras))
      index += 2  # torchvision numbers the ReLU that follows
    index += 1  # and the pooling
  return layers


def _mobilenet_v2(encoder: MobileNetV2) -> list[Layer]:
  layers = [
    Layer(("stage_0", "stem"), CONV, "features.0.0", ("Conv1",)),
    Layer(("stage_0", "stem_norm"), NORM, "features.0.1", ("bn_Conv1",)),
  ]
  for block in block_table(encoder.width, encoder.convention):
    layers += _block(block.number, (f"stage_{block.stage}", f"block_{block.number}"))
  return [
    *layers,
    Layer(("stage_4", "last"), CONV, "features.18.0", ("Conv_1",)),
    Layer(("stage_4", "last_norm"), NORM, "features.18.1", ("Conv_1_bn",)),
  ]


def _block(number: int, path: tuple[str, str]) -> list[Layer]:
  """Returns the layers of one inverted residual; the first of the network has no expansion."""
  new = f"block_{number}" if number else "expanded_conv"
  parts = (("expand", CONV), ("depthwise", DEPTHWISE), ("project", CONV))[0 if number else 1 :]
  layers = []
  for index, (part, kind) in enumerate(parts):
    torch = f"features.{number + 1}.conv.{index}"
    if index == len(parts) - 1:
      conv, norm = torch, f"features.{number + 1}.conv.{index + 1}"
    else:
      conv, norm = f"{torch}.0", f"{torch}.1"
    old = f"mobl{number}_conv_{number}_{part}", f"bn{number}_conv_{number}_bn_{part}"
    layers.append(Layer((*path, part), kind, conv, (f"{new}_{part}", old[0])))
    layers.append(Layer((*path, f"{part}_norm"), NORM, norm, (f"{new}_{part}_BN", old[1])))
  return layers
