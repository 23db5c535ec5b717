"""Makes encoders by name, and tells which stage of an encoder a parameter belongs to."""

import re
from typing import Any

import jax
import jax.numpy as jnp

from mlseg.errors import require, unknown
from mlseg.models.encoders.convention import convention_of
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.vgg16 import VGG16

Encoder = VGG16 | MobileNetV2
PyTree = Any

NAMES = ("vgg16", "mobilenet_v2")
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
    name: 'vgg16' or 'mobilenet_v2'.
    convention: 'keras' or 'torchvision', the library that the weights come from.
    width: multiplier of MobileNetV2's channels.
    frozen_statistics: whether batch normalisation uses its running statistics in training too, and
      leaves them unchanged. VGG16 has no batch normalisation.
    dtype: type of the computation.
    momentum: share of the old value in the running statistics; None: that of the convention.

  Raises:
    UserError: a name is unknown, or this network does not exist in this width.
  """
  convention_of(convention)
  require(width > 0, "encoder: width must be positive", width)
  if name == "mobilenet_v2":
    return MobileNetV2(width, convention, frozen_statistics, dtype, momentum)
  if name != "vgg16":
    raise unknown("encoder", name, NAMES)
  require(width == 1.0, "encoder 'vgg16' has one width, 1.0", width)
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
