"""The encoders that can start from ImageNet weights: VGG16 and MobileNetV2."""

from mlseg.models.encoders.encoder import Encoder, make_encoder, stage_labels, stage_of
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.vgg16 import VGG16

__all__ = ["VGG16", "Encoder", "MobileNetV2", "make_encoder", "stage_labels", "stage_of"]
