"""The official ImageNet weights of encoders: their URLs and checksums, or their packages."""

import sys
from collections.abc import Callable
from typing import NamedTuple

from mlseg import files
from mlseg.errors import UserError
from mlseg.models.encoders.convnext import ConvNeXt
from mlseg.models.encoders.efficientnet_lite import EfficientNetLite
from mlseg.models.encoders.encoder import Encoder
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.resnet import ResNet
from mlseg.models.encoders.vgg16 import VGG16
from mlseg.models.pretrained import packaged
from mlseg.models.pretrained.download import Checksum, fetch
from mlseg.models.pretrained.layers import family
from mlseg.models.pretrained.load import Variables, load

_TORCH = "https://download.pytorch.org/models"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_KERAS_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_TORCH_DIGITS = {  # in the names of torchvision's files: the first digits of their SHA-256
  "resnet18": "f37072fd",
  "resnet34": "b627a593",
  "resnet50": "0676ba61",  # of the version IMAGENET1K_V1
  "convnext_tiny": "983f1562",
}


class Release(NamedTuple):
  """One official file."""

  url: str
  checksum: Checksum | None  # None: its owner publishes none


def release_of(encoder: VGG16 | MobileNetV2 | ResNet | ConvNeXt) -> Release:
  """Returns the official ImageNet weights of an encoder's architecture and convention.

  The checksum of Keras's VGG16 is the MD5 in Keras's source. The names of torchvision's files end
  in the first digits of their SHA-256, which are given in full here for VGG16 and MobileNetV2.
  Keras publishes no checksum for MobileNetV2, of which only names, shapes and finite values are
  checked.

  Raises:
    UserError: there are no weights for this width.
  """
  keras = encoder.convention == "keras"
  if isinstance(encoder, ResNet | ConvNeXt):
    digits = _TORCH_DIGITS[encoder.variant]
    return Release(f"{_TORCH}/{encoder.variant}-{digits}.pth", Checksum("sha256", digits))
  if isinstance(encoder, VGG16):
    if keras:
      name = "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
      return Release(f"{_KERAS}/{name}", Checksum("md5", "6d6bbae143d832006294945121d1f1fc"))
    digest = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
    return Release(f"{_TORCH}/vgg16-397923af.pth", Checksum("sha256", digest))
  widths = _KERAS_WIDTHS if keras else (1.0,)
  if encoder.width not in widths:
    choices = ", ".join(f"{width:g}" for width in widths)
    raise UserError(
      f"no ImageNet weights of {family(encoder)} from {encoder.convention}: it has {choices}"
    )
  if keras:
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{encoder.width}_224_no_top.h5"
    return Release(f"{_KERAS}/mobilenet_v2/{name}", None)
  digest = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
  return Release(f"{_TORCH}/mobilenet_v2-b0353104.pth", Checksum("sha256", digest))


def _print(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def imagenet(encoder: Encoder, report: Callable[[str], None] = _print) -> Variables:
  """Returns the official ImageNet weights of an encoder.

  Those of an EfficientNet-Lite are in an installed package; the first call for another encoder
  downloads them.

  Args:
    encoder: its architecture, width and convention determine the file.
    report: called with a line of text about where the weights come from.

  Raises:
    UserError: there are no such weights, their package is not installed, or they cannot be
      downloaded; the message tells where to put the file by hand.
  """
  if isinstance(encoder, EfficientNetLite):
    return load(packaged.fetch(encoder.variant, report), encoder)
  release = release_of(encoder)
  folder = files.cache_folder() / "pretrained"
  return load(fetch(release.url, release.checksum, folder, report), encoder)


def check_imagenet(encoder: Encoder) -> None:
  """Raises a UserError where an encoder has no ImageNet weights, or their package is missing."""
  if isinstance(encoder, EfficientNetLite):
    packaged.find(encoder.variant)
  else:
    release_of(encoder)
