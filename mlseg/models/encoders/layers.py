"""Makes the layers of an encoder with batch normalisation, under its convention."""

from typing import NamedTuple

import jax.numpy as jnp

from mlseg.models.encoders.convention import convention_of
from mlseg.models.layers import blocks
from mlseg.models.layers.normalisation import RELU6, Bounds, ClippedBatchNorm


class Layers(NamedTuple):
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
