"""MobileNetV2 of any width, equal to those of Keras and torchvision.

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
  stage: int  # 0 to 4, the stride of whose features is 2^(stage + 1)
  filters: int  # of its result
  stride: int


def num_filters(filters: int, width: float, convention: str) -> int:
  """Returns the channels of a layer of so many at width 1: a multiple of 8, never below 0.9 times.

  Example:
    >>> num_filters(24, 0.75, "keras"), num_filters(16, 0.35, "keras")
    (24, 8)
  """
  wanted = filters * width
  if convention == "keras":  # which drops the fraction before it rounds
    wanted = int(wanted)
  rounded = max(8, int(wanted + 4) // 8 * 8)
  return rounded if rounded >= 0.9 * wanted else rounded + 8


def block_table(width: float, convention: str) -> Iterator[Block]:
  """Yields the 17 blocks from the first to the last."""
  number, stage = 0, 0
  for filters, count, first_stride in _GROUPS:
    for place in range(count):
      stride = first_stride if place == 0 else 1
      stage += stride - 1
      yield Block(number, stage, num_filters(filters, width, convention), stride)
      number += 1


class MobileNetV2(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to features, finest first.

  The features are what the blocks before each halving give, at strides 2, 4, 8 and 16 (16, 24, 32
  and 96 channels at width 1), and the result of the last convolution at stride 32, with 1280. Sizes
  round up. The parameters are in 'stage_0' to 'stage_4', one per entry of the features; the stem
  belongs to the first, the last convolution to the last.

  Attributes:
    width: multiplier of all channels; the last convolution's only grow.
    convention: 'keras' or 'torchvision', for padding, inputs, and batch normalisation: which one
      depends on the weights.
    frozen_statistics: whether batch normalisation trains with its running statistics, unchanged.
    dtype: of the computation; parameters and statistics are float32.
    momentum: share of the old value in the running statistics; None: that of the convention, which
      for Keras is 0.999, made for many thousands of steps.

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
    """Returns pixels of the image per pixel of each of the features."""
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
      members = tuple(block for block in table if block.stage == index)
      stem = num_filters(_STEM, self.width, self.convention) if index == 0 else 0
      last = num_filters(_LAST, max(1.0, self.width), self.convention) if index == 4 else 0
      stage = _Stage(members, layers, stem, last, name=f"stage_{index}")
      activations = stage(activations, train)
      features.append(activations)
    return tuple(features)


class _Layers(NamedTuple):
  """How the layers of one network are made."""

  convention: str
  frozen: bool
  dtype: jnp.dtype
  momentum: float | None

  def norm(self, name: str, bounds: Bounds = RELU6) -> ClippedBatchNorm:
    """Returns batch normalisation with what follows it."""
    _, epsilon, momentum, unbiased = convention_of(self.convention)
    momentum = momentum if self.momentum is None else self.momentum
    return ClippedBatchNorm(bounds, momentum, epsilon, unbiased, self.frozen, name=name)

  def pointwise(self, filters: int, name: str) -> blocks.Conv:
    """Returns a 1×1 convolution without bias."""
    return blocks.Conv(filters, size=1, dtype=self.dtype, name=name)


class _Stage(nn.Module):
  """Blocks between two halvings, after the stem where it has filters, before the last layer."""

  blocks: tuple[Block, ...]
  layers: _Layers
  stem: int
  last: int

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
  """Expansion, depthwise convolution and linear projection, with a shortcut where shapes agree."""

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
