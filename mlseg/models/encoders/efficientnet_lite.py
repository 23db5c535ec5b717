"""EfficientNet-Lite 0 to 2: EfficientNet without squeeze-and-excitation, and with ReLU6.

References: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019; the changes of Lite are those of its authors' code, `efficientnet/lite` of TensorFlow's
TPU models.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.encoders.convention import CENTRED, prepare
from mlseg.models.encoders.inverted_residual import Block, Stage, num_filters
from mlseg.models.encoders.layers import Layers

VARIANTS = {  # multipliers of the channels, and of the number of blocks in a group
  "efficientnet_lite0": (1.0, 1.0),
  "efficientnet_lite1": (1.0, 1.1),
  "efficientnet_lite2": (1.1, 1.2),
}
_STEM, _LAST = 32, 1280  # the same in all variants
_GROUPS = (  # channels, blocks, stride of the first block, side of the depthwise kernels
  (16, 1, 1, 3),
  (24, 2, 2, 3),
  (40, 2, 2, 5),
  (80, 3, 2, 3),
  (112, 3, 1, 5),
  (192, 4, 2, 5),
  (320, 1, 1, 3),
)


def block_table(variant: str) -> Iterator[Block]:
  """Yields the blocks of a variant from the first to the last.

  The first and the last group have one block in all variants.

  Example:
    >>> [len(list(block_table(variant))) for variant in VARIANTS]
    [16, 21, 21]
  """
  width, depth = VARIANTS[variant]
  number, stage = 0, 0
  for group, (filters, count, first_stride, size) in enumerate(_GROUPS):
    is_inner = 0 < group < len(_GROUPS) - 1
    for index in range(math.ceil(depth * count) if is_inner else count):
      stride = first_stride if index == 0 else 1
      stage += stride - 1
      yield Block(number, stage, num_filters(filters, width, "tensorflow"), stride, size)
      number += 1


class EfficientNetLite(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to features, finest first.

  The features are the outputs of the last blocks before each halving, at strides 2, 4, 8 and 16
  (with 16, 24, 40 and 112 channels in variant 0), and the output of the last convolution at stride
  32, with 1280 channels. Sizes round up. The parameters are in 'stage_0' to 'stage_4', one stage
  for each of the features; the stem belongs to the first stage, the last convolution to the last.

  The convention is that of TensorFlow, in which the weights were trained, and so are the inputs:
  (x - 127) / 128 with x of 0 to 255.

  Attributes:
    variant: a key of VARIANTS.
    frozen_statistics: whether batch normalisation uses its running statistics in training too, and
      leaves them unchanged.
    dtype: type of the computation; parameters and statistics are float32.
    momentum: share of the old value in the running statistics; None: that of the convention, 0.99.

  Example:
    >>> shape = jax.ShapeDtypeStruct((2, 64, 50, 1), jnp.float32)
    >>> encoder = EfficientNetLite("efficientnet_lite2")
    >>> features, _ = jax.eval_shape(
    ...   lambda x: encoder.init_with_output(jax.random.key(0), x, False), shape
    ... )
    >>> [f.shape[1:] for f in features]
    [(32, 25, 16), (16, 13, 24), (8, 7, 48), (4, 4, 120), (2, 2, 1280)]
  """

  variant: str = "efficientnet_lite0"
  frozen_statistics: bool = False
  dtype: jnp.dtype = jnp.float32
  momentum: float | None = None

  convention: ClassVar[str] = "tensorflow"

  @property
  def strides(self) -> tuple[int, ...]:
    """Returns, for each of the features, how many pixels of the image one of theirs spans."""
    return 2, 4, 8, 16, 32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
    activations = prepare(images, CENTRED).astype(self.dtype)
    table = list(block_table(self.variant))
    layers = Layers(self.convention, self.frozen_statistics, self.dtype, self.momentum)
    features = []
    for index in range(len(self.strides)):
      inside = tuple(block for block in table if block.stage == index)
      stem, last = _STEM if index == 0 else 0, _LAST if index == 4 else 0
      activations = Stage(inside, layers, stem, last, name=f"stage_{index}")(activations, train)
      features.append(activations)
    return tuple(features)
