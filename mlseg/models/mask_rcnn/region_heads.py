"""The three heads of Mask R-CNN: for anchors, for regions, and for the masks of regions.

No head has a normalisation. The last layers start near zero, so that at first boxes do not move and
no class is preferred.

References: Ren et al., "Faster R-CNN", NeurIPS 2015; He et al., "Mask R-CNN", ICCV 2017, figure 4,
right.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.layers import blocks


class ProposalHead(nn.Module):
  """Predicts for every anchor whether it shows an object, and how to move it to the object.

  Attributes:
    num_shapes: number of anchors per cell.
  """

  num_shapes: int

  @nn.compact
  def __call__(self, levels: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Returns logits [B, A] and deltas [B, A, 4], ordered by level, row, column and shape."""
    filters = levels[0].shape[-1]
    conv = blocks.Conv(filters, use_bias=True, name="conv")  # one set of weights for all levels
    score, move = _last(self.num_shapes, "score"), _last(4 * self.num_shapes, "move")
    logits, deltas = [], []
    for level in levels:
      hidden = nn.relu(conv(level))
      logits.append(score(hidden).reshape(level.shape[0], -1))
      deltas.append(move(hidden).reshape(level.shape[0], -1, 4))
    return jnp.concatenate(logits, axis=1), jnp.concatenate(deltas, axis=1)


class BoxHead(nn.Module):
  """Predicts the class of a region, and for each class how to move the region to the object.

  Attributes:
    num_classes: C, background included.
    units: size of each of the two hidden layers.
  """

  num_classes: int
  units: int

  @nn.compact
  def __call__(self, regions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns logits [B, R, C] and deltas [B, R, C - 1, 4] of regions [B, R, S, S, F]."""
    hidden = regions.reshape(*regions.shape[:2], -1)
    for index in (1, 2):
      hidden = nn.relu(nn.Dense(self.units, name=f"dense_{index}")(hidden))
    others = self.num_classes - 1
    deltas = _last(4 * others, "move", deviation=0.001)(hidden)
    return _last(self.num_classes, "score")(hidden), deltas.reshape(*hidden.shape[:2], others, 4)


class MaskHead(nn.Module):
  """Predicts which pixels of a region belong to its object, separately for each class.

  Attributes:
    num_classes: C, background included.
    num_convs: number of 3×3 convolutions before the one that doubles the size.
  """

  num_classes: int
  num_convs: int

  @nn.compact
  def __call__(self, regions: jax.Array) -> jax.Array:
    """Returns logits [B, K, 2S, 2S, C - 1] of regions [B, K, S, S, F]."""
    filters = regions.shape[-1]
    hidden = regions.reshape(-1, *regions.shape[2:])
    for index in range(self.num_convs):
      hidden = nn.relu(blocks.Conv(filters, use_bias=True, name=f"conv_{index + 1}")(hidden))
    hidden = nn.relu(blocks.UpConv(filters, size=2, use_bias=True, name="up")(hidden))
    logits = _last(self.num_classes - 1, "score")(hidden)
    return logits.reshape(*regions.shape[:2], *logits.shape[1:])


def _last(features: int, name: str, deviation: float = 0.01) -> nn.Dense:
  """Returns a dense layer whose results start near zero."""
  return nn.Dense(features, kernel_init=nn.initializers.normal(deviation), name=name)
