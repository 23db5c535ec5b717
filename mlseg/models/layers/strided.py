"""Convolutions of larger strides, computed as those of stride 1 over blocks of pixels."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.layers import onednn
from mlseg.models.layers.blocks import pixelwise
from mlseg.models.layers.convolution import Padding, convolve


def stride_padding(shape: tuple[int, ...], symmetric: bool, side: int = 3) -> Padding:
  """Returns the zero padding with which a kernel of stride 2 halves sizes, rounded up.

  Args:
    shape: shape of the images, [B, H, W, C].
    symmetric: whether as many rows are added on both sides, as in PyTorch; if not, 'SAME' as in
      TensorFlow, which at even sizes adds one row less at the beginning.
    side: side of the kernel, odd.

  Returns:
    ((above, below), (left, right)), numbers of rows and columns.

  Example:
    >>> stride_padding((1, 8, 7, 3), symmetric=False)
    ((0, 1), (1, 1))
  """
  half = side // 2
  rows, columns = ((half - (size % 2 == 0 and not symmetric), half) for size in shape[1:3])
  return rows, columns


def convolve_stride2(images: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
  """Returns the stride-2 cross-correlation of images with a kernel of odd side.

  Equal to `lax.conv_general_dilated`, whose weight gradient is slow on the CPU. With a kernel of
  side 3, a pixel of the result depends on 2×2 blocks of 2×2 pixels; the kernel is extended with
  zeros to these 4×4 pixels, and a larger one likewise.

  Args:
    images: [B, H, W, I].
    kernel: [k, k, I, O], k odd.
    padding: from `stride_padding`.

  Returns:
    [B, ceil(H/2), ceil(W/2), O].
  """
  if onednn.is_used(images, kernel):
    return onednn.convolve(images, kernel, padding, stride=2)
  side = kernel.shape[0]
  out_size = [-(-size // 2) for size in images.shape[1:3]]
  edges = [
    (before, 2 * out + side - 1 - size - before)
    for out, size, (before, _) in zip(out_size, images.shape[1:3], padding, strict=True)
  ]
  padded = jnp.pad(images, ((0, 0), *edges, (0, 0)))
  batch, height, width, channels = padded.shape
  pairs = padded.reshape(batch, height // 2, 2, width // 2, 2, channels)
  blocks = pairs.swapaxes(2, 3).reshape(batch, height // 2, width // 2, 4 * channels)
  filled = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
  half = (side + 1) // 2
  taps = filled.reshape(half, 2, half, 2, channels, -1).swapaxes(1, 2)
  return convolve(blocks, taps.reshape(half, half, 4 * channels, -1), ((0, 0), (0, 0)))


class StridedConv(nn.Module):
  """A convolution of stride 2 without bias, with the parameters of `flax.linen.Conv`.

  Attributes:
    features: number of output channels.
    symmetric: how the images are padded, see `stride_padding`.
    dtype: type of the computation; the parameters are float32.
    size: side of the kernel, odd.
  """

  features: int
  symmetric: bool
  dtype: jnp.dtype = jnp.float32
  size: int = 3

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    shape = (self.size, self.size, images.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    padding = stride_padding(images.shape, self.symmetric, self.size)
    return convolve_stride2(images.astype(self.dtype), kernel.astype(self.dtype), padding)


class PatchConv(nn.Module):
  """A convolution whose stride is the size of its kernel, with the parameters of `flax.linen.Conv`.

  Each pixel of the result is a linear function of a patch of the images; patches do not overlap,
  and what is left of the last row or column of them is dropped.

  Attributes:
    features: number of output channels.
    size: side of the patches.
    dtype: type of the computation; the parameters are float32.

  Example:
    >>> layer = PatchConv(8, 4)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 17, 12, 3)))[0].shape
    (2, 4, 3, 8)
  """

  features: int
  size: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    side, (batch, *sizes, channels) = self.size, images.shape
    shape = (side, side, channels, self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(self.dtype)
    bias = self.param("bias", nn.initializers.zeros, shape[-1:]).astype(self.dtype)
    height, width = (size // side for size in sizes)
    whole = images[:, : height * side, : width * side].astype(self.dtype)
    patches = whole.reshape(batch, height, side, width, side, channels).swapaxes(2, 3)
    flat = patches.reshape(batch, height, width, -1)
    return pixelwise(flat, kernel.reshape(-1, self.features)) + bias
