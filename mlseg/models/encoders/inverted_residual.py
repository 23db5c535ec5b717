"""Inverted residuals: the blocks of which MobileNetV2 and EfficientNet-Lite are made.

Reference: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from typing import NamedTuple

import flax.linen as nn
import jax

from mlseg.models.encoders.convention import convention_of
from mlseg.models.encoders.layers import Layers
from mlseg.models.layers.depthwise import DepthwiseConv
from mlseg.models.layers.normalisation import LINEAR
from mlseg.models.layers.strided import StridedConv, stride_padding

_EXPANSION = 6


class Block(NamedTuple):
  """One inverted residual."""

  number: int  # from 0; the first of a network has no expansion
  stage: int  # 0 to 4; the features of a stage have the stride 2^(stage + 1)
  filters: int  # number of output channels
  stride: int
  size: int = 3  # side of the depthwise kernel


def num_filters(filters: int, width: float, convention: str) -> int:
  """Returns the channels of a layer at a width: a multiple of 8, at least 0.9 filters × width.

  Args:
    filters: channels of the layer at width 1.
    width: multiplier.
    convention: 'keras', or another name: Keras rounds differently.

  Example:
    >>> num_filters(24, 0.75, "keras"), num_filters(16, 0.35, "keras")
    (24, 8)
  """
  wanted = filters * width
  if convention == "keras":  # drops the fraction before it rounds
    wanted = int(wanted)
  rounded = max(8, int(wanted + 4) // 8 * 8)
  return rounded if rounded >= 0.9 * wanted else rounded + 8


class Stage(nn.Module):
  """The blocks of one stage, after the stem in the first and before a 1×1 layer in the last."""

  blocks: tuple[Block, ...]
  layers: Layers
  stem: int  # filters of the stem; 0: this stage has none
  last: int  # filters of the last 1×1 convolution; 0: this stage has none

  @nn.compact
  def __call__(self, activations: jax.Array, train: bool) -> jax.Array:
    layers = self.layers
    if self.stem:
      symmetric = convention_of(layers.convention).symmetric_padding
      conv = StridedConv(self.stem, symmetric, layers.dtype, name="stem")
      activations = layers.norm("stem_norm")(conv(activations), train)
    for block in self.blocks:
      activations = _Block(block, layers, name=f"block_{block.number}")(activations, train)
    if self.last:
      activations = layers.pointwise(self.last, "last")(activations)
      activations = layers.norm("last_norm")(activations, train)
    return activations


class _Block(nn.Module):
  """Expansion, depthwise convolution and linear projection; a shortcut is added if shapes agree."""

  block: Block
  layers: Layers

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    layers, channels = self.layers, images.shape[-1]
    number, _, filters, stride, size = self.block
    activations = images
    if number > 0:
      activations = layers.pointwise(_EXPANSION * channels, "expand")(activations)
      activations = layers.norm("expand_norm")(activations, train)
    padding = ((size // 2, size // 2),) * 2
    if stride == 2:
      symmetric = convention_of(layers.convention).symmetric_padding
      padding = stride_padding(activations.shape, symmetric, size)
    depthwise = DepthwiseConv(stride, padding, layers.dtype, size, name="depthwise")
    activations = layers.norm("depthwise_norm")(depthwise(activations), train)
    activations = layers.pointwise(filters, "project")(activations)
    activations = layers.norm("project_norm", LINEAR)(activations, train)
    return images + activations if stride == 1 and filters == channels else activations
