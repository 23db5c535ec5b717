"""Layers in formulations that XLA compiles well, with the plain layers' parameters and mathematics.

Each formulation exists because of a measured slowness of the plain one on the CPU; the tests hold
value and gradient equal to `flax.linen.Conv`, `flax.linen.ConvTranspose` and `flax.linen.max_pool`.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns the stride-1 'SAME' cross-correlation of images with a kernel of odd size.

  Equal to `lax.conv_general_dilated`. Its weight gradient is written as a convolution in the
  canonical layout, with channels in the place of the batch: inside a compiled loop XLA on the CPU
  otherwise falls back to a naive kernel for it, tens of times slower.

  Args:
    images: [B, H, W, I].
    kernel: [kh, kw, I, O], kh and kw odd.

  Returns:
    [B, H, W, O].
  """
  return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)


def _convolve_forward(images, kernel):
  return convolve(images, kernel), (images, kernel)


def _convolve_backward(residuals, cotangent):
  images, kernel = residuals
  height, width = kernel.shape[:2]
  flipped = kernel[::-1, ::-1].swapaxes(2, 3)
  images_gradient = convolve(cotangent, flipped)
  kernel_gradient = lax.conv_general_dilated(
    images.transpose(3, 1, 2, 0),
    cotangent.transpose(1, 2, 0, 3),
    (1, 1),
    [(height // 2, height // 2), (width // 2, width // 2)],
    dimension_numbers=_LAYOUT,
  )
  return images_gradient, kernel_gradient.transpose(1, 2, 0, 3)


convolve.defvjp(_convolve_forward, _convolve_backward)


def _interleave(even: jax.Array, odd: jax.Array, axis: int) -> jax.Array:
  """Returns the array whose entries along `axis` alternate between even and odd."""
  shape = list(even.shape)
  shape[axis] *= 2
  return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


def _shift(array: jax.Array, axis: int) -> jax.Array:
  """Returns the array moved one place up `axis`, with zeros coming in."""
  widths = [(0, 0, 0)] * array.ndim
  widths[axis] = (1, -1, 0)
  return lax.pad(array, jnp.zeros((), array.dtype), widths)


def upsample_convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns the stride-2 'SAME' transposed convolution, as one matrix product and a rearrangement.

  Equal to `lax.conv_transpose(images, kernel, (2, 2), 'SAME')` for kernels 2×2 and 3×3. The plain
  operation lowers to a convolution over a zero-filled image, whose weight gradient is slower than
  the rest of a U-Net together.

  Args:
    images: [B, H, W, I].
    kernel: [k, k, I, O] with k of 2 or 3.

  Returns:
    [B, 2H, 2W, O].
  """
  size, _, num_in, num_out = kernel.shape
  flat = kernel.transpose(2, 0, 1, 3).reshape(num_in, size * size * num_out)
  products = jnp.dot(images, flat)
  taps = [
    [products[..., (size * r + c) * num_out : (size * r + c + 1) * num_out] for c in range(size)]
    for r in range(size)
  ]
  columns = [_merge_taps(row, axis=2) for row in taps]
  return _merge_taps(columns, axis=1)


def _merge_taps(taps: Sequence[jax.Array], axis: int) -> jax.Array:
  if len(taps) == 2:
    # lax.conv_transpose does not flip the kernel: tap 1 reaches the even place.
    return _interleave(taps[1], taps[0], axis)
  return _interleave(taps[2] + _shift(taps[0], axis), taps[1], axis)


@jax.custom_vjp
def max_pool(images: jax.Array) -> jax.Array:
  """Returns the maximum of each 2×2 window with stride 2.

  The gradient goes to the first of equal maxima, as in `flax.linen.max_pool`.

  Args:
    images: [B, H, W, C], H and W even.

  Returns:
    [B, H/2, W/2, C].
  """
  return functools.reduce(jnp.maximum, _quarters(images))


def _quarters(images: jax.Array) -> list[jax.Array]:
  batch, height, width, channels = images.shape
  windows = images.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return [windows[:, :, r, :, c] for r in range(2) for c in range(2)]


def _max_pool_forward(images):
  maximum = max_pool(images)
  return maximum, (images, maximum)


def _max_pool_backward(residuals, cotangent):
  images, maximum = residuals
  taken = jnp.zeros(maximum.shape, bool)
  parts = []
  for quarter in _quarters(images):
    wins = (quarter == maximum) & ~taken
    taken = taken | wins
    parts.append(jnp.where(wins, cotangent, 0))
  rows = [_interleave(parts[0], parts[1], 2), _interleave(parts[2], parts[3], 2)]
  return (_interleave(rows[0], rows[1], 1),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def repeat2(images: jax.Array) -> jax.Array:
  """Returns images [B, H, W, C] with each pixel repeated to 2×2: [B, 2H, 2W, C]."""
  batch, height, width, channels = images.shape
  wide = jnp.broadcast_to(images[:, :, None, :, None, :], (batch, height, 2, width, 2, channels))
  return wide.reshape(batch, 2 * height, 2 * width, channels)


class Conv(nn.Module):
  """A stride-1 'SAME' convolution with the parameters of `flax.linen.Conv`.

  Attributes:
    features: output channels.
    size: side of the kernel, odd.
    use_bias: off before a normalisation, which would cancel it.
    dtype: of the computation; the parameters are float32.
  """

  features: int
  size: int = 3
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    shape = (self.size, self.size, images.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(self.dtype)
    if self.size == 1:
      out = jnp.dot(images.astype(self.dtype), kernel[0, 0])
    else:
      out = convolve(images.astype(self.dtype), kernel)
    if self.use_bias:
      out += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
    return out


class UpConv(nn.Module):
  """A stride-2 'SAME' transposed convolution with the parameters of `flax.linen.ConvTranspose`.

  Attributes:
    features: output channels.
    size: side of the kernel, 2 or 3.
    use_bias: off before a normalisation, which would cancel it.
    dtype: of the computation; the parameters are float32.
  """

  features: int
  size: int = 3
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    shape = (self.size, self.size, images.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(self.dtype)
    out = upsample_convolve(images.astype(self.dtype), kernel)
    if self.use_bias:
      out += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
    return out
