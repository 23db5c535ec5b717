"""Convolution layers that compute the same as Flax's, in formulations that XLA compiles well.

The parameters are those of `flax.linen.Conv` and `flax.linen.ConvTranspose`, and tests compare
values and gradients with them. Each formulation is here because the plain one was measured to be
slow on the CPU.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.layers import onednn
from mlseg.models.layers.convolution import convolve


def _interleave(even: jax.Array, odd: jax.Array, axis: int) -> jax.Array:
  """Returns the array whose entries along `axis` alternate between even and odd."""
  shape = list(even.shape)
  shape[axis] *= 2
  return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


# For the even and then the odd positions of the result: which taps of a kernel of size 3 reach
# them, and how many zeros pad the input before and after. `lax.conv_transpose` does not flip the
# kernel.
_PARITIES = ((slice(0, 3, 2), (1, 0)), (slice(1, 2), (0, 0)))


def upsample_convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns the stride-2 'SAME' transposed convolution, without multiplications by zeros.

  Equal to `lax.conv_transpose(images, kernel, (2, 2), 'SAME')`. The plain operation lowers to a
  convolution over a zero-filled image, whose weight gradient takes longer than all the rest of a
  U-Net. Each input pixel contributes to 2×2 output pixels, and each of these four reads its own
  taps of the kernel. With a 2×2 kernel that is one tap each, so the whole is one matrix product.
  With a 3×3 kernel the product would move two to three times the bytes, so four small convolutions
  are used instead.

  Args:
    images: [B, H, W, I].
    kernel: [k, k, I, O] with k of 2 or 3.

  Returns:
    [B, 2H, 2W, O].
  """
  if onednn.is_used(images, kernel):
    return onednn.convolve_transposed(images, kernel)
  if kernel.shape[0] == 2:
    return _upsample_product(images, kernel)
  rows = []
  for row_taps, above in _PARITIES:
    even, odd = (
      convolve(images, kernel[row_taps, column_taps], (above, left))
      for column_taps, left in _PARITIES
    )
    rows.append(_interleave(even, odd, axis=2))
  return _interleave(rows[0], rows[1], axis=1)


def _upsample_product(images: jax.Array, kernel: jax.Array) -> jax.Array:
  batch, height, width, _ = images.shape
  out = kernel.shape[-1]
  taps = kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(-1, 4 * out)
  blocks = pixelwise(images, taps).reshape(batch, height, width, 2, 2, out)
  return blocks.swapaxes(2, 3).reshape(batch, 2 * height, 2 * width, out)


def pixelwise(images: jax.Array, matrix: jax.Array) -> jax.Array:
  """Returns images [B, H, W, I] times a matrix [I, O], computed as a product of two matrices.

  Without the reshape, the gradient of the matrix would be a sum over three axes, for which XLA on
  the CPU transposes both factors and takes up to twice as long.
  """
  if onednn.is_used(images, matrix):
    return onednn.convolve(images, matrix[None, None], ((0, 0), (0, 0)))
  product = jnp.dot(images.reshape(-1, images.shape[-1]), matrix)
  return product.reshape(*images.shape[:-1], -1)


class Conv(nn.Module):
  """A stride-1 'SAME' convolution with the parameters of `flax.linen.Conv`.

  Attributes:
    features: number of output channels.
    size: side of the kernel, odd.
    use_bias: whether a bias is added; not before a normalisation, which would cancel it.
    dtype: type of the computation; the parameters are float32.
  """

  features: int
  size: int = 3
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    return _with_parameters(self, images, self._convolve)

  def _convolve(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
    if self.size == 1:
      return pixelwise(images, kernel[0, 0])
    half = self.size // 2
    return convolve(images, kernel, ((half, half), (half, half)))


class UpConv(nn.Module):
  """A stride-2 'SAME' transposed convolution with the parameters of `flax.linen.ConvTranspose`.

  Attributes:
    features: number of output channels.
    size: side of the kernel, 2 or 3.
    use_bias: whether a bias is added; not before a normalisation, which would cancel it.
    dtype: type of the computation; the parameters are float32.
  """

  features: int
  size: int = 3
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    return _with_parameters(self, images, upsample_convolve)


def _with_parameters(
  module: Conv | UpConv,
  images: jax.Array,
  convolution: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
  """Returns the convolution with the module's kernel, plus its bias if it has one."""
  shape = (module.size, module.size, images.shape[-1], module.features)
  kernel = module.param("kernel", nn.initializers.lecun_normal(), shape)
  out = convolution(images.astype(module.dtype), kernel.astype(module.dtype))
  if module.use_bias:
    out += module.param("bias", nn.initializers.zeros, (module.features,)).astype(module.dtype)
  return out
