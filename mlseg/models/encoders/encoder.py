"""Makes encoders by name, and tells which stage of an encoder a parameter belongs to."""

import re
from typing import Any

import jax
import jax.numpy as jnp

from mlseg.errors import require, unknown
from mlseg.models.encoders import convnext, efficientnet_lite, resnet
from mlseg.models.encoders.convention import convention_of
from mlseg.models.encoders.convnext import ConvNeXt
from mlseg.models.encoders.efficientnet_lite import EfficientNetLite
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.resnet import ResNet
from mlseg.models.encoders.vgg16 import VGG16

Encoder = VGG16 | MobileNetV2 | EfficientNetLite | ResNet | ConvNeXt
PyTree = Any

AUTO = "auto"
_CONVENTIONS = {  # of each encoder, that of its usual weights first
  "vgg16": ("keras", "torchvision"),
  "mobilenet_v2": ("torchvision", "keras"),
  **dict.fromkeys(efficientnet_lite.VARIANTS, (EfficientNetLite.convention,)),
  **dict.fromkeys(resnet.VARIANTS, (ResNet.convention,)),
  **dict.fromkeys(convnext.VARIANTS, (ConvNeXt.convention,)),
}
NAMES = tuple(_CONVENTIONS)
HEAD = "head"
_STAGE = re.compile(r"stage_\d+")


def make_encoder(
  name: str,
  convention: str,
  width: float = 1.0,
  frozen_statistics: bool = False,
  dtype: jnp.dtype = jnp.float32,
  momentum: float | None = None,
) -> Encoder:
  """Returns an encoder: a network that maps images to features at several strides, finest first.

  Args:
    name: one of NAMES.
    convention: 'keras', 'torchvision' or 'tensorflow', the library that the weights come from; or
      'auto', the one that the encoder's usual weights come from. VGG16 and MobileNetV2 exist in the
      first two, with VGG16's usual weights from Keras; others have one convention.
    width: multiplier of MobileNetV2's channels.
    frozen_statistics: whether batch normalisation uses its running statistics in training too, and
      leaves them unchanged. VGG16 and ConvNeXt have no batch normalisation.
    dtype: type of the computation.
    momentum: share of the old value in the running statistics; None: that of the convention.

  Raises:
    UserError: a name is unknown, or this network does not exist in this width or convention.

  Example:
    >>> make_encoder("efficientnet_lite0", "auto").convention
    'tensorflow'
  """
  if name not in _CONVENTIONS:
    raise unknown("encoder", name, NAMES)
  own = _CONVENTIONS[name]
  convention = own[0] if convention == AUTO else convention
  convention_of(convention)
  rule = f"encoder {name!r}: convention must be {AUTO!r} or {' or '.join(map(repr, own))}"
  require(convention in own, rule, convention)
  require(width > 0, "encoder: width must be positive", width)
  if name == "mobilenet_v2":
    return MobileNetV2(width, convention, frozen_statistics, dtype, momentum)
  require(width == 1.0, f"encoder {name!r} has one width, 1.0", width)
  if name in efficientnet_lite.VARIANTS:
    return EfficientNetLite(name, frozen_statistics, dtype, momentum)
  if name in resnet.VARIANTS:
    return ResNet(name, frozen_statistics, dtype, momentum)
  if name in convnext.VARIANTS:
    return ConvNeXt(name, dtype)
  return VGG16(convention, dtype)


def stage_of(path: tuple[str, ...]) -> str:
  """Returns the stage that a parameter belongs to, or 'head' for one outside an encoder.

  Args:
    path: the names that lead to the parameter in the tree of parameters.

  Example:
    >>> stage_of(("encoder", "stage_2", "conv_1", "kernel")), stage_of(("dense", "bias"))
    ('stage_2', 'head')
  """
  return next((name for name in path if _STAGE.fullmatch(name)), HEAD)


def stage_labels(params: PyTree) -> PyTree:
  """Returns the stage of each parameter, in the structure of params, for `optax.multi_transform`.

  Example:
    >>> import optax
    >>> params = {"encoder": {"stage_0": jnp.ones(2)}, "decoder": jnp.ones(3)}
    >>> stage_labels(params)
    {'decoder': 'head', 'encoder': {'stage_0': 'stage_0'}}
    >>> rates = {"stage_0": optax.set_to_zero(), "head": optax.sgd(0.1)}  # a frozen stage
    >>> state = optax.multi_transform(rates, stage_labels).init(params)
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, _: stage_of(tuple(str(getattr(key, "key", key)) for key in path)), params
  )
