"""The 3×3 convolution of stride 2, computed as one of stride 1 over 2×2 blocks of pixels."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.layers.convolution import Padding, convolve


def stride_padding(shape: tuple[int, ...], symmetric: bool) -> Padding:
  """Returns the zero padding with which a 3×3 kernel of stride 2 halves sizes, rounded up.

  Args:
    shape: shape of the images, [B, H, W, C].
    symmetric: whether one row is added on both sides, as in PyTorch; if not, 'SAME' as in
      TensorFlow, which at even sizes adds one row at the end only.

  Returns:
    ((above, below), (left, right)), numbers of rows and columns.

  Example:
    >>> stride_padding((1, 8, 7, 3), symmetric=False)
    ((0, 1), (1, 1))
  """
  rows, columns = ((0, 1) if size % 2 == 0 and not symmetric else (1, 1) for size in shape[1:3])
  return rows, columns


def convolve_stride2(images: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
  """Returns the stride-2 cross-correlation of images with a 3×3 kernel.

  Equal to `lax.conv_general_dilated`, whose weight gradient is slow on the CPU. A pixel of the
  result depends on 2×2 blocks of 2×2 pixels; the kernel is extended with zeros to these 4×4 pixels.

  Args:
    images: [B, H, W, I].
    kernel: [3, 3, I, O].
    padding: from `stride_padding`.

  Returns:
    [B, ceil(H/2), ceil(W/2), O].
  """
  out_size = [-(-size // 2) for size in images.shape[1:3]]
  edges = [
    (before, 2 * out + 2 - size - before)
    for out, size, (before, _) in zip(out_size, images.shape[1:3], padding, strict=True)
  ]
  padded = jnp.pad(images, ((0, 0), *edges, (0, 0)))
  batch, height, width, channels = padded.shape
  pairs = padded.reshape(batch, height // 2, 2, width // 2, 2, channels)
  blocks = pairs.swapaxes(2, 3).reshape(batch, height // 2, width // 2, 4 * channels)
  filled = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
  taps = filled.reshape(2, 2, 2, 2, channels, -1).swapaxes(1, 2)
  return convolve(blocks, taps.reshape(2, 2, 4 * channels, -1), ((0, 0), (0, 0)))


class StridedConv(nn.Module):
  """A 3×3 convolution of stride 2 without bias, with the parameters of `flax.linen.Conv`.

  Attributes:
    features: number of output channels.
    symmetric: how the images are padded, see `stride_padding`.
    dtype: type of the computation; the parameters are float32.
  """

  features: int
  symmetric: bool
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    shape = (3, 3, images.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    padding = stride_padding(images.shape, self.symmetric)
    return convolve_stride2(images.astype(self.dtype), kernel.astype(self.dtype), padding)
