"""ConvNeXt of the size 'tiny'; it takes the weights of torchvision and timm.

Reference: Liu et al., "A ConvNet for the 2020s", CVPR 2022.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.encoders.convention import TORCHVISION, prepare
from mlseg.models.layers import blocks
from mlseg.models.layers.depthwise import DepthwiseConv
from mlseg.models.layers.strided import PatchConv

VARIANTS = {  # per stage: filters, and number of blocks
  "convnext_tiny": ((96, 3), (192, 3), (384, 9), (768, 3)),
}
_EXPANSION = 4
_EPSILON = 1e-6  # added to the variance in layer normalisation
_SCALE = 1e-6  # what the factors of the blocks start from


class ConvNeXt(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to features, finest first.

  The features are the outputs of the four groups of blocks, at strides 4, 8, 16 and 32, without the
  layer normalisation that a classifier has after the last. Sizes round down. The parameters are in
  'stage_0', the stem of stride 4, and 'stage_1' to 'stage_4', one stage for each of the features.
  There is no batch normalisation, and libraries do not differ but in names.

  Attributes:
    variant: a key of VARIANTS.
    dtype: type of the computation; the parameters are float32.

  Example:
    >>> shape = jax.ShapeDtypeStruct((2, 64, 50, 1), jnp.float32)
    >>> encoder = ConvNeXt()
    >>> features, _ = jax.eval_shape(
    ...   lambda x: encoder.init_with_output(jax.random.key(0), x, False), shape
    ... )
    >>> [f.shape[1:] for f in features]
    [(16, 12, 96), (8, 6, 192), (4, 3, 384), (2, 1, 768)]
  """

  variant: str = "convnext_tiny"
  dtype: jnp.dtype = jnp.float32

  convention: ClassVar[str] = "torchvision"

  @property
  def strides(self) -> tuple[int, ...]:
    """Returns, for each of the features, how many pixels of the image one of theirs spans."""
    return 4, 8, 16, 32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
    activations = prepare(images, TORCHVISION).astype(self.dtype)
    table = VARIANTS[self.variant]
    activations = _Stem(table[0][0], self.dtype, name="stage_0")(activations)
    features = []
    for index, (filters, count) in enumerate(table, 1):
      stage = _Stage(filters, count, index > 1, self.dtype, name=f"stage_{index}")
      activations = stage(activations)
      features.append(activations)
    return tuple(features)


class _Stem(nn.Module):
  """A linear map of patches of 4×4 pixels, with layer normalisation."""

  filters: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    activations = PatchConv(self.filters, 4, self.dtype, name="stem")(images)
    return _norm(self.dtype, "stem_norm")(activations)


class _Stage(nn.Module):
  """The blocks of one stage, after a halving in all but the first."""

  filters: int
  count: int
  halves: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, activations: jax.Array) -> jax.Array:
    if self.halves:
      activations = _norm(self.dtype, "halve_norm")(activations)
      activations = PatchConv(self.filters, 2, self.dtype, name="halve")(activations)
    for index in range(self.count):
      activations = _Block(self.dtype, name=f"block_{index}")(activations)
    return activations


class _Block(nn.Module):
  """x + s * W₂ gelu(W₁ norm(depthwise(x))), with factors s of the channels, and biases."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    dtype, filters = self.dtype, images.shape[-1]
    padding = ((3, 3), (3, 3))
    depthwise = DepthwiseConv(1, padding, dtype, 7, use_bias=True, name="depthwise")
    activations = _norm(dtype, "norm")(depthwise(images))
    expand = blocks.Conv(_EXPANSION * filters, 1, use_bias=True, dtype=dtype, name="expand")
    activations = nn.gelu(expand(activations), approximate=False)
    project = blocks.Conv(filters, 1, use_bias=True, dtype=dtype, name="project")
    factors = self.param("scale", nn.initializers.constant(_SCALE), (filters,))
    return images + factors.astype(dtype) * project(activations)


def _norm(dtype: jnp.dtype, name: str) -> nn.LayerNorm:
  """Returns layer normalisation over the channels of each pixel."""
  return nn.LayerNorm(epsilon=_EPSILON, dtype=dtype, name=name)
