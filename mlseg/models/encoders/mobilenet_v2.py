"""MobileNetV2 of any width; it takes the weights of Keras and torchvision.

Reference: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.encoders.convention import SYMMETRIC, TORCHVISION, convention_of, prepare
from mlseg.models.encoders.inverted_residual import Block, Stage, num_filters
from mlseg.models.encoders.layers import Layers

_STEM, _LAST = 32, 1280
_GROUPS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


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
    layers = Layers(self.convention, self.frozen_statistics, self.dtype, self.momentum)
    features = []
    for index in range(len(self.strides)):
      inside = tuple(block for block in table if block.stage == index)
      stem = num_filters(_STEM, self.width, self.convention) if index == 0 else 0
      last = num_filters(_LAST, max(1.0, self.width), self.convention) if index == 4 else 0
      stage = Stage(inside, layers, stem, last, name=f"stage_{index}")
      activations = stage(activations, train)
      features.append(activations)
    return tuple(features)
