"""ResNet of 18, 34 and 50 layers; it takes the weights of torchvision and timm.

Reference: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. As in
torchvision, the stride of a bottleneck is that of its 3×3 convolution.
"""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.encoders.convention import TORCHVISION, prepare
from mlseg.models.encoders.layers import Layers
from mlseg.models.layers import blocks, pooling
from mlseg.models.layers.normalisation import LINEAR, RELU
from mlseg.models.layers.strided import StridedConv

_STEM = 64
_WIDENING = 4  # of the last layer of a bottleneck


class Variant(NamedTuple):
  """One depth."""

  bottleneck: bool  # whether a block is 1×1, 3×3 and 1×1 instead of two 3×3
  counts: tuple[int, int, int, int]  # blocks of stages 1 to 4


VARIANTS = {
  "resnet18": Variant(False, (2, 2, 2, 2)),
  "resnet34": Variant(False, (3, 4, 6, 3)),
  "resnet50": Variant(True, (3, 4, 6, 3)),
}


class Block(NamedTuple):
  """One residual block."""

  stage: int  # 1 to 4; the features of a stage have the stride 2^(stage + 1)
  number: int  # within the stage, from 0
  layers: tuple[tuple[int, int, int], ...]  # filters, side of the kernel and stride of each
  projects: bool  # whether the shortcut has a 1×1 convolution, since shapes differ


def block_table(variant: str) -> Iterator[Block]:
  """Yields the blocks of a variant from the first to the last.

  Example:
    >>> list(block_table("resnet50"))[3]
    Block(stage=2, number=0, layers=((128, 1, 1), (128, 3, 2), (512, 1, 1)), projects=True)
  """
  bottleneck, counts = VARIANTS[variant]
  channels = _STEM
  for stage, count in enumerate(counts, 1):
    filters = _STEM << (stage - 1)
    for number in range(count):
      stride = 2 if number == 0 and stage > 1 else 1
      layers: tuple[tuple[int, int, int], ...] = ((filters, 3, stride), (filters, 3, 1))
      if bottleneck:
        layers = ((filters, 1, 1), (filters, 3, stride), (_WIDENING * filters, 1, 1))
      yield Block(stage, number, layers, stride > 1 or channels != layers[-1][0])
      channels = layers[-1][0]


class ResNet(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to features, finest first.

  The features are the output of the stem at stride 2, before its pooling, and those of the four
  groups of blocks at strides 4, 8, 16 and 32. Sizes round up. The parameters are in 'stage_0' (the
  stem) to 'stage_4', one stage for each of the features. The convention is that of torchvision.

  Attributes:
    variant: a key of VARIANTS.
    frozen_statistics: whether batch normalisation uses its running statistics in training too, and
      leaves them unchanged.
    dtype: type of the computation; parameters and statistics are float32.
    momentum: share of the old value in the running statistics; None: that of the convention, 0.9.

  Example:
    >>> shape = jax.ShapeDtypeStruct((2, 64, 50, 1), jnp.float32)
    >>> encoder = ResNet("resnet34")
    >>> features, _ = jax.eval_shape(
    ...   lambda x: encoder.init_with_output(jax.random.key(0), x, False), shape
    ... )
    >>> [f.shape[1:] for f in features]
    [(32, 25, 64), (16, 13, 64), (8, 7, 128), (4, 4, 256), (2, 2, 512)]
  """

  variant: str = "resnet50"
  frozen_statistics: bool = False
  dtype: jnp.dtype = jnp.float32
  momentum: float | None = None

  convention: ClassVar[str] = "torchvision"

  @property
  def strides(self) -> tuple[int, ...]:
    """Returns, for each of the features, how many pixels of the image one of theirs spans."""
    return 2, 4, 8, 16, 32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
    layers = Layers(self.convention, self.frozen_statistics, self.dtype, self.momentum)
    activations = prepare(images, TORCHVISION).astype(self.dtype)
    features = [_Stem(layers, name="stage_0")(activations, train)]
    activations = pooling.max_pool3(features[0])
    table = list(block_table(self.variant))
    for index in range(1, len(self.strides)):
      inside = tuple(block for block in table if block.stage == index)
      activations = _Stage(inside, layers, name=f"stage_{index}")(activations, train)
      features.append(activations)
    return tuple(features)


class _Stem(nn.Module):
  """A 7×7 convolution of stride 2 with batch normalisation and ReLU."""

  layers: Layers

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    conv = StridedConv(_STEM, True, self.layers.dtype, 7, name="stem")
    return self.layers.norm("stem_norm", RELU)(conv(images), train)


class _Stage(nn.Module):
  """The blocks of one stage."""

  blocks: tuple[Block, ...]
  layers: Layers

  @nn.compact
  def __call__(self, activations: jax.Array, train: bool) -> jax.Array:
    for block in self.blocks:
      activations = _Block(block, self.layers, name=f"block_{block.number}")(activations, train)
    return activations


class _Block(nn.Module):
  """Convolutions with batch normalisation, added to a shortcut; ReLU between and after them."""

  block: Block
  layers: Layers

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    activations = images
    last = len(self.block.layers)
    for number, (filters, size, stride) in enumerate(self.block.layers, 1):
      activations = self._convolve(f"conv_{number}", activations, filters, size, stride)
      norm = self.layers.norm(f"norm_{number}", LINEAR if number == last else RELU)
      activations = norm(activations, train)
    if self.block.projects:
      filters, stride = self.block.layers[-1][0], max(stride for *_, stride in self.block.layers)
      shortcut = self._convolve("shortcut", images, filters, 1, stride)
      images = self.layers.norm("shortcut_norm", LINEAR)(shortcut, train)
    return nn.relu(images + activations)

  def _convolve(
    self, name: str, images: jax.Array, filters: int, size: int, stride: int
  ) -> jax.Array:
    if size == 3 and stride == 2:
      return StridedConv(filters, True, self.layers.dtype, name=name)(images)
    conv = blocks.Conv(filters, size, dtype=self.layers.dtype, name=name)
    return conv(images[:, ::stride, ::stride])
