"""MobileNetV2 of any width; it takes the weights of Keras and torchvision.

Reference: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from collections.abc import Iterator
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.encoders.convention import SYMMETRIC, TORCHVISION, convention_of, prepare
from mlseg.models.layers import blocks
from mlseg.models.layers.depthwise import DepthwiseConv
from mlseg.models.layers.normalisation import LINEAR, RELU6, Bounds, ClippedBatchNorm
from mlseg.models.layers.strided import StridedConv, stride_padding

_STEM, _LAST, _EXPANSION = 32, 1280, 6
_GROUPS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


class Block(NamedTuple):
  """One inverted residual."""

  number: int  # 0 to 16
  stage: int  # 0 to 4; the features of a stage have the stride 2^(stage + 1)
  filters: int  # number of output channels
  stride: int


def num_filters(filters: int, width: float, convention: str) -> int:
  """Returns the channels of a layer at a width: a multiple of 8, at least 0.9 filters × width.

  Args:
    filters: channels of the layer at width 1.
    width: multiplier.
    convention: 'keras' or 'torchvision', which round differently.

  Example:
    >>> num_filters(24, 0.75, "keras"), num_filters(16, 0.35, "keras")
    (24, 8)
  """
  wanted = filters * width
  if convention == "keras":  # drops the fraction before it rounds
    wanted = int(wanted)
  rounded = max(8, int(wanted + 4) // 8 * 8)
  return rounded if rounded >= 0.9 * wanted else rounded + 8


def block_table(width: float, convention: str) -> Iterator[Block]:
  """Yields the 17 blocks from the first to the last."""
  number, stage = 0, 0
  for filters, count, first_stride in _GROUPS:
    for index in range(count):
      stride = first_stride if index == 0 else 1
      stage += stride - 1
      yield Block(number, stage, num_filters(filters, width, convention), stride)
      number += 1


class MobileNetV2(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to features, finest first.

  The features are the outputs of the last blocks before each halving, at strides 2, 4, 8 and 16
  (with 16, 24, 32 and 96 channels at width 1), and the output of the last convolution at stride 32,
  with 1280 channels. Sizes round up. The parameters are in 'stage_0' to 'stage_4', one stage for
  each of the features; the stem belongs to the first stage, the last convolution to the last.

  Attributes:
    width: multiplier of all channels; widths below 1 leave the last convolution at 1280.
    convention: 'keras' or 'torchvision', the library that the weights come from; it decides
      padding, inputs and batch normalisation.
    frozen_statistics: whether batch normalisation uses its running statistics in training too, and
      leaves them unchanged.
    dtype: type of the computation; parameters and statistics are float32.
    momentum: share of the old value in the running statistics; None: that of the convention, which
      for Keras is 0.999, suited to many thousands of steps.

  Example:
    >>> shape = jax.ShapeDtypeStruct((2, 64, 50, 1), jnp.float32)
    >>> encoder = MobileNetV2(width=0.5)
    >>> features, _ = jax.eval_shape(
    ...   lambda x: encoder.init_with_output(jax.random.key(0), x, False), shape
    ... )
    >>> [f.shape[1:] for f in features]
    [(32, 25, 8), (16, 13, 16), (8, 7, 16), (4, 4, 48), (2, 2, 1280)]
  """

  width: float = 1.0
  convention: str = "torchvision"
  frozen_statistics: bool = False
  dtype: jnp.dtype = jnp.float32
  momentum: float | None = None

  @property
  def strides(self) -> tuple[int, ...]:
    """Returns, for each of the features, how many pixels of the image one of theirs spans."""
    return 2, 4, 8, 16, 32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
    convention_of(self.convention)
    inputs = SYMMETRIC if self.convention == "keras" else TORCHVISION
    activations = prepare(images, inputs).astype(self.dtype)
    table = list(block_table(self.width, self.convention))
    layers = _Layers(self.convention, self.frozen_statistics, self.dtype, self.momentum)
    features = []
    for index in range(len(self.strides)):
      inside = tuple(block for block in table if block.stage == index)
      stem = num_filters(_STEM, self.width, self.convention) if index == 0 else 0
      last = num_filters(_LAST, max(1.0, self.width), self.convention) if index == 4 else 0
      stage = _Stage(inside, layers, stem, last, name=f"stage_{index}")
      activations = stage(activations, train)
      features.append(activations)
    return tuple(features)


class _Layers(NamedTuple):
  """Makes the layers of a network with its convention, type and momentum."""

  convention: str
  frozen: bool
  dtype: jnp.dtype
  momentum: float | None

  def norm(self, name: str, bounds: Bounds = RELU6) -> ClippedBatchNorm:
    """Returns batch normalisation, followed by a clip to the bounds."""
    _, epsilon, momentum, unbiased = convention_of(self.convention)
    momentum = momentum if self.momentum is None else self.momentum
    return ClippedBatchNorm(bounds, momentum, epsilon, unbiased, self.frozen, name=name)

  def pointwise(self, filters: int, name: str) -> blocks.Conv:
    """Returns a 1×1 convolution without bias."""
    return blocks.Conv(filters, size=1, dtype=self.dtype, name=name)


class _Stage(nn.Module):
  """The blocks of one stage, after the stem in the first and before a 1×1 layer in the last."""

  blocks: tuple[Block, ...]
  layers: _Layers
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
  layers: _Layers

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    layers, channels = self.layers, images.shape[-1]
    activations = images
    if self.block.number > 0:
      activations = layers.pointwise(_EXPANSION * channels, "expand")(activations)
      activations = layers.norm("expand_norm")(activations, train)
    padding = ((1, 1), (1, 1))
    if self.block.stride == 2:
      symmetric = convention_of(layers.convention).symmetric_padding
      padding = stride_padding(activations.shape, symmetric)
    depthwise = DepthwiseConv(self.block.stride, padding, layers.dtype, name="depthwise")
    activations = layers.norm("depthwise_norm")(depthwise(activations), train)
    activations = layers.pointwise(self.block.filters, "project")(activations)
    activations = layers.norm("project_norm", LINEAR)(activations, train)
    return images + activations if self._has_shortcut(channels) else activations

  def _has_shortcut(self, channels: int) -> bool:
    return self.block.stride == 1 and self.block.filters == channels
