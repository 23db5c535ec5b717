"""The layers of each encoder, and their names in Keras, torchvision and timm."""

import collections
from typing import NamedTuple

from mlseg.models.encoders import convnext, efficientnet_lite, mobilenet_v2, resnet, vgg16
from mlseg.models.encoders.convnext import ConvNeXt
from mlseg.models.encoders.efficientnet_lite import EfficientNetLite
from mlseg.models.encoders.encoder import Encoder
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.resnet import ResNet
from mlseg.models.encoders.vgg16 import VGG16

CONV, DEPTHWISE, NORM = "conv2d", "depthwise_conv2d", "batch_normalization"  # Keras's class names
LAYER_NORM, SCALE = "layer_normalization", "scale"  # SCALE: a factor for each channel


class Layer(NamedTuple):
  """One layer with parameters."""

  path: tuple[str, ...]  # the names that lead to it in the encoder's variables
  kind: str  # CONV, DEPTHWISE, NORM, LAYER_NORM or SCALE
  torch: str  # its name in torchvision, such as 'features.0.0', or in the file of its package
  keras: tuple[str, ...] = ()  # its names in the versions of Keras, the newest first
  timm: str = ""  # its name in timm, where that is another one


def layers_of(encoder: Encoder) -> list[Layer]:
  """Returns the layers of an encoder in the order of the network, which Keras's files also have."""
  if isinstance(encoder, VGG16):
    return _vgg16()
  if isinstance(encoder, MobileNetV2):
    return _mobilenet_v2(encoder)
  if isinstance(encoder, EfficientNetLite):
    return _efficientnet_lite(encoder)
  return _resnet(encoder) if isinstance(encoder, ResNet) else _convnext(encoder)


def family(encoder: Encoder) -> str:
  """Returns the name of an encoder for messages, with its width if it has one."""
  if isinstance(encoder, MobileNetV2):
    return f"mobilenet_v2 of width {encoder.width:g}"
  return "vgg16" if isinstance(encoder, VGG16) else encoder.variant


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
  for stage, (_, count) in enumerate(vgg16.FILTERS):
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
  for block in mobilenet_v2.block_table(encoder.width, encoder.convention):
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


def _efficientnet_lite(encoder: EfficientNetLite) -> list[Layer]:
  """Returns the layers with the names of the files of the packages that `packaged` finds."""
  layers = [
    Layer(("stage_0", "stem"), CONV, "_conv_stem"),
    Layer(("stage_0", "stem_norm"), NORM, "_bn0"),
  ]
  for block in efficientnet_lite.block_table(encoder.variant):
    parts = (("expand", CONV), ("depthwise", DEPTHWISE), ("project", CONV))
    for index, (part, kind) in enumerate(parts):
      if part == "expand" and block.number == 0:
        continue
      path, name = (f"stage_{block.stage}", f"block_{block.number}"), f"_blocks.{block.number}"
      layers.append(Layer((*path, part), kind, f"{name}._{part}_conv"))
      layers.append(Layer((*path, f"{part}_norm"), NORM, f"{name}._bn{index}"))
  return [
    *layers,
    Layer(("stage_4", "last"), CONV, "_conv_head"),
    Layer(("stage_4", "last_norm"), NORM, "_bn1"),
  ]


def _resnet(encoder: ResNet) -> list[Layer]:
  """Returns the layers; timm's names are torchvision's."""
  layers = [
    Layer(("stage_0", "stem"), CONV, "conv1"),
    Layer(("stage_0", "stem_norm"), NORM, "bn1"),
  ]
  for block in resnet.block_table(encoder.variant):
    path = f"stage_{block.stage}", f"block_{block.number}"
    name = f"layer{block.stage}.{block.number}"
    for number in range(1, 1 + len(block.layers)):
      layers.append(Layer((*path, f"conv_{number}"), CONV, f"{name}.conv{number}"))
      layers.append(Layer((*path, f"norm_{number}"), NORM, f"{name}.bn{number}"))
    if block.projects:
      layers.append(Layer((*path, "shortcut"), CONV, f"{name}.downsample.0"))
      layers.append(Layer((*path, "shortcut_norm"), NORM, f"{name}.downsample.1"))
  return layers


def _convnext(encoder: ConvNeXt) -> list[Layer]:
  """Returns the layers; torchvision numbers stem, stages and halvings in one list."""

  def layer(stage: int, parts: str, kind: str, torch: str, timm: str) -> Layer:
    return Layer((f"stage_{stage}", *parts.split("/")), kind, f"features.{torch}", timm=timm)

  layers = [
    layer(0, "stem", CONV, "0.0", "stem.0"),
    layer(0, "stem_norm", LAYER_NORM, "0.1", "stem.1"),
  ]
  for stage, (_, count) in enumerate(convnext.VARIANTS[encoder.variant], 1):
    own, before, timm = 2 * stage - 1, 2 * stage - 2, f"stages.{stage - 1}"
    if stage > 1:
      layers.append(layer(stage, "halve_norm", LAYER_NORM, f"{before}.0", f"{timm}.downsample.0"))
      layers.append(layer(stage, "halve", CONV, f"{before}.1", f"{timm}.downsample.1"))
    for index in range(count):
      path, torch, name = f"block_{index}", f"{own}.{index}", f"{timm}.blocks.{index}"
      layers += [
        layer(stage, path, SCALE, f"{torch}.layer_scale", f"{name}.gamma"),
        layer(stage, f"{path}/depthwise", DEPTHWISE, f"{torch}.block.0", f"{name}.conv_dw"),
        layer(stage, f"{path}/norm", LAYER_NORM, f"{torch}.block.2", f"{name}.norm"),
        layer(stage, f"{path}/expand", CONV, f"{torch}.block.3", f"{name}.mlp.fc1"),
        layer(stage, f"{path}/project", CONV, f"{torch}.block.5", f"{name}.mlp.fc2"),
      ]
  return layers
