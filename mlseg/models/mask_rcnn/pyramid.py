"""The feature pyramid: an encoder's features at all scales, each merged with the coarser ones.

Reference: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, section 3.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from mlseg.models.layers import blocks, pooling


class FeaturePyramid(nn.Module):
  """Maps features C_i at several scales, finest first, to levels P_i with the same channels.

    P_i = conv3x3(T_i),  T_i = conv1x1(C_i) + upsample(T_{i+1})

  Pixels are repeated to up-sample, and there is no normalisation or activation, as in torchvision.

  Attributes:
    filters: channels of each level.

  Example:
    >>> import jax.numpy as jnp
    >>> features = [jnp.ones((1, 8, 8, 3)), jnp.ones((1, 4, 4, 5))]
    >>> levels, _ = FeaturePyramid(6).init_with_output(jax.random.key(0), features)
    >>> [level.shape for level in levels]
    [(1, 8, 8, 6), (1, 4, 4, 6)]
  """

  filters: int

  @nn.compact
  def __call__(self, features: Sequence[jax.Array]) -> list[jax.Array]:
    levels: list[jax.Array] = []
    merged = None
    for index in reversed(range(len(features))):
      lateral = blocks.Conv(self.filters, size=1, use_bias=True, name=f"lateral_{index}")
      own = lateral(features[index])
      merged = own if merged is None else own + pooling.repeat2(merged)
      output = blocks.Conv(self.filters, use_bias=True, name=f"output_{index}")
      levels.insert(0, output(merged))
    return levels
