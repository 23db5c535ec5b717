"""The encoders that can start from ImageNet weights."""

from mlseg.models.encoders.convnext import ConvNeXt
from mlseg.models.encoders.efficientnet_lite import EfficientNetLite
from mlseg.models.encoders.encoder import Encoder, make_encoder, stage_labels, stage_of
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.resnet import ResNet
from mlseg.models.encoders.vgg16 import VGG16

__all__ = [
  "VGG16",
  "ConvNeXt",
  "EfficientNetLite",
  "Encoder",
  "MobileNetV2",
  "ResNet",
  "make_encoder",
  "stage_labels",
  "stage_of",
]
