"""Dilated convolutions, and the cascade of them at the bottleneck of a network."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.layers import blocks
from mlseg.models.layers.convolution import convolve


def convolve_dilated(images: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
  """Returns the stride-1 'SAME' cross-correlation with a kernel whose taps lie apart.

  Equal to `lax.conv_general_dilated` with `rhs_dilation=(dilation, dilation)`. A pixel of the
  result reads only pixels whose row and column differ from its own by multiples of the dilation.
  So the images are parted into dilation² coarse ones, each is convolved with the plain kernel, and
  the results are put together again. The convolution is then that of all other layers, with its
  rules for gradients and for `jax.vmap` over models.

  Args:
    images: [B, H, W, I].
    kernel: [k, k, I, O] with k odd.
    dilation: distance of neighbouring taps in pixels, at least 1.

  Returns:
    [B, H, W, O].

  Example:
    >>> images = jnp.arange(5.0).reshape(1, 1, 5, 1)
    >>> convolve_dilated(images, jnp.ones((3, 3, 1, 1)), 2)[0, 0, :, 0].tolist()
    [2.0, 4.0, 6.0, 4.0, 6.0]
  """
  half = kernel.shape[0] // 2
  padding = ((half, half), (half, half))
  if dilation == 1:
    return convolve(images, kernel, padding)
  batch, height, width, channels = images.shape
  rows, columns = -(-height // dilation), -(-width // dilation)
  below, right = rows * dilation - height, columns * dilation - width
  padded = jnp.pad(images, ((0, 0), (0, below), (0, right), (0, 0)))
  parts = padded.reshape(batch, rows, dilation, columns, dilation, channels)
  coarse = parts.transpose(0, 2, 4, 1, 3, 5).reshape(-1, rows, columns, channels)
  out = convolve(coarse, kernel, padding)
  parts = out.reshape(batch, dilation, dilation, rows, columns, out.shape[-1])
  whole = parts.transpose(0, 3, 1, 4, 2, 5).reshape(batch, rows * dilation, columns * dilation, -1)
  return whole[:, :height, :width]


class DilatedCascade(nn.Module):
  """Adds to activations what a cascade of dilated 3×3 convolutions makes of them.

  With x_0 the activations and x_i = ReLU(conv_i(x_(i-1))), the result is x_0 + x_1 + ... + x_n.
  Each convolution keeps the number of channels, has a bias and no normalisation. A pixel of x_i
  sees 1 + 2 (d_1 + ... + d_i) pixels along a side: with the dilations 1, 2, 4, 8 these are 3, 7, 15
  and 31.

  Reference: Zhou, Zhang, Wu, "D-LinkNet: LinkNet with pretrained encoder and dilated convolution
  for high resolution satellite imagery road extraction", CVPR Workshops 2018, section 3.1 and
  figure 4.

  Attributes:
    dilations: d_1, ..., d_n, of which each is at least 1.
    dtype: type of the computation; the parameters are float32.

  Example:
    >>> variables = DilatedCascade((1, 2)).init(jax.random.key(0), jnp.zeros((1, 8, 8, 4)))
    >>> jax.tree.map(jnp.shape, variables["params"]["conv_1"])
    {'bias': (4,), 'kernel': (3, 3, 4, 4)}
  """

  dilations: tuple[int, ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, activations: jax.Array) -> jax.Array:
    """Returns the sum [B, H, W, C] for activations [B, H, W, C]."""
    total = last = activations
    for number, dilation in enumerate(self.dilations):
      conv = _DilatedConv(
        activations.shape[-1],
        use_bias=True,
        dtype=self.dtype,
        dilation=dilation,
        name=f"conv_{number}",
      )
      last = nn.relu(conv(last))
      total = total + last
    return total


class _DilatedConv(blocks.Conv):
  """A convolution with the parameters of `flax.linen.Conv` whose taps lie `dilation` apart."""

  dilation: int = 1

  def _convolve(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolve_dilated(images, kernel, self.dilation)
