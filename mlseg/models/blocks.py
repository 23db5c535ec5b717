"""Layers in formulations that XLA compiles well, with the plain layers' parameters and mathematics.

Each formulation exists because of a measured slowness of the plain one on the CPU; the tests hold
value and gradient equal to `flax.linen.Conv`, `flax.linen.ConvTranspose` and `flax.linen.max_pool`.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
  images: jax.Array, kernel: jax.Array, padding: tuple[tuple[int, int], tuple[int, int]]
) -> jax.Array:
  """Returns the stride-1 cross-correlation of images with a kernel.

  Equal to `lax.conv_general_dilated`. Its weight gradient is written as a convolution in the
  canonical layout, with channels in the place of the batch: inside a compiled loop XLA on the CPU
  otherwise falls back to a naive kernel for it, tens of times slower.

  Args:
    images: [B, H, W, I].
    kernel: [kh, kw, I, O].
    padding: rows of zeros above and below, columns left and right.

  Returns:
    [B, H', W', O] with H' = H + above + below - kh + 1, and W' likewise.
  """
  return lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


def _convolve_forward(images, kernel, padding):
  return convolve(images, kernel, padding), (images, kernel)


def _convolve_backward(padding, residuals, cotangent):
  images, kernel = residuals
  flipped = kernel[::-1, ::-1].swapaxes(2, 3)
  rest = tuple(
    (size - 1 - before, size - 1 - after)
    for size, (before, after) in zip(kernel.shape[:2], padding, strict=True)
  )
  images_gradient = convolve(cotangent, flipped, rest)
  kernel_gradient = lax.conv_general_dilated(
    images.transpose(3, 1, 2, 0),
    cotangent.transpose(1, 2, 0, 3),
    (1, 1),
    padding,
    dimension_numbers=_LAYOUT,
  )
  return images_gradient, kernel_gradient.transpose(1, 2, 0, 3)


convolve.defvjp(_convolve_forward, _convolve_backward)


def _interleave(even: jax.Array, odd: jax.Array, axis: int) -> jax.Array:
  """Returns the array whose entries along `axis` alternate between even and odd."""
  shape = list(even.shape)
  shape[axis] *= 2
  return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


# Which taps of a kernel of size 2 or 3 reach the even places of the result, and which the odd ones,
# and how many zeros stand before the first source. `lax.conv_transpose` does not flip the kernel.
_PARITIES = {
  2: ((slice(1, 2), (0, 0)), (slice(0, 1), (0, 0))),
  3: ((slice(0, 3, 2), (1, 0)), (slice(1, 2), (0, 0))),
}


def upsample_convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns the stride-2 'SAME' transposed convolution, as four small convolutions interleaved.

  Equal to `lax.conv_transpose(images, kernel, (2, 2), 'SAME')`. Even and odd rows and columns of
  the result each see their own taps of the kernel, so no product is with a zero. The plain
  operation lowers to a convolution over a zero-filled image, whose weight gradient is slower than
  the rest of a U-Net together; one matrix product with all taps moves two to three times the bytes.

  Args:
    images: [B, H, W, I].
    kernel: [k, k, I, O] with k of 2 or 3.

  Returns:
    [B, 2H, 2W, O].
  """
  parities = _PARITIES[kernel.shape[0]]
  rows = []
  for row_taps, above in parities:
    even, odd = (
      convolve(images, kernel[row_taps, column_taps], (above, left))
      for column_taps, left in parities
    )
    rows.append(_interleave(even, odd, axis=2))
  return _interleave(rows[0], rows[1], axis=1)


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
    return _with_parameters(self, images, self._convolve)

  def _convolve(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
    if self.size == 1:
      return jnp.dot(images, kernel[0, 0])
    half = self.size // 2
    return convolve(images, kernel, ((half, half), (half, half)))


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
    return _with_parameters(self, images, upsample_convolve)


def _with_parameters(
  module: Conv | UpConv,
  images: jax.Array,
  convolution: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
  """Returns the convolution with the module's own kernel, and bias if it has one."""
  shape = (module.size, module.size, images.shape[-1], module.features)
  kernel = module.param("kernel", nn.initializers.lecun_normal(), shape)
  out = convolution(images.astype(module.dtype), kernel.astype(module.dtype))
  if module.use_bias:
    out += module.param("bias", nn.initializers.zeros, (module.features,)).astype(module.dtype)
  return out
