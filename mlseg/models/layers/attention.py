"""The attention gates of Attention U-Net, which weigh the positions of a skip connection.

Reference: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.layers import blocks, pooling


class AttentionGate(nn.Module):
  """Multiplies each position of a skip by a weight in (0, 1), from the skip and the coarser level.

    α = σ(ψ · ReLU(W_x x + W_g g))

  Here x is the skip at half its size (means of 2×2 pixels), g the coarser level, and W_x, W_g and ψ
  are 1×1 convolutions. Repeating α to 2×2 pixels gives the weights of the skip. This is eq. 1 and 2
  of Oktay et al. 2018, who instead halve the skip by a convolution of stride 2 and enlarge α by
  interpolation.

  Attributes:
    filters: channels of W_x x and W_g g.
    dtype: type of the computation; the parameters are float32.

  Example:
    >>> gate, skip = AttentionGate(4), jnp.ones((1, 8, 8, 3))
    >>> gated, _ = gate.init_with_output(jax.random.key(0), skip, jnp.ones((1, 4, 4, 6)))
    >>> gated.shape
    (1, 8, 8, 3)
  """

  filters: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, skip: jax.Array, coarse: jax.Array) -> jax.Array:
    """Returns the weighted skip [B, 2h, 2w, F], given the coarser level [B, h, w, G]."""
    small = blocks.Conv(self.filters, size=1, dtype=self.dtype, name="skip")(_halved(skip))
    gate = blocks.Conv(self.filters, size=1, use_bias=True, dtype=self.dtype, name="gate")(coarse)
    psi = blocks.Conv(1, size=1, use_bias=True, dtype=self.dtype, name="psi")
    weights = nn.sigmoid(psi(nn.relu(small + gate)))
    return skip * pooling.repeat2(weights)


def _halved(images: jax.Array) -> jax.Array:
  """Returns the means of 2×2 pixels."""
  batch, height, width, channels = images.shape
  return images.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))
